"""Images stored once, after all that is done to them, and read at random.

    kept = {'depth': 'uint16', 'regions': ('all',)}
    images = prepared.find(folder, key, **kept)  # None where there is none
    if images is None:
      images = prepared.make(folder, key, table_images, **kept)
    batch = images.images(np.array([3, 5]))      # float32[2, h, w, c]

A folder holds `images.array_record`, one record an image and region, and
`prepared.json` with the key, the table's rows and the sum of that file. It is
written beside its place and renamed, so it is whole or not there, and checked
whenever it is opened. How a value is stored, see `DEPTHS`.
"""

from collections.abc import Mapping, Sequence
import hashlib
import json
import logging
import os
import pathlib
import time
from typing import Any

from array_record.python import array_record_module
import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import imageset, preparing

_LOG = logging.getLogger(__name__)
Key = Mapping[str, Any]


class PreparedImages:
  """An `ImageSet` that reads what `make` stored; safe to use from threads.

  Attributes:
    frame: set by `use`; until then only the column `row`.
    image_size: height and width in pixels.
    channels: 1 or 3.
    regions: those that are stored.
    depth: how values are stored.
  """

  def __init__(self, folder: pathlib.Path, about: Mapping[str, Any]):
    self.frame = pd.DataFrame({'row': about['rows']})
    self.image_size = about['image_size']
    self.channels = about['channels']
    self.regions = tuple(about['regions'])
    self.depth = about['depth']
    self._file = folder / preparing.FILE
    self._depth = preparing.DEPTHS[self.depth]
    self._reader = array_record_module.ArrayRecordReader(str(self._file))

  def use(self, frame: pd.DataFrame) -> 'PreparedImages':
    """Takes the table of the stored images.

    Args:
      frame: the same rows in the same order, by the column `row`.

    Returns:
      itself.

    Raises:
      IntegrityError: other rows.
    """
    if frame['row'].tolist() != self.frame['row'].tolist():
      raise errors.IntegrityError(
        f'{self._file.parent} holds {len(self.frame)} images that are not'
        f' those of the {len(frame)} rows of the table. {_REMEDY}'
      )
    self.frame = frame
    return self

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """See `ImageSet.images`; IntegrityError where the file is damaged."""
    if region not in imageset.REGIONS:
      raise errors.unknown('region', region, imageset.REGIONS)
    if region not in self.regions:
      raise errors.DataError(
        f'{self._file.parent} holds the regions {", ".join(self.regions)} and'
        f' not {region!r}. {_REMEDY}'
      )
    rows = np.asarray(rows, np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(self.frame):
      raise errors.DataError(
        f'{self._file} holds {len(self.frame)} images, and rows {rows.min()}'
        f' to {rows.max()} were asked for.'
      )
    shape = (self.image_size, self.image_size, self.channels)
    batch = np.empty((len(rows), *shape), np.float32)
    places = rows * len(self.regions) + self.regions.index(region)
    for image, record in zip(batch, self._records(places), strict=True):
      stored = np.frombuffer(record, self._depth.dtype).reshape(shape)
      np.divide(stored, self._depth.full, out=image)
    return batch

  def _records(self, places: np.ndarray) -> list[bytes]:
    # One call for a batch: the reader fetches and checks in threads of its own.
    try:
      return self._reader.read(places.tolist()) if len(places) else []
    except RuntimeError as error:
      raise errors.IntegrityError(
        f'{self._file} is damaged: {error}. {_REMEDY}'
      ) from error


_REMEDY = 'Remove that folder to have it made again, or name another.'


def find(
  folder: str | os.PathLike[str],
  key: Key,
  *,
  depth: str,
  regions: Sequence[str],
) -> PreparedImages | None:
  """Opens a prepared folder and checks it.

  Args:
    folder: as given to `make`.
    key: what the pixels depend on, as JSON values.
    depth: how values are stored, a name of `preparing.DEPTHS`.
    regions: those that must be there; others may.

  Returns:
    The images, or None where there is no such folder or an empty one.
    Time: the file is read once, about a second a GB.

  Raises:
    UsageError: an unknown depth.
    IntegrityError: another key or depth, regions that lack, a changed file.
    DataError: a folder of something else.
  """
  folder = pathlib.Path(folder)
  if folder.exists() and not folder.is_dir():
    raise errors.DataError(f'{folder} is a file; data.prepared is a folder.')
  if depth not in preparing.DEPTHS:
    raise errors.unknown('data.prepared_depth', depth, preparing.DEPTHS)
  if not folder.exists() or not any(folder.iterdir()):
    return None
  about = _read_about(folder)
  key = json.loads(json.dumps(key))
  if about['identity'] != preparing.identity(key, depth):
    found = {**about['key'], 'depth': about['depth']}
    raise errors.IntegrityError(
      f'{folder} was prepared otherwise:\n'
      f'{_differences(found, {**key, "depth": depth})}\n{_REMEDY}'
    )
  missing = [name for name in regions if name not in about['regions']]
  if missing:
    raise errors.IntegrityError(
      f'{folder} lacks the region {", ".join(missing)}. {_REMEDY}'
    )
  _check_file(folder / preparing.FILE, about)
  return PreparedImages(folder, about)


def make(
  folder: str | os.PathLike[str],
  key: Key,
  images: imageset.ImageSet,
  *,
  depth: str,
  regions: Sequence[str],
  threads: int = 2,
) -> PreparedImages:
  """Stores the images of a set, unless another process just did.

  Args:
    folder: made when missing, with its parents.
    key: what the pixels depend on, as JSON values.
    images: whose images, in the order of its frame.
    depth: see `find`.
    regions: those that are stored.
    threads: batches read at once.

  Returns:
    The stored images, with the frame of the set.

  Raises:
    ResourceError: too little disk, or a folder that cannot be written.
    IntegrityError, DataError: as `find`; images that cannot be read.
  """
  folder = pathlib.Path(folder)
  start = time.monotonic()
  with preparing.lock(folder):
    found = find(folder, key, depth=depth, regions=regions)
    if found is None:
      preparing.write(folder, key, images, depth, regions, threads)
      _LOG.info(
        '%d images prepared in %s in %.1f s.',
        len(images.frame),
        folder,
        time.monotonic() - start,
      )
      found = find(folder, key, depth=depth, regions=regions)
  if found is None:
    raise errors.ResourceError(f'{folder} vanished while it was made.')
  return found.use(images.frame)


def _read_about(folder: pathlib.Path) -> dict[str, Any]:
  """What `prepared.json` holds, all fields being there."""
  path = folder / preparing.ABOUT
  try:
    about = dict(json.loads(path.read_bytes()))
  except FileNotFoundError as error:
    raise errors.DataError(
      f'{folder} is no folder of prepared images: it has no'
      f' {preparing.ABOUT}. Name another, or an empty one.'
    ) from error
  except (OSError, ValueError, TypeError) as error:
    raise errors.IntegrityError(
      f'{path} is damaged: {error}. {_REMEDY}'
    ) from error
  text = json.dumps({name: about.get(name) for name in preparing.FIELDS})
  if about.get('sum') != hashlib.sha256(text.encode()).hexdigest():
    raise errors.IntegrityError(f'{path} does not match its sum. {_REMEDY}')
  return about


def _check_file(path: pathlib.Path, about: Mapping[str, Any]) -> None:
  try:
    with path.open('rb') as file:
      found = hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise errors.IntegrityError(
      f'{path} cannot be read: {error}. {_REMEDY}'
    ) from error
  if found != about['sha256']:
    raise errors.IntegrityError(f'{path} does not match its sum. {_REMEDY}')


def _differences(found: Key, wanted: Key) -> str:
  names = sorted({*found, *wanted})
  return '\n'.join(
    f'  {name}: {found.get(name)!r} there, {wanted.get(name)!r} wanted'
    for name in names
    if found.get(name) != wanted.get(name)
  )
