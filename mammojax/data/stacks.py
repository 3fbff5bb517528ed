"""Files that hold many images: idx (MNIST) and NumPy arrays.

array = open_idx(data, 'train-images-idx3-ubyte.gz')   # uint8[60000, 28, 28]
array = open_npy('pairs.npy', pathlib.Path('pairs.npy'))   # memory-mapped
image = ArrayStack(array, 'pairs.npy').image(17)       # float32[h, w, 1]

Whole numbers are divided by the largest of their type (255 or 65,535); floats
must lie in [0, 1] already.
"""

import gzip
import io
import math
import pathlib
import struct
import tokenize
from typing import BinaryIO, Literal, Protocol
import zlib

import numpy as np

from mammojax import errors
from mammojax.data import limits

_GZIP = b'\x1f\x8b'
_NPY = b'\x93NUMPY'
_IDX = (b'\0\0\x08', b'\0\0\x09', b'\0\0\x0b', b'\0\0\x0c', b'\0\0\x0d')
_UINT8 = 8
_NPY_ERRORS = (
  ArithmeticError,
  EOFError,
  OSError,
  SyntaxError,
  TypeError,
  ValueError,
  tokenize.TokenError,
)


class Stack(Protocol):
  """Images of one file, by index."""

  def __len__(self) -> int:
    """Number of images."""
    ...

  def image(self, index: int) -> np.ndarray:
    """float32[h, w, c] in [0, 1]; DataError beyond the end."""
    ...


class ArrayStack:
  """A `Stack` along the first axis of an array."""

  def __init__(self, array: np.ndarray, name: str):
    self._array = array
    self._name = name

  def __len__(self) -> int:
    return len(self._array)

  def image(self, index: int) -> np.ndarray:
    """See `Stack.image`."""
    check_index(index, len(self), self._name)
    return to_image(self._array[index], f'{self._name}#{index}')


def check_index(index: int, count: int, name: str) -> None:
  """Refuses an index beyond the images of a file.

  Args:
    index: from 0.
    count: images in the file.
    name: for messages.

  Raises:
    DataError: out of range.
  """
  if not 0 <= index < count:
    raise errors.DataError(
      f'{name!r} holds {count} images; #{index} is not among #0 to'
      f' #{count - 1}.'
    )


def is_idx(data: bytes) -> bool:
  """Whether the bytes are idx, packed by gzip or not."""
  return _unpack(data, 4).startswith(_IDX)


def is_npy(data: bytes) -> bool:
  """Whether the bytes begin like a NumPy array."""
  return data.startswith(_NPY)


def open_idx(
  data: bytes, name: str, axes: tuple[int, ...] = (3, 4)
) -> np.ndarray:
  """The images of an idx file, or its labels.

  Args:
    data: the bytes of the whole file.
    name: for messages.
    axes: how many axes are taken: 3 or 4 of images, 1 of labels.

  Returns:
    uint8[n, h, w] or uint8[n, h, w, c]; uint8[n] of labels.

  Raises:
    DataError: cut, damaged, packed too well, labels instead of images (or the
      reverse), or another type than bytes.

  Source: http://yann.lecun.com/exdb/mnist, the IDX file format.
  """
  kind, rank = _unpack(data, 4)[2:4]
  if kind != _UINT8 or rank not in axes:
    raise errors.DataError(
      f'{name!r}: an idx file of type {kind} and {rank} axes, not of type'
      f' {_UINT8} (bytes) and {" or ".join(map(str, axes))} axes. Images have'
      ' 3 or 4, labels 1.'
    )
  start = 4 + 4 * rank
  head = _unpack(data, start)
  if len(head) < start:
    raise errors.DataError(f'{name!r}: truncated idx; fetch it again.')
  shape = struct.unpack(f'>{rank}I', head[4:])
  if rank > 2:
    limits.check_pixels(shape[2], shape[1], name)
  wanted = start + math.prod(shape)
  if data.startswith(_GZIP):
    limits.check_ratio(len(data), wanted, name)
  # One byte more tells a longer file, and makes gzip compare its checksum.
  whole = _unpack(data, wanted + 1, name)
  if len(whole) != wanted:
    what = 'longer' if len(whole) > wanted else f'{len(whole)} bytes'
    raise errors.DataError(
      f'{name!r}: damaged or truncated idx, {wanted} bytes announced and'
      f' {what} found; fetch it again.'
    )
  return np.frombuffer(whole, np.uint8, -1, start).reshape(shape)


def open_npy(name: str, source: pathlib.Path | bytes) -> np.ndarray:
  """A NumPy array, never unpickled.

  Args:
    name: for messages.
    source: a path, which is mapped into memory and read where it is touched,
      or the bytes of a whole file, which are used in place.

  Returns:
    the array as it is stored, read-only.

  Raises:
    DataError: cut, damaged or holding Python objects.
  """
  try:
    if isinstance(source, bytes):
      dtype, shape, order, start = _npy_header(io.BytesIO(source))
    else:
      with source.open('rb') as file:
        dtype, shape, order, start = _npy_header(file)
  except _NPY_ERRORS as error:
    raise errors.DataError(
      f'{name!r}: the header of the NumPy array is cut or damaged.'
    ) from error
  if dtype.hasobject:
    raise errors.DataError(
      f'{name!r} holds Python objects as a pickle, which could run a program;'
      ' refused. Save plain numbers: np.save(path, np.stack(images),'
      ' allow_pickle=False).'
    )
  if min(shape, default=1) < 1:
    raise errors.DataError(
      f'{name!r}: a NumPy array of shape {shape} is empty.'
    )
  try:
    if isinstance(source, bytes):
      count = math.prod(shape)
      flat = np.frombuffer(source, dtype, count, start)
      return flat.reshape(shape, order=order)
    return np.memmap(source, dtype, 'r', start, shape, order)
  except _NPY_ERRORS as error:
    raise errors.DataError(
      f'{name!r}: truncated NumPy array, shorter than its shape {shape} and'
      f' type {dtype}; copy it again.'
    ) from error


def to_image(array: np.ndarray, name: str) -> np.ndarray:
  """One image of whole numbers or floats as float32.

  Args:
    array: uint8, uint16, bool or float [h, w] or [h, w, 1 or 3].
    name: for messages.

  Returns:
    float32[h, w, c] in [0, 1].

  Raises:
    DataError: another shape or type, or floats outside [0, 1].
  """
  array = np.asarray(array)  # no view of a mapped file leaves
  if array.ndim == 2:
    array = array[:, :, None]
  if array.ndim != 3 or array.shape[2] not in (1, 3):
    raise errors.DataError(
      f'{name!r}: an array of shape {array.shape} is no image [h, w] or'
      ' [h, w, 1 or 3]. Of several, name one by its index in the path: #0, #1,'
      ' ...'
    )
  limits.check_pixels(array.shape[1], array.shape[0], name)
  if array.dtype == np.bool_:
    return array.astype(np.float32)
  if array.dtype.kind == 'u' and array.dtype.itemsize <= 2:
    image = array.astype(np.float32)
    image /= np.iinfo(array.dtype).max
    return image
  if array.dtype.kind != 'f':
    raise errors.DataError(
      f'{name!r}: numbers of type {array.dtype}; save uint8, uint16, or floats'
      ' from 0 to 1.'
    )
  low, high = array.min(), array.max()
  if not (low >= 0.0 and high <= 1.0):  # also refuses NaN
    raise errors.DataError(
      f'{name!r}: floats from {low:g} to {high:g}; scale them to 0 to 1, by'
      ' the same factor for all images.'
    )
  return array.astype(np.float32)


def inspect(array: np.ndarray, name: str) -> tuple[int, int, int, int]:
  """See `readers.inspect`, of an image or of the first of a stack.

  Args:
    array: [h, w], [h, w, c], [n, h, w] or [n, h, w, c].
    name: for messages.

  Returns:
    (width, height, channels, bits).

  Raises:
    DataError: another shape.
  """
  shape = array.shape
  if array.ndim == 4 or (array.ndim == 3 and shape[2] not in (1, 3)):
    shape = shape[1:]
  shape = shape if len(shape) == 3 else (*shape, 1)
  if len(shape) != 3 or shape[2] not in (1, 3):
    raise errors.DataError(
      f'{name!r}: an array of shape {array.shape} holds no images.'
    )
  return shape[1], shape[0], shape[2], 8 * array.dtype.itemsize


def _npy_header(
  file: BinaryIO,
) -> tuple[np.dtype, tuple[int, ...], Literal['C', 'F'], int]:
  """(type, shape, order, offset of the numbers)."""
  version = np.lib.format.read_magic(file)
  if version == (1, 0):
    header = np.lib.format.read_array_header_1_0(file)
  else:
    header = np.lib.format.read_array_header_2_0(file)
  shape, is_fortran, dtype = header
  return dtype, shape, 'F' if is_fortran else 'C', file.tell()


def _unpack(data: bytes, size: int, name: str = '') -> bytes:
  """The first bytes of a file, unpacked when it is gzip.

  Without a name, damage gives b''.
  """
  if not data.startswith(_GZIP):
    return data[:size]
  try:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
      return file.read(size)
  except (OSError, EOFError, zlib.error) as error:
    if not name:
      return b''
    raise errors.DataError(
      f'{name!r}: damaged or truncated gzip ({error}); fetch it again.'
    ) from error
