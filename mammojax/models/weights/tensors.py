"""Safetensors files: a JSON header, then arrays one after another.

The library checks the header against the file before an array is touched:
lengths, offsets that overlap or leave gaps, sizes that overflow.
"""

from collections.abc import Iterator, Mapping
import contextlib
import functools
import pathlib

import numpy as np
import safetensors
import safetensors.numpy

from mammojax.models.weights import arrays

# Names of the format -> names of NumPy, for what can become float32.
_FLOATS = {
  'F16': 'float16',
  'BF16': 'bfloat16',
  'F32': 'float32',
  'F64': 'float64',
}


@contextlib.contextmanager
def opened(path: str | pathlib.Path) -> Iterator[arrays.Archive]:
  """A file of safetensors, its arrays not yet read.

  Args:
    path: of the file.

  Yields:
    Archive; its entries can be read while it is open.

  Raises:
    DataError: the file is damaged.
  """
  try:
    with safetensors.safe_open(path, framework='np') as file:
      entries = {}
      # offset_keys keeps the order of the file, in which it reads fastest.
      for name in file.offset_keys():
        piece = file.get_slice(name)
        dtype = piece.get_dtype()
        entries[name] = arrays.Entry(
          tuple(piece.get_shape()),
          _FLOATS.get(dtype, dtype),
          functools.partial(file.get_tensor, name),
        )
      yield arrays.Archive(
        str(path), 'safetensors', entries, file.metadata() or {}
      )
  except safetensors.SafetensorError as error:
    raise arrays.damaged(path, error) from error


def pack(
  values: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> bytes:
  """A file of safetensors, as bytes.

  Args:
    values: name -> float32 array.
    metadata: strings.

  Returns:
    The bytes; the same for the same input.
  """
  values = {name: np.ascontiguousarray(value) for name, value in values.items()}
  return safetensors.numpy.save(values, dict(metadata))
