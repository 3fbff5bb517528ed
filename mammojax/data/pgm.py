"""PGM, the plain grey format of Netpbm: binary (P5) and text (P2).

image = decode(data, 'mdb001.pgm')               # float32[h, w, 1]

Levels go up to the `maxval` of the header, so a 12 bit file that says 4095 is
divided by 4095. Above 255 a binary level takes two bytes, high byte first.

Source: https://netpbm.sourceforge.net/doc/pgm.html
"""

import re

import numpy as np

from mammojax import errors
from mammojax.data import limits

# Three numbers after the magic; a comment runs to the end of its line.
_GAP = rb'(?:\s|#[^\r\n]*[\r\n])+'
_HEADER = re.compile(
  rb'P[25]' + _GAP + rb'(\d+)' + _GAP + rb'(\d+)' + _GAP + rb'(\d+)'
  rb'(?:#[^\r\n]*)?(?:\s|$)'
)
_COMMENT = re.compile(rb'#[^\r\n]*')
_HEADER_BYTES = 4096


def matches(data: bytes) -> bool:
  """Whether the bytes begin like a PGM."""
  return data[:2] in (b'P2', b'P5') and data[2:3] in b'#\t\n\v\f\r '


def inspect(data: bytes, name: str) -> tuple[int, int, int, int]:
  """See `readers.inspect`; the bits are those that `maxval` needs."""
  width, height, maxval, _ = _header(data, name)
  return width, height, 1, maxval.bit_length()


def decode(data: bytes, name: str) -> np.ndarray:
  """A PGM as float32, value / maxval.

  Args:
    data: the bytes of the whole file.
    name: for messages.

  Returns:
    float32[h, w, 1] in [0, 1].

  Raises:
    DataError: cut, damaged, levels above `maxval`, more than one image, or
      above 100 megapixels.
  """
  width, height, maxval, start = _header(data, name)
  limits.check_pixels(width, height, name)
  body = memoryview(data)[start:]
  if data.startswith(b'P5'):
    levels = _binary(body, width * height, maxval, name)
  else:
    levels = _text(bytes(body), width * height, name)
  if levels.min() < 0 or levels.max() > maxval:
    raise errors.DataError(
      f'{name!r}: damaged PGM, levels from {levels.min()} to {levels.max()}'
      f' where the header promises 0 to {maxval}.'
    )
  image = levels.astype(np.float32)
  image /= np.float32(maxval)
  return image.reshape(height, width, 1)


def _header(data: bytes, name: str) -> tuple[int, int, int, int]:
  """(width, height, maxval, offset of the pixels)."""
  found = _HEADER.match(data[:_HEADER_BYTES])
  if found is None:
    raise errors.DataError(f'{name!r}: the PGM header is cut or damaged.')
  # Ten digits are refused as a size soon enough; int() refuses thousands.
  width, height, maxval = (int(text[:10]) for text in found.groups())
  if not 0 < maxval < 65536:
    raise errors.DataError(
      f'{name!r}: PGM maxval {maxval}; it must be 1 to 65535.'
    )
  return width, height, maxval, found.end()


def _binary(body: memoryview, count: int, maxval: int, name: str) -> np.ndarray:
  dtype = np.dtype('>u2' if maxval > 255 else 'u1')
  wanted = count * dtype.itemsize
  _check_count(len(body), wanted, 'bytes', name)
  # Some writers end the file with a line break.
  if bytes(body[wanted:]).strip():
    raise errors.DataError(
      f'{name!r}: {len(body) - wanted} bytes after the pixels; a PGM of'
      ' several images? Write one image a file.'
    )
  return np.frombuffer(body, dtype, count)


def _text(body: bytes, count: int, name: str) -> np.ndarray:
  words = _COMMENT.sub(b'', body).split()
  _check_count(len(words), count, 'levels', name)
  try:
    levels = np.array(words[:count]).astype(np.int64)
  except (ValueError, OverflowError) as error:
    raise errors.DataError(
      f'{name!r}: damaged PGM, a level that is no whole number.'
    ) from error
  if len(words) > count:
    raise errors.DataError(
      f'{name!r}: {len(words)} levels for {count} pixels; write one image a'
      ' file.'
    )
  return levels


def _check_count(got: int, wanted: int, what: str, name: str) -> None:
  if got < wanted:
    raise errors.DataError(
      f'{name!r}: truncated PGM, {got} of {wanted} {what}; copy it again.'
    )
