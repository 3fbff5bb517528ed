"""Bytes of image files, and the one way from them to float32.

    store = open_store('images.zip')           # or a folder
    image = decode(store.read('a/1.png'), 'a/1.png')   # float32[h, w, c]

PNG, JPEG, PGM, idx, NumPy arrays and DICOM, grey and colour, go through
`decode`, never through 8 bit. What a file is, is told by its bytes and not by
its name. A store never reads outside its root. Images of a table, and those of
files that hold many, are read by `imagefiles`.
"""

import os
import pathlib
import stat
import threading
from typing import Protocol
import zipfile
import zlib

import numpy as np

from mammojax import errors
from mammojax.data import dicom, limits, pgm, pictures, stacks

_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError)
_FOREIGN = (
  (b'GIF8', 'a GIF'),
  (b'II*\x00', 'a TIFF'),
  (b'MM\x00*', 'a TIFF'),
  (b'BM', 'a BMP'),
  (b'P3', 'a colour PPM: write it as PNG'),
  (b'P6', 'a colour PPM: write it as PNG'),
  (b'PK\x03\x04', 'a zip archive or .npz: write one .npy an array'),
  (b'\x1f\x8b', 'a gzip file without idx images in it, or damaged'),
  (b'\x80', 'a pickle, which could run a program: save a plain .npy'),
  (b'version https://git-lfs', 'a Git LFS pointer: fetch the real file'),
)
_WANTED = 'a PNG, JPEG, PGM, DICOM, idx or .npy'


class Store(Protocol):
  """Files below one root, read by relative path; safe to use from threads."""

  root: pathlib.Path

  def read(self, path: str) -> bytes:
    """The bytes of a file; DataError when missing, outside or unreadable."""
    ...

  def exists(self, path: str) -> bool:
    """Whether `path` is a file; DataError when it lies outside the root."""
    ...

  def close(self) -> None:
    """Gives back what is held open."""
    ...


def open_store(path: str | pathlib.Path) -> Store:
  """A folder or a zip archive as a `Store`.

  Raises:
    DataError: nothing there, or neither a folder nor a zip archive.
  """
  root = pathlib.Path(path)
  if root.is_dir():
    return FolderStore(root)
  if root.is_file() and zipfile.is_zipfile(root):
    return ZipStore(root)
  what = 'is not a zip archive' if root.is_file() else 'does not exist'
  raise errors.DataError(
    f'The image root {str(root)!r} {what}; give a folder or a .zip file.'
  )


class FolderStore:
  """Files below a folder; links may not lead out of it."""

  def __init__(self, root: pathlib.Path):
    self.root = pathlib.Path(root).resolve()
    self._inside = os.path.join(self.root, '')

  def read(self, path: str) -> bytes:
    """See `Store.read`."""
    target = self.locate(path)
    if not target.is_file():
      raise errors.DataError(f'{path!r} does not exist in {self.root}.')
    try:
      return target.read_bytes()
    except OSError as error:
      raise errors.DataError(f'{path!r} cannot be read: {error}.') from error

  def exists(self, path: str) -> bool:
    """See `Store.exists`."""
    return self.locate(path).is_file()

  def close(self) -> None:
    """Holds nothing open."""

  def locate(self, path: str) -> pathlib.Path:
    """Where a file lies or would lie; DataError when outside the root."""
    _check_relative(path)
    # On strings: pathlib's own resolve takes longer than reading the file.
    try:
      target = os.path.realpath(os.path.join(self.root, path))
    except OSError as error:
      raise errors.DataError(f'{path!r} cannot be read: {error}.') from error
    if not target.startswith(self._inside):
      raise errors.DataError(f'{path!r} leads outside {self.root}; refused.')
    return pathlib.Path(target)


class ZipStore:
  """Members of a zip archive, read without unpacking it."""

  def __init__(self, root: pathlib.Path):
    self.root = pathlib.Path(root).resolve()
    self._archive = zipfile.ZipFile(self.root)
    self._lock = threading.Lock()  # one file position for all threads

  def read(self, path: str) -> bytes:
    """See `Store.read`; a wrong checksum or a packed bomb is refused too."""
    if not self.exists(path):
      raise errors.DataError(f'{path!r} does not exist in {self.root}.')
    info = self._archive.getinfo(path)
    if stat.S_ISLNK(info.external_attr >> 16):
      raise errors.DataError(f'{path!r} is a link inside {self.root}; refused.')
    limits.check_ratio(info.compress_size, info.file_size, path)
    try:
      with self._lock:
        return self._archive.read(info)
    except _ZIP_ERRORS as error:
      raise errors.DataError(
        f'{path!r} cannot be read from {self.root}: {error}.'
      ) from error

  def exists(self, path: str) -> bool:
    """See `Store.exists`."""
    _check_relative(path)
    return path in self._archive.NameToInfo and not path.endswith('/')

  def close(self) -> None:
    """Closes the archive."""
    self._archive.close()


def inspect(data: bytes, name: str) -> tuple[int, int, int, int]:
  """What the header of an image says, without decoding it.

  Args:
    data: the bytes of the file.
    name: for messages.

  Returns:
    (width, height, channels, bits): channels 1 or 3 without alpha, bits a
    channel (1 to 16; 32 or 64 of floats). Of a file with many images, those of
    each.

  Raises:
    DataError: no image, or a header that is cut.
  """
  for codec in (pictures, pgm, dicom):
    if codec.matches(data):
      return codec.inspect(data, name)
  if stacks.is_npy(data):
    array = stacks.open_npy(name, data)
  elif stacks.is_idx(data):
    array = stacks.open_idx(data, name)
  else:
    raise errors.DataError(f'{name!r}: {_guess(data)}, not {_WANTED}.')
  return stacks.inspect(array, name)


def decode(data: bytes, name: str, voi: str = 'none') -> np.ndarray:
  """An image as float32, value / (2^bits - 1).

  Alpha is dropped, a palette is resolved, orientation tags are not obeyed;
  DICOM is described in `dicom`, NumPy arrays in `stacks`.

  Args:
    data: the bytes of the whole file.
    name: for messages.
    voi: which window of a DICOM file is used, a mode of `luts`.

  Returns:
    float32[h, w, c] in [0, 1]; c is 1 (grey) or 3 (RGB). All 65,536 levels of
    a 16 bit file stay apart.

  Raises:
    DataError: not an image, cut, damaged, several images, or above 100
      megapixels (told from the header, before decoding).
  """
  if pictures.matches(data):
    return pictures.decode(data, name)
  if pgm.matches(data):
    return pgm.decode(data, name)
  if stacks.is_npy(data):
    return stacks.to_image(stacks.open_npy(name, data), name)
  if dicom.matches(data):
    return dicom.DicomFile(data, name, voi).image()
  stack = open_stack(data, name, voi)
  raise errors.DataError(
    f'{name!r} holds {len(stack)} images; name one by its index in the path,'
    f' {name + "#0"!r} to {f"{name}#{len(stack) - 1}"!r}.'
  )


def open_stack(data: bytes, name: str, voi: str = 'none') -> stacks.Stack:
  """The images of a file that holds several.

  Args:
    data: the bytes of the whole file.
    name: for messages.
    voi: see `decode`.

  Returns:
    a stack that keeps `data`.

  Raises:
    DataError: no such file, cut or damaged.
  """
  if stacks.is_npy(data):
    return stacks.ArrayStack(stacks.open_npy(name, data), name)
  if dicom.matches(data):
    return dicom.DicomFile(data, name, voi)
  if stacks.is_idx(data):
    return stacks.ArrayStack(stacks.open_idx(data, name), name)
  if pictures.matches(data) or pgm.matches(data):
    raise errors.DataError(
      f'{name!r} holds one image; leave the # and the index off its path.'
    )
  raise errors.DataError(f'{name!r}: {_guess(data)}, not {_WANTED}.')


def _guess(data: bytes) -> str:
  if not data:
    return 'an empty file'
  if data[:512].lstrip().lower().startswith((b'<!doctype', b'<html', b'<?xml')):
    return 'an HTML or XML page'
  for magic, what in _FOREIGN:
    if data.startswith(magic):
      return what
  return f'{len(data)} bytes that begin with {data[:8]!r}'


def _check_relative(path: str) -> None:
  windows = pathlib.PureWindowsPath(path)
  if not path or '\0' in path:
    raise errors.DataError(f'{path!r} is not a path.')
  if path.startswith(('/', '\\')) or windows.drive or '..' in windows.parts:
    raise errors.DataError(
      f'{path!r} is absolute or climbs with "..": paths are relative to the'
      ' image root; refused.'
    )
