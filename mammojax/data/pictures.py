"""PNG and JPEG of 8 and 16 bit, grey and colour, without loss of levels.

image = decode(data, 'a/1.png')                  # float32[h, w, c]
"""

import struct
import zlib

import cv2
import numpy as np

from mammojax import errors
from mammojax.data import limits

_PNG = b'\x89PNG\r\n\x1a\n'
_JPEG = b'\xff\xd8\xff'
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
# Start-of-frame markers; C4, C8 and CC share the range and mean other things.
# F7 is that of JPEG-LS, which DICOM files may hold.
_FRAMES = frozenset({0xF7, *range(0xC0, 0xD0)}) - {0xC4, 0xC8, 0xCC}


def matches(data: bytes) -> bool:
  """Whether the bytes begin like a PNG or JPEG."""
  return data.startswith((_PNG, _JPEG))


def inspect(data: bytes, name: str) -> tuple[int, int, int, int]:
  """See `readers.inspect`."""
  if data.startswith(_PNG):
    if len(data) < 33 or data[12:16] != b'IHDR':
      raise errors.DataError(f'{name!r}: the PNG header is cut or damaged.')
    width, height, bits, kind = struct.unpack('>IIBB', data[16:26])
    if kind not in _PNG_CHANNELS:
      raise errors.DataError(f'{name!r}: PNG colour type {kind} is unknown.')
    return width, height, _PNG_CHANNELS[kind], bits
  (bits, height, width, parts), _ = jpeg_header(data, name)
  return width, height, 1 if parts == 1 else 3, bits


def decode(data: bytes, name: str) -> np.ndarray:
  """A PNG or JPEG as float32, value / (2^bits - 1).

  Alpha is dropped, a palette is resolved, orientation tags are not obeyed.

  Args:
    data: the bytes of the whole file.
    name: for messages.

  Returns:
    float32[h, w, c] in [0, 1]; c is 1 (grey) or 3 (RGB).

  Raises:
    DataError: cut, damaged, or above 100 megapixels.
  """
  width, height, channels, _ = inspect(data, name)
  limits.check_pixels(width, height, name)
  is_png = data.startswith(_PNG)
  if is_png:
    _check_png(data, name, summed_by_decoder=(b'IDAT',))
  else:
    _check_jpeg(data, name)
  try:
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
  except cv2.error as error:
    raise errors.DataError(
      f'{name!r}: decoding failed: {error.err}.'
    ) from error
  if raw is None or raw.shape[:2] != (height, width):
    if is_png:
      _check_png(data, name)  # names the place
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


def _check_png(
  data: bytes, name: str, summed_by_decoder: tuple[bytes, ...] = ()
) -> None:
  """Walks the chunks: a cut file has no end, a damaged one a wrong sum.

  OpenCV refuses pixels with a wrong sum by itself, so that these, nearly all of
  a file, need not be summed twice.
  """
  at = len(_PNG)
  while at + 12 <= len(data):
    (length,) = struct.unpack_from('>I', data, at)
    end = at + 12 + length
    if end > len(data):
      break
    kind = data[at + 4 : at + 8]
    (stored,) = struct.unpack_from('>I', data, end - 4)
    is_summed = kind not in summed_by_decoder
    if is_summed and zlib.crc32(memoryview(data)[at + 4 : end - 4]) != stored:
      raise errors.DataError(
        f'{name!r}: damaged PNG, wrong checksum at byte {at} of {len(data)}.'
      )
    if kind == b'IEND':
      return
    at = end
  raise errors.DataError(
    f'{name!r}: truncated PNG, no end after {len(data)} bytes.'
  )


def _check_jpeg(data: bytes, name: str) -> None:
  """Looks for the end marker, which OpenCV does not miss when it is gone."""
  _, scan = jpeg_header(data, name)
  if data.rfind(b'\xff\xd9', scan) < 0:
    raise errors.DataError(
      f'{name!r}: truncated JPEG, no end marker in {len(data)} bytes.'
    )


def jpeg_header(
  data: bytes, name: str
) -> tuple[tuple[int, int, int, int], int]:
  """The first frame header of a JPEG.

  Args:
    data: the bytes of the file.
    name: for messages.

  Returns:
    ((bits, height, width, components), offset of that header).

  Raises:
    DataError: none is there.
  """
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
