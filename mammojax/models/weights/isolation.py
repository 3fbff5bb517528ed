"""Files of Keras, read by a process of its own.

    with opened('vgg16.h5', archive=False) as archive:
      archive.entries['block1_conv1/kernel'].float32()

The library under h5py is written in C and trusts what a file says about itself:
flipped bits can crash it. So a child process, `keras_child`, opens the file and
answers through pipes, with bounds on its memory and on the time of an answer;
its death is an error like any other. Only JSON and bytes of arrays come back.
"""

from collections.abc import Iterator
import contextlib
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import Any

import numpy as np

from mammojax import errors
from mammojax.models.weights import arrays, keras_child

# Of one answer: the list of arrays, or one array.
TIMEOUT_S = 120.0


@contextlib.contextmanager
def opened(
  path: str | pathlib.Path, archive: bool, timeout_s: float = TIMEOUT_S
) -> Iterator[arrays.Archive]:
  """`kerasfiles.opened` in a child process, which starts in half a second.

  Args:
    path: of the file.
    archive: whether it is a `.keras` archive and not HDF5.
    timeout_s: longest wait for the list of arrays, or for one of them.

  Yields:
    Archive; its entries can be read while it is open.

  Raises:
    DataError: as `kerasfiles.opened`; or the file crashes the child, or takes
      more time or memory than it may.
    ResourceError: no process can be started.
  """
  child = _Child(str(path), archive, timeout_s)
  try:
    about = child.listed()
    entries = {
      name: arrays.Entry(
        tuple(shape), dtype, functools.partial(child.array, number)
      )
      for number, (name, shape, dtype) in enumerate(about['entries'])
    }
    yield arrays.Archive(str(path), about['layout'], entries, {})
  finally:
    child.close()


class _Child:
  """The process that has the file open, and the pipes to it."""

  def __init__(self, path: str, archive: bool, timeout_s: float):
    self._path, self._timeout_s = path, timeout_s
    self._is_late = False
    self._process: Any = None
    # Where this process found its modules, that one does.
    search = os.pathsep.join(part or os.getcwd() for part in sys.path)
    what = 'archive' if archive else 'hdf5'
    try:
      self._process = subprocess.Popen(
        [sys.executable, '-P', '-m', keras_child.__name__, path, what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {'PYTHONPATH': search, 'OPENBLAS_NUM_THREADS': '1'},
      )
    except OSError as error:
      raise errors.ResourceError(
        f'No process can be started to read {path!r}: {error}.'
      ) from error

  def listed(self) -> dict[str, Any]:
    """The layout, and name, shape and dtype of every array."""
    with self._in_time():
      return self._told()

  def array(self, number: int) -> np.ndarray:
    """An array by its place in the list."""
    with self._in_time():
      # If it is dead, it answers nothing.
      with contextlib.suppress(BrokenPipeError):
        self._process.stdin.write(keras_child.LENGTH.pack(number))
        self._process.stdin.flush()
      about = self._told()
      data = self._bytes()
    return np.frombuffer(data, about['dtype']).reshape(about['shape'])

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    with contextlib.suppress(BrokenPipeError):
      self._process.stdin.close()
    self._process.stdout.close()
    self._process.wait()

  @contextlib.contextmanager
  def _in_time(self) -> Iterator[None]:
    """Without the child when its answer takes too long."""
    timer = threading.Timer(self._timeout_s, self._give_up)
    timer.start()
    try:
      yield
    except EOFError as error:
      raise arrays.damaged(self._path, self._end()) from error
    finally:
      timer.cancel()

  def _give_up(self) -> None:
    self._is_late = True
    self._process.kill()

  def _end(self) -> str:
    """Why the child is no more."""
    code = self._process.wait()
    if self._is_late:
      return f'an answer took more than {self._timeout_s:g} s'
    how = signal.Signals(-code).name if code < 0 else f'exit status {code}'
    return f'the HDF5 library does not survive it ({how})'

  def _told(self) -> dict[str, Any]:
    """JSON values; what the child could not read is raised here."""
    about = json.loads(self._bytes())
    if 'error' in about:
      raise errors.DataError(about['error'])
    return about

  def _bytes(self) -> bytes:
    (length,) = keras_child.LENGTH.unpack(self._exactly(8))
    return self._exactly(length)

  def _exactly(self, length: int) -> bytes:
    data = self._process.stdout.read(length)
    if len(data) < length:
      raise EOFError
    return data
