"""What a file of weights holds, before any of it is read."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from mammojax import errors

_FLOATS = tuple(
  np.dtype(x) for x in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64)
)


class Entry(NamedTuple):
  """One array of a file.

  Attributes:
    shape: as the file says.
    dtype: likewise, as NumPy or the file names it.
    read: gives the array; nothing is read before.
  """

  shape: tuple[int, ...]
  dtype: str
  read: Callable[[], np.ndarray]

  def is_float(self) -> bool:
    """Whether its values can become float32."""
    return self.dtype in map(str, _FLOATS)

  def float32(self) -> np.ndarray:
    """The array as float32, in memory of its own."""
    with np.errstate(over='ignore'):
      return np.array(self.read()).astype(np.float32)


class Archive(NamedTuple):
  """An open file.

  Attributes:
    path: of the file, for messages.
    layout: 'safetensors', 'keras_h5', 'keras_weights_h5' or 'keras_archive'.
    entries: name -> Entry, in the order of the file.
    metadata: what the file says about itself, strings.
  """

  path: str
  layout: str
  entries: Mapping[str, Entry]
  metadata: Mapping[str, Any]


def damaged(path: object, why: object) -> errors.DataError:
  """The error for a file that cannot be read.

  Args:
    path: of the file.
    why: what the reader said.
  """
  return errors.DataError(
    f'{str(path)!r} cannot be read: {why}. Fetch the file again and compare '
    'its size and checksum with the publisher’s.'
  )
