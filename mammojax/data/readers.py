"""Bytes of image files, and the one way from them to float32.

    store = open_store('images.zip')           # or a folder
    image = decode(store.read('a/1.png'), 'a/1.png')   # float32[h, w, c]

8 and 16 bit, PNG and JPEG, grey and colour go through `decode`, never through
8 bit. What a file is, is told by its bytes and not by its name. A store never
reads outside its root.
"""

import pathlib
import stat
import struct
import threading
from typing import Protocol
import zipfile
import zlib

import cv2
import numpy as np

from mammojax import errors

MAX_MEGAPIXELS = 100
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, OSError, EOFError)
# An archive member is refused when it is both large and this well packed.
_MAX_RATIO = 200
_LARGE_BYTES = 1 << 24
_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
# Start-of-frame markers; C4, C8 and CC share the range and mean other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FOREIGN = (
  (b'GIF8', 'a GIF'),
  (b'II*\x00', 'a TIFF'),
  (b'BM', 'a BMP'),
  (b'PK\x03\x04', 'a zip archive'),
  (b'version https://git-lfs', 'a Git LFS pointer: fetch the real file'),
)


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

  def read(self, path: str) -> bytes:
    """See `Store.read`."""
    target = self._locate(path)
    if not target.is_file():
      raise errors.DataError(f'{path!r} does not exist in {self.root}.')
    try:
      return target.read_bytes()
    except OSError as error:
      raise errors.DataError(f'{path!r} cannot be read: {error}.') from error

  def exists(self, path: str) -> bool:
    """See `Store.exists`."""
    return self._locate(path).is_file()

  def close(self) -> None:
    """Holds nothing open."""

  def _locate(self, path: str) -> pathlib.Path:
    _check_relative(path)
    try:
      target = (self.root / path).resolve()
    except (OSError, RuntimeError) as error:
      raise errors.DataError(f'{path!r} cannot be read: {error}.') from error
    if not target.is_relative_to(self.root):
      raise errors.DataError(f'{path!r} leads outside {self.root}; refused.')
    return target


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
    packed = max(info.compress_size, 1)
    if info.file_size > max(_LARGE_BYTES, _MAX_RATIO * packed):
      raise errors.DataError(
        f'{path!r} unpacks {packed} bytes to {info.file_size}; refused above a'
        f' ratio of {_MAX_RATIO}.'
      )
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
  """What the header of a PNG or JPEG says, without decoding it.

  Args:
    data: the bytes of the file.
    name: for messages.

  Returns:
    (width, height, channels, bits): channels 1 or 3 without alpha, bits a
    channel (1, 2, 4, 8 or 16).

  Raises:
    DataError: neither PNG nor JPEG, or a header that is cut.
  """
  if data.startswith(_PNG):
    if len(data) < 33 or data[12:16] != b'IHDR':
      raise errors.DataError(f'{name!r}: the PNG header is cut or damaged.')
    width, height, bits, kind = struct.unpack('>IIBB', data[16:26])
    if kind not in _PNG_CHANNELS:
      raise errors.DataError(f'{name!r}: PNG colour type {kind} is unknown.')
    return width, height, _PNG_CHANNELS[kind], bits
  if data.startswith(_JPEG):
    (bits, height, width, parts), _ = _jpeg_header(data, name)
    return width, height, 1 if parts == 1 else 3, bits
  raise errors.DataError(f'{name!r}: {_guess(data)}, not a PNG or JPEG.')


def decode(data: bytes, name: str) -> np.ndarray:
  """A PNG or JPEG as float32, value / (2^bits - 1).

  Alpha is dropped, a palette is resolved, orientation tags are not obeyed.

  Args:
    data: the bytes of the whole file.
    name: for messages.

  Returns:
    float32[h, w, c] in [0, 1]; c is 1 (grey) or 3 (RGB). All 65,536 levels of
    a 16 bit file stay apart.

  Raises:
    DataError: not an image, cut, damaged, or above 100 megapixels (told from
      the header, before decoding).
  """
  width, height, channels, _ = inspect(data, name)
  if width * height > MAX_MEGAPIXELS * 1_000_000:
    raise errors.DataError(
      f'{name!r}: {width} x {height} pixels; refused above'
      f' {MAX_MEGAPIXELS} megapixels.'
    )
  if data.startswith(_PNG):
    _check_png(data, name)
  else:
    _check_jpeg(data, name)
  try:
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  except cv2.error as error:
    raise errors.DataError(
      f'{name!r}: decoding failed: {error.err}.'
    ) from error
  if raw is None or raw.shape[:2] != (height, width):
    raise errors.DataError(
      f'{name!r}: {len(data)} bytes that cannot be decoded; damaged?'
    )
  return _to_float(raw, channels)


def _to_float(raw: np.ndarray, channels: int) -> np.ndarray:
  if raw.ndim == 2:
    raw = raw[:, :, None]
  # Grey with transparency arrives as equal channels; blue is stored first.
  raw = raw[:, :, :1] if channels == 1 else raw[:, :, 2::-1]
  image = raw.astype(np.float32)
  image /= np.iinfo(raw.dtype).max
  return image


def _check_png(data: bytes, name: str) -> None:
  """Walks the chunks: a cut file has no end, a damaged one a wrong sum."""
  at = len(_PNG)
  while at + 12 <= len(data):
    (length,) = struct.unpack_from('>I', data, at)
    end = at + 12 + length
    if end > len(data):
      break
    (stored,) = struct.unpack_from('>I', data, end - 4)
    if zlib.crc32(memoryview(data)[at + 4 : end - 4]) != stored:
      raise errors.DataError(
        f'{name!r}: damaged PNG, wrong checksum at byte {at} of {len(data)}.'
      )
    if data[at + 4 : at + 8] == b'IEND':
      return
    at = end
  raise errors.DataError(
    f'{name!r}: truncated PNG, no end after {len(data)} bytes.'
  )


def _check_jpeg(data: bytes, name: str) -> None:
  """Looks for the end marker, which OpenCV does not miss when it is gone."""
  _, scan = _jpeg_header(data, name)
  if data.rfind(b'\xff\xd9', scan) < 0:
    raise errors.DataError(
      f'{name!r}: truncated JPEG, no end marker in {len(data)} bytes.'
    )


def _jpeg_header(
  data: bytes, name: str
) -> tuple[tuple[int, int, int, int], int]:
  """((bits, height, width, components), offset of the first scan or frame)."""
  at = 2
  while at + 4 <= len(data) and data[at] == 0xFF:
    marker = data[at + 1]
    if marker == 0xFF:  # fill byte
      at += 1
      continue
    if marker in _FRAMES and at + 10 <= len(data):
      bits, height, width, parts = struct.unpack_from('>BHHB', data, at + 4)
      return (bits, height, width, parts), at
    if marker == 0x01 or 0xD0 <= marker <= 0xD9:  # markers without a length
      at += 2
      continue
    at += 2 + struct.unpack_from('>H', data, at + 2)[0]
  raise errors.DataError(f'{name!r}: the JPEG header is cut or damaged.')


def _guess(data: bytes) -> str:
  if not data:
    return 'an empty file'
  if data[:512].lstrip().lower().startswith((b'<!doctype', b'<html', b'<?xml')):
    return 'an HTML or XML page'
  if data[128:132] == b'DICM':
    return 'a DICOM file'
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
