"""Writes the folder that `prepared` reads."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from typing import Any, NamedTuple

from array_record.python import array_record_module
import numpy as np

from mammojax import errors
from mammojax.data import imageset

FILE = 'images.array_record'
ABOUT = 'prepared.json'
# Of `prepared.json`, besides the sum of all of them.
FIELDS = (
  'version', 'identity', 'key', 'depth', 'regions', 'image_size', 'channels',
  'rows', 'sha256',
)  # fmt: skip
VERSION = 1
_BATCH = 64
# What a record takes on disk beyond its pixels, generously.
_OVERHEAD = 256


class Depth(NamedTuple):
  """How a value in [0, 1] is stored.

  Attributes:
    dtype: of the file, little-endian.
    full: what 1.0 becomes.
  """

  dtype: str
  full: np.float32


# 'uint16' rounds to multiples of 1/65,535, an error of at most 7.7e-6 and none
# for images of a table, which lie on them; 'uint8' to those of 1/255, at most
# 0.002; 'float32' keeps every value.
DEPTHS = {
  'uint16': Depth('<u2', np.float32(65535)),
  'uint8': Depth('u1', np.float32(255)),
  'float32': Depth('<f4', np.float32(1)),
}


def identity(key: Mapping[str, Any], depth: str) -> str:
  """The sha256 of a key, the depth and the version of the format."""
  text = json.dumps([VERSION, depth, key], sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def lock(folder: pathlib.Path) -> Iterator[None]:
  """Held by one process at a time; others wait.

  The kernel gives it back when the process dies. The file stays: deleting it
  would race.

  Args:
    folder: the place, which need not exist; its parents are made.

  Raises:
    ResourceError: the parent cannot be written.
  """
  try:
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(
      folder.with_name(f'.{folder.name}.lock'), os.O_RDWR | os.O_CREAT, 0o600
    )
  except OSError as error:
    raise errors.ResourceError(
      f'{folder} cannot be made: {error}. Name another data.prepared.'
    ) from error
  try:
    fcntl.flock(handle, fcntl.LOCK_EX)
    yield
  finally:
    os.close(handle)


def write(
  folder: pathlib.Path,
  key: Mapping[str, Any],
  images: imageset.ImageSet,
  depth: str,
  regions: Sequence[str],
  threads: int,
) -> None:
  """Writes beside the folder, then renames; see `prepared.make`.

  The lock must be held: a draft that lies there belongs to a process that
  died.
  """
  draft = folder.with_name(f'.{folder.name}.making')
  shutil.rmtree(draft, ignore_errors=True)
  try:
    _check_room(folder, images, depth, regions)
    draft.mkdir(mode=0o700)
    _write_records(draft / FILE, images, DEPTHS[depth], regions, threads)
    about = {
      'version': VERSION,
      'identity': identity(key, depth),
      'key': dict(key),
      'depth': depth,
      'regions': list(regions),
      'image_size': images.image_size,
      'channels': images.channels,
      'rows': images.frame['row'].tolist(),
      'sha256': _settle(draft / FILE),
    }
    about['sum'] = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    (draft / ABOUT).write_text(json.dumps(about))
    _settle(draft / ABOUT)
    draft.rename(folder)
  except (OSError, RuntimeError) as error:
    raise errors.ResourceError(
      f'{folder} cannot be written: {error}. Free some space, or name another'
      ' data.prepared.'
    ) from error
  finally:
    shutil.rmtree(draft, ignore_errors=True)


def _check_room(folder, images, depth, regions):
  pixels = images.image_size**2 * images.channels
  record = pixels * np.dtype(DEPTHS[depth].dtype).itemsize + _OVERHEAD
  needed = len(images.frame) * len(regions) * record
  free = shutil.disk_usage(folder.parent).free
  if free < needed:
    raise errors.ResourceError(
      f'{folder}: the prepared images need {needed} bytes, {free} are free.'
      ' Free some space, name another data.prepared, or store less with'
      ' data.prepared_depth.'
    )


def _write_records(path, images, depth, regions, threads):
  # Groups of one and no compression: reading one image reads nothing else.
  writer = array_record_module.ArrayRecordWriter(
    str(path), 'group_size:1,uncompressed'
  )
  try:
    for batch in _in_order(images, regions, threads):
      for image in batch:
        writer.write(_stored(image, depth).tobytes())
  finally:
    writer.close()


def _stored(image, depth):
  if depth.dtype == '<f4':
    return image.astype(depth.dtype)
  levels = np.rint(np.clip(image, 0.0, 1.0) * depth.full)
  return levels.astype(depth.dtype)


def _in_order(images, regions, threads):
  """float32[n * regions, h, w, c]: batches in order of the table.

  The regions of an image follow each other. A few batches are held at once.
  """

  def read(start):
    rows = np.arange(start, min(start + _BATCH, len(images.frame)))
    parts = [images.images(rows, region) for region in regions]
    stacked = np.stack(parts, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])

  with futures.ThreadPoolExecutor(threads) as pool:
    waiting = deque()
    for start in range(0, len(images.frame), _BATCH):
      waiting.append(pool.submit(read, start))
      if len(waiting) > threads:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()


def _settle(path: pathlib.Path) -> str:
  """Makes a file private and durable; its sha256."""
  path.chmod(0o600)
  with path.open('rb') as file:
    os.fsync(file.fileno())
    return hashlib.file_digest(file, 'sha256').hexdigest()
