"""Rendered phantoms in files that are whole or not there.

A cache is a folder named after the spec: images.npy, masks.npy and sums.json
with their SHA-256 sums. It is written under a temporary name and renamed, so
that a reader never sees half of it, and it is checked whenever it is opened.
"""

from collections.abc import Callable
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
import tempfile

import numpy as np

from mammojax import errors
from mammojax.data.phantom import spec as specs

_log = logging.getLogger(__name__)
FILES = ('images.npy', 'masks.npy')


def folder_name(spec: specs.PhantomSpec) -> str:
  """Name of the cache of a spec; another version or field, another name."""
  text = json.dumps(dataclasses.asdict(spec), sort_keys=True, default=float)
  digest = hashlib.sha256(text.encode()).hexdigest()[:16]
  return f'phantom-v{specs.PHANTOM_VERSION}-{digest}'


def open_or_make(
  spec: specs.PhantomSpec,
  cache_dir: pathlib.Path,
  shapes: tuple[tuple[int, ...], tuple[int, ...]],
  fill: Callable[[np.ndarray, np.ndarray], None],
) -> tuple[np.ndarray, np.ndarray]:
  """Maps the files of a spec, making them when missing or damaged.

  Args:
    spec: the phantom women.
    cache_dir: folder that holds caches, made when missing.
    shapes: shape of the images (uint16) and of the masks (uint8).
    fill: writes every image and mask into two arrays of these shapes.

  Returns:
    (uint16 images, uint8 masks), memory-mapped and read-only.

  Raises:
    ResourceError: too little disk, or a folder that cannot be written.
  """
  folder = cache_dir / folder_name(spec)
  if folder.exists():
    fault = find_fault(folder, shapes)
    if not fault:
      return _map(folder)
    _log.warning('Phantom cache %s: %s; rendering it again.', folder, fault)
  try:
    _make(folder, shapes, fill)
  except OSError as error:
    need = 2 * int(np.prod(shapes[0])) + int(np.prod(shapes[1]))
    raise errors.ResourceError(
      f'Cannot write the phantom cache {str(folder)!r} '
      f'({need / 2**20:.0f} MiB): {error}. Free some space, or choose another '
      'cache folder, or none to keep the images in memory.'
    ) from error
  return _map(folder)


def find_fault(folder: pathlib.Path, shapes: tuple) -> str:
  """What is wrong with a cache, or '' when it is sound.

  Args:
    folder: one cache.
    shapes: shapes of images and masks that it should have.

  Returns:
    str.
  """
  try:
    sums = json.loads((folder / 'sums.json').read_text(encoding='utf-8'))
    for name, shape in zip(FILES, shapes, strict=True):
      if np.load(folder / name, mmap_mode='r').shape != shape:
        return f'{name} has another shape'
      if _sum(folder / name) != sums[name]:
        return f'{name} does not match its sum'
  except (OSError, ValueError, KeyError, TypeError) as error:
    return f'unreadable ({error})'
  return ''


def _map(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
  images, masks = (np.load(folder / name, mmap_mode='r') for name in FILES)
  return images, masks


def _sum(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _make(folder: pathlib.Path, shapes: tuple, fill: Callable) -> None:
  """Writes a cache beside its place and renames it."""
  folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
  need = 2 * int(np.prod(shapes[0])) + int(np.prod(shapes[1]))
  free = shutil.disk_usage(folder.parent).free
  if free < need:
    raise OSError(f'{free / 2**20:.0f} MiB are free')
  draft = pathlib.Path(
    tempfile.mkdtemp(prefix=f'.{folder.name}-', dir=folder.parent)
  )
  try:
    arrays = [
      np.lib.format.open_memmap(draft / name, 'w+', dtype=dtype, shape=shape)
      for name, dtype, shape in zip(
        FILES, (np.uint16, np.uint8), shapes, strict=True
      )
    ]
    fill(*arrays)
    for array in arrays:
      array.flush()
    sums = {name: _sum(draft / name) for name in FILES}
    (draft / 'sums.json').write_text(json.dumps(sums), encoding='utf-8')
    for path in draft.iterdir():
      path.chmod(0o600)
    _put(draft, folder, shapes)
  finally:
    shutil.rmtree(draft, ignore_errors=True)


def _put(draft: pathlib.Path, folder: pathlib.Path, shapes: tuple) -> None:
  """Renames the draft, unless another process was faster."""
  if folder.exists() and not find_fault(folder, shapes):
    return
  # A damaged cache is moved aside whole before it is removed.
  aside = draft.with_name(draft.name + '-damaged')
  if folder.exists():
    os.rename(folder, aside)
  try:
    os.rename(draft, folder)
  except OSError:
    if find_fault(folder, shapes):
      raise
  finally:
    shutil.rmtree(aside, ignore_errors=True)
