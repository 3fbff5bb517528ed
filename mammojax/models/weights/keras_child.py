"""The child process of `isolation`: reads a file of Keras, answers by pipes.

    python -m mammojax.models.weights.keras_child vgg16.h5 hdf5

First it says what the file holds, then each number on its input is answered by
that array. An answer is a length and as many bytes: JSON, and after it those of
the array. What went wrong is JSON with `error`.
"""

import contextlib
import json
import os
import resource
import struct
import sys

from mammojax import errors
from mammojax.models.weights import arrays

LENGTH = struct.Struct('<Q')
# Address space, of which the libraries take about one GiB.
MEMORY_GIB = 8


def main(path: str, what: str) -> None:
  """Answers until its input ends.

  Args:
    path: of the file.
    what: 'hdf5' or 'archive'.
  """
  # Only here: h5py need not be loaded where it must not crash.
  from mammojax.models.weights import kerasfiles

  _bound_memory()
  # Nothing that a library prints may come between the answers.
  answers = os.fdopen(os.dup(1), 'wb')
  os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
  try:
    with kerasfiles.opened(path, archive=what == 'archive') as archive:
      entries = list(archive.entries.items())
      listed = [[name, e.shape, e.dtype] for name, e in entries]
      _tell(answers, {'layout': archive.layout, 'entries': listed})
      while request := sys.stdin.buffer.read(LENGTH.size):
        (number,) = LENGTH.unpack(request)
        name, entry = entries[number]
        _answer(answers, path, name, entry)
  except errors.DataError as error:
    _tell(answers, {'error': str(error)})
  except MemoryError:
    _tell(answers, {'error': str(_too_large(path))})


def _bound_memory() -> None:
  size = MEMORY_GIB << 30
  # macOS knows the limit and refuses to set it.
  with contextlib.suppress(ValueError):
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
  resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(answers, path: str, name: str, entry: arrays.Entry) -> None:
  try:
    value = entry.read()
    if value.dtype.hasobject or value.dtype.names:
      raise arrays.damaged(path, f'{name} holds no numbers')
    data = value.tobytes()
  except errors.DataError as error:
    _tell(answers, {'error': str(error)})
  except MemoryError:
    _tell(answers, {'error': str(_too_large(path))})
  else:
    _tell(answers, {'shape': value.shape, 'dtype': str(value.dtype)}, data)


def _too_large(path: str) -> errors.DataError:
  return arrays.damaged(path, f'it takes more than {MEMORY_GIB} GiB of memory')


def _tell(answers, about, data: bytes | None = None) -> None:
  text = json.dumps(about).encode()
  answers.write(LENGTH.pack(len(text)) + text)
  if data is not None:
    answers.write(LENGTH.pack(len(data)))
    answers.write(data)
  answers.flush()


if __name__ == '__main__':
  main(*sys.argv[1:])
