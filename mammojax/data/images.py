"""Images of a table, read from files and kept in memory.

frame, store = table.read('manifest.csv', columns={'subject': 'subject_id'})
recipe = recipes.Recipe(('fit',), image_size=96, channels=3)
images = TableImages(frame, store, recipe)
images.preload(threads=2)
batch = images.images(np.array([3, 5]))       # float32[2, 96, 96, 3]
"""

from concurrent import futures
import logging
import threading
import time
from typing import NamedTuple

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import (
  breast,
  imagefiles,
  imageset,
  readers,
  recipes,
  records,
  steps,
)

_LOG = logging.getLogger(__name__)
_FULL = np.float32(65535.0)


class TableImages:
  """An `ImageSet` over files.

  Every image is rounded to a multiple of 1/65,535 after its last step (an
  error of at most 7.7e-6), whether it comes from memory or from its file, so a
  result does not depend on what the memory held.

  Attributes:
    frame: see `mammojax.data.table`.
    recipe: what is done to every image.
    image_size: height and width in pixels.
    channels: 1 or 3.
    doubts: row -> keys of `steps.DOUBTS`, of the images read so far.
  """

  def __init__(
    self,
    frame: pd.DataFrame,
    store: readers.Store,
    recipe: recipes.Recipe,
    *,
    cache_mb: int = 2048,
  ):
    """Reads nothing yet.

    Args:
      frame: one row an image, with `path`; `row`, `laterality` and `view` are
        used when there.
      store: where the paths lead.
      recipe: what is done to every image.
      cache_mb: memory for finished images in MiB; the rest is read when asked.

    Raises:
      DataError: rows that lack what a step goes by.
    """
    recipe.check(frame)
    self.frame = frame
    self.recipe = recipe
    self.image_size = recipe.options.image_size
    self.channels = recipe.options.channels
    self.doubts: dict[int, tuple[str, ...]] = {}
    self._files = imagefiles.ImageFiles(store, recipe.options.voi)
    self._paths = frame['path'].tolist()
    nothing = [''] * len(frame)
    self._sides, self._views = (
      frame[name].tolist() if name in frame else nothing
      for name in ('laterality', 'view')
    )
    self._make_cache(cache_mb)

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """See `ImageSet.images`."""
    if region not in imageset.REGIONS:
      raise errors.unknown('region', region, imageset.REGIONS)
    rows = np.asarray(rows, np.int64)
    shape = (len(rows), self.image_size, self.image_size, self.channels)
    batch = np.empty(shape, np.float32)
    for place, row in enumerate(rows.tolist()):
      if region == 'all':
        np.divide(self._levels(row), _FULL, out=batch[place])
        continue
      levels, mask = self._levels_and_mask(row)
      np.divide(levels, _FULL, out=batch[place])
      batch[place] = breast.region(batch[place], mask, region)
    return batch

  def bits(self) -> int:
    """The largest number of bits a channel of the files; reads each once."""
    return self._files.bits(self._paths)

  def preload(self, threads: int = 2) -> float:
    """Fills the memory, in order of the table.

    Args:
      threads: images decoded at once.

    Returns:
      images read per second.
    """
    rows = range(min(len(self._paths), len(self._cache)))
    start = time.monotonic()
    with futures.ThreadPoolExecutor(threads) as pool:
      for _ in pool.map(self._levels, rows):
        pass
    rate = len(rows) / max(time.monotonic() - start, 1e-9)
    _LOG.info(
      '%d of %d images in memory (%.0f MiB), %.0f images/s',
      len(rows),
      len(self._paths),
      self._cache.nbytes / 2**20,
      rate,
    )
    return rate

  def file(self, row: int) -> np.ndarray:
    """The image of a row as its file holds it.

    Args:
      row: position in `frame`.

    Returns:
      float32[h, w, c] in [0, 1].

    Raises:
      DataError: it cannot be read; names the row of the table.
    """
    try:
      return self._files.image(self._paths[row])
    except errors.DataError as error:
      line = self.frame['row'].iloc[row] if 'row' in self.frame else row
      raise errors.DataError(f'Row {line} of the table: {error}') from error

  def warn_of_doubts(self) -> None:
    """Lists the images in doubt among those read so far."""
    if not self.doubts:
      return
    items = self.frame['item' if 'item' in self.frame else 'path']
    lines = [
      f'  {items.iloc[row]!r}: '
      + '; '.join(steps.DOUBTS[doubt] for doubt in doubts)
      for row, doubts in sorted(self.doubts.items())
    ]
    _LOG.warning(
      '%d of %d images are in doubt; look at them with the command preview:'
      '\n%s',
      len(lines),
      len(self._paths),
      records.shorten(lines),
    )

  def _make_cache(self, cache_mb: int) -> None:
    shape = (self.image_size, self.image_size, self.channels)
    fitting = cache_mb * 2**20 // (2 * int(np.prod(shape)))
    num_slots = max(0, min(len(self._paths), fitting))
    # Pages of zeros take no memory before they are written.
    self._cache = np.zeros((num_slots, *shape), np.uint16)
    self._slot = np.full(len(self._paths), -1, np.int64)
    self._masks: dict[int, np.ndarray] = {}
    self._num_used = 0
    self._lock = threading.Lock()

  def _levels(self, row: int) -> np.ndarray:
    """uint16[h, w, c] of one row, from memory or from its file."""
    slot = self._slot[row]
    if slot >= 0:
      return self._cache[slot]
    levels = self._finish(row).levels
    with self._lock:
      if self._slot[row] < 0 and self._num_used < len(self._cache):
        self._cache[self._num_used] = levels
        # Only now may others find it: the pixels are complete.
        self._slot[row] = self._num_used
        self._num_used += 1
    return levels

  def _levels_and_mask(self, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels, and bool[h, w]: the breast on the finished image."""
    bits = self._masks.get(row)
    if bits is None:
      levels, bits = self._finish(row, with_mask=True)
    else:
      levels = self._levels(row)
    side = self.image_size
    mask = np.unpackbits(bits, count=side * side).reshape(side, side)
    return levels, mask != 0

  def _finish(self, row: int, with_mask: bool = False) -> '_Finished':
    """Reads an image and runs the recipe on it."""
    picture = self.recipe.run(
      self.file(row), self._sides[row], self._views[row], with_mask
    )
    if picture.doubts:
      self.doubts[row] = picture.doubts
    scaled = np.clip(picture.image, 0.0, 1.0)
    scaled *= _FULL
    levels = np.rint(scaled, out=scaled).astype(np.uint16)
    if picture.mask is None:
      return _Finished(levels, None)
    bits = np.packbits(picture.mask)
    # As many masks are kept as images, at a sixteenth of their size.
    if len(self._masks) < len(self._cache):
      self._masks[row] = bits
    return _Finished(levels, bits)


class _Finished(NamedTuple):
  """An image as it is kept: uint16[h, w, c], and the bits of its mask."""

  levels: np.ndarray
  mask_bits: np.ndarray | None
