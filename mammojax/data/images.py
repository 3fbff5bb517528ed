"""Images of a table, read from files and kept in memory.

frame, store = table.read('manifest.csv', columns={'subject': 'subject_id'})
images = TableImages(frame, store, image_size=96, channels=3)
images.preload(threads=2)
batch = images.images(np.array([3, 5]))       # float32[2, 96, 96, 3]
"""

from concurrent import futures
import logging
import threading
import time

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import imagefiles, imageset, preprocess, readers

_LOG = logging.getLogger(__name__)
_FULL = np.float32(65535.0)


class TableImages:
  """An `ImageSet` over files.

  Every image is rounded to a multiple of 1/65,535 after it was fitted (an error
  of at most 7.7e-6), whether it comes from memory or from its file, so a result
  does not depend on what the memory held.

  Attributes:
    frame: see `mammojax.data.table`.
    image_size: height and width in pixels.
    channels: 1 or 3.
  """

  def __init__(
    self,
    frame: pd.DataFrame,
    store: readers.Store,
    *,
    image_size: int,
    channels: int,
    fit: str = 'pad',
    mirror: str = '',
    cache_mb: int = 2048,
    voi: str = 'none',
  ):
    """Reads nothing yet.

    Args:
      frame: one row an image, with `path`; `row` and `laterality` are used
        when there.
      store: where the paths lead.
      image_size: height and width in pixels.
      channels: 1 or 3.
      fit: a mode of `preprocess.fit`.
      mirror: '', or the laterality ('L' or 'R') whose images are flipped left
        to right so that both sides look alike.
      cache_mb: memory for fitted images in MiB; the rest is read when asked.
      voi: which window of DICOM files is used, a mode of `luts`.

    Raises:
      UsageError: an unknown fit, mirror or voi, or a size below 1.
    """
    if fit not in preprocess.MODES:
      raise errors.unknown('fit', fit, preprocess.MODES)
    if mirror not in ('', 'L', 'R'):
      raise errors.unknown('mirror', mirror, ('', 'L', 'R'))
    if channels not in (1, 3) or image_size < 1:
      raise errors.UsageError(
        f'channels is {channels}, image_size {image_size}; channels must be 1'
        ' or 3 and the size positive.'
      )
    self.frame = frame
    self.image_size = image_size
    self.channels = channels
    self._files = imagefiles.ImageFiles(store, voi)
    self._fit = fit
    self._paths = frame['path'].tolist()
    self._mirrored = np.zeros(len(frame), bool)
    if mirror and 'laterality' in frame:
      self._mirrored = (frame['laterality'] == mirror).to_numpy()
    self._make_cache(cache_mb)

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """See `ImageSet.images`."""
    if region not in imageset.REGIONS:
      raise errors.unknown('region', region, imageset.REGIONS)
    rows = np.asarray(rows, np.int64)
    shape = (len(rows), self.image_size, self.image_size, self.channels)
    batch = np.empty(shape, np.float32)
    for place, row in enumerate(rows.tolist()):
      np.divide(self._levels(row), _FULL, out=batch[place])
      if region != 'all':
        mask = preprocess.breast_mask(batch[place])
        batch[place] = preprocess.region(batch[place], mask, region)
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

  def _make_cache(self, cache_mb: int) -> None:
    shape = (self.image_size, self.image_size, self.channels)
    fitting = cache_mb * 2**20 // (2 * int(np.prod(shape)))
    num_slots = max(0, min(len(self._paths), fitting))
    # Pages of zeros take no memory before they are written.
    self._cache = np.zeros((num_slots, *shape), np.uint16)
    self._slot = np.full(len(self._paths), -1, np.int64)
    self._num_used = 0
    self._lock = threading.Lock()

  def _levels(self, row: int) -> np.ndarray:
    """uint16[h, w, c] of one row, from memory or from its file."""
    slot = self._slot[row]
    if slot >= 0:
      return self._cache[slot]
    levels = self._read(row)
    with self._lock:
      if self._slot[row] < 0 and self._num_used < len(self._cache):
        self._cache[self._num_used] = levels
        # Only now may others find it: the pixels are complete.
        self._slot[row] = self._num_used
        self._num_used += 1
    return levels

  def _read(self, row: int) -> np.ndarray:
    path = self._paths[row]
    try:
      image = self._files.image(path)
    except errors.DataError as error:
      line = self.frame['row'].iloc[row] if 'row' in self.frame else row
      raise errors.DataError(f'Row {line} of the table: {error}') from error
    image = preprocess.to_channels(image, self.channels)
    image = preprocess.fit(image, self.image_size, self._fit)
    if self._mirrored[row]:
      image = image[:, ::-1]
    return np.rint(np.clip(image, 0.0, 1.0) * _FULL).astype(np.uint16)
