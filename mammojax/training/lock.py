"""The lock of a workdir: a flock on an open handle.

The kernel gives it back when the process dies, however it dies, so nobody
ever has to delete a lock file. The file names the holder for the others.
"""

import fcntl
import json
import logging
import os
import pathlib
import socket
from typing import Any

from mammojax import errors

_LOG = logging.getLogger(__name__)

NAME = 'lock'


class Lock:
  """The right to write into one workdir, held by one process.

  Args:
    workdir: an existing folder.

  Raises:
    UsageError: another process holds it, its pid and host are named; or the
      folder cannot be written.
  """

  def __init__(self, workdir):
    self._path = pathlib.Path(workdir) / NAME
    try:
      self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
      raise errors.UsageError(
        f'{self._path} cannot be written ({error.strerror}). Make the folder '
        'writable, or choose another --workdir.'
      ) from error
    try:
      fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      holder = self._read()
      os.close(self._handle)
      raise errors.UsageError(
        f'{workdir} is in use by process {holder.get("pid", "?")} on '
        f'{holder.get("host", "?")}. Wait for it to end, stop it, or choose '
        'another --workdir.'
      ) from error
    holder = self._read()
    if holder:
      _LOG.warning(
        '%s: taking over from process %s on %s, which ended without '
        'releasing it.',
        workdir,
        holder.get('pid', '?'),
        holder.get('host', '?'),
      )
    self._write({'pid': os.getpid(), 'host': socket.gethostname()})

  def _read(self) -> dict[str, Any]:
    try:
      holder = json.loads(os.pread(self._handle, 4096, 0).decode())
    except ValueError:
      return {}
    return holder if isinstance(holder, dict) else {}

  def _write(self, holder: dict[str, Any]) -> None:
    os.ftruncate(self._handle, 0)
    if holder:
      os.pwrite(self._handle, json.dumps(holder).encode(), 0)

  def release(self) -> None:
    """Lets the next run in. The file stays: deleting it would race."""
    if self._handle >= 0:
      self._write({})
      os.close(self._handle)
      self._handle = -1

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.release()
