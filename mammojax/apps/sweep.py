"""Runs of a sweep, each in a process and a folder of its own.

    outcomes = sweep.run(plan.path, runs, 'runs/table1a', jobs=1)

A finished run has `metrics.json` and is not run again; one that was stopped
goes on; one that failed is tried again by the next call. A child that fails
leaves the others alone.
"""

from collections.abc import Sequence
import logging
import os
import pathlib
import subprocess
import sys
import time
from typing import NamedTuple

from mammojax import errors
from mammojax.apps import sweep_plan
from mammojax.training import lock as locks
from mammojax.training import signals
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)
LOG = 'train.log'
_POLL_S = 0.2
_LAST_LINES = 8
# Of the end of a log: enough for the lines, however long the log.
_TAIL_BYTES = 8192


class Outcome(NamedTuple):
  """What became of a run.

  Attributes:
    state: 'finished', 'failed', 'stopped' (its state is saved) or 'waiting'.
    exit_code: of its process; None where it was not started.
    last_lines: of its log, where it did not finish.
  """

  state: str
  exit_code: int | None = None
  last_lines: tuple[str, ...] = ()


def run(
  config_path: pathlib.Path,
  runs: Sequence[sweep_plan.Run],
  workdir: str | os.PathLike[str],
  *,
  jobs: int = 1,
) -> list[Outcome]:
  """Trains what is not finished, until a signal comes.

  Args:
    config_path: the sweep file, the `--config` of each run.
    runs: of `sweep_plan.runs`.
    workdir: the sweep's folder; made when missing.
    jobs: runs at a time.

  Returns:
    One Outcome a run. After SIGTERM or SIGINT the runs in progress are stopped
    with their state saved, and the rest is 'waiting'.

  Raises:
    UsageError: jobs below 1, a workdir that is no folder or is in use, or that
      holds a finished run of another config.
  """
  if jobs < 1:
    raise errors.UsageError(f'--jobs must be 1 or more, got {jobs}.')
  workdir = pathlib.Path(workdir)
  _make(workdir)
  with locks.Lock(workdir), signals.StopSignal() as stop:
    folders = [workdir / one.folder for one in runs]
    finished = [
      _is_finished(folder, one)
      for folder, one in zip(folders, runs, strict=True)
    ]
    outcomes = {
      index: Outcome('finished') for index, done in enumerate(finished) if done
    }
    _LOG.info('%d of %d runs are finished.', len(outcomes), len(runs))
    waiting = [index for index, done in enumerate(finished) if not done]
    pool = _Pool(config_path, runs, folders)
    outcomes |= pool.run(waiting, jobs, stop)
  return [outcomes.get(i, Outcome('waiting')) for i in range(len(runs))]


def _make(folder: pathlib.Path) -> None:
  try:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
  except OSError as error:
    raise errors.UsageError(
      f'{str(folder)!r} cannot be made or used as a folder '
      f'({error.strerror}). Choose another --workdir.'
    ) from error


def _is_finished(folder: pathlib.Path, one: sweep_plan.Run) -> bool:
  """Whether the run is there, and is the one that is meant."""
  if not (folder / 'metrics.json').is_file():
    return False
  saved = workdirs.read_json(folder / workdirs.CONFIG)
  rows = workdirs.differences(saved, one.config)
  if rows:
    raise errors.UsageError(
      f'{str(folder)!r} holds a finished run of another config:\n'
      f'{workdirs.table(rows)}\nChoose another --workdir, give these fields '
      'their saved values, or delete that folder.'
    )
  return True


class _Pool:
  """Children in progress."""

  def __init__(
    self,
    config_path: pathlib.Path,
    runs: Sequence[sweep_plan.Run],
    folders: Sequence[pathlib.Path],
  ):
    self._config_path, self._runs, self._folders = config_path, runs, folders
    self._active: dict[int, subprocess.Popen] = {}
    self._began: dict[int, float] = {}

  def run(
    self, waiting: Sequence[int], jobs: int, stop: signals.StopSignal
  ) -> dict[int, Outcome]:
    """Outcomes, by index, of the runs that were started."""
    queue, is_told = list(waiting), False
    outcomes: dict[int, Outcome] = {}
    try:
      while self._active or (queue and not stop.requested):
        while queue and len(self._active) < jobs and not stop.requested:
          self._begin(queue.pop(0))
        if stop.requested and not is_told:
          self._terminate()
          is_told = True
        outcomes |= self._ended(stop.requested)
        time.sleep(_POLL_S)
    finally:
      # Only a second Ctrl-C leaves children here.
      self._terminate()
      for child in self._active.values():
        child.wait()
    return outcomes

  def _begin(self, index: int) -> None:
    folder = self._folders[index]
    _LOG.info('%s begins; its log: %s', folder, folder / LOG)
    child = _start(self._config_path, self._runs[index], folder)
    self._active[index] = child
    self._began[index] = time.monotonic()

  def _ended(self, is_stopping: bool) -> dict[int, Outcome]:
    found = {}
    for index, child in list(self._active.items()):
      code = child.poll()
      if code is None:
        continue
      del self._active[index]
      folder = self._folders[index]
      found[index] = _outcome(folder, code, is_stopping)
      seconds = time.monotonic() - self._began[index]
      _LOG.info('%s %s after %.0f s.', folder, found[index].state, seconds)
    return found

  def _terminate(self) -> None:
    # SIGTERM may come twice; a second SIGINT would cut a save short.
    for child in self._active.values():
      if child.poll() is None:
        child.terminate()


def _start(config_path, one: sweep_plan.Run, folder) -> subprocess.Popen:
  _make(folder)
  command = [sys.executable, '-m', 'mammojax', 'train']
  command += [f'--config={config_path}', *one.flags, f'--workdir={folder}']
  handle = os.open(
    folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode=0o600
  )
  try:
    return subprocess.Popen(
      command, stdin=subprocess.DEVNULL, stdout=handle, stderr=handle
    )
  finally:
    os.close(handle)


def _outcome(folder, code: int, is_stopping: bool) -> Outcome:
  if code == 0 and (folder / 'metrics.json').is_file():
    return Outcome('finished', code)
  # Before its handlers are set, a signal ends a child at once.
  is_stopped = code == errors.Stopped.exit_code or (is_stopping and code < 0)
  return Outcome(
    'stopped' if is_stopped else 'failed', code, _last_lines(folder / LOG)
  )


def _last_lines(path: pathlib.Path) -> tuple[str, ...]:
  with path.open('rb') as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _TAIL_BYTES, 0))
    text = file.read().decode('utf-8', 'replace')
  lines = [line.rstrip() for line in text.splitlines() if line.strip()]
  return tuple(lines[-_LAST_LINES:])


def failure(outcomes: Sequence[Outcome], folder) -> errors.MammojaxError | None:
  """The error that a sweep ends with, or None when every run is finished.

  Args:
    outcomes: of `run`.
    folder: where the table lies, for the message.

  Returns:
    Stopped where a signal left runs undone. Else an error whose exit code is
    that of the first run that failed, where it is one of ours, else 1.
  """
  failed = [one for one in outcomes if one.state == 'failed']
  left = sum(one.state in ('stopped', 'waiting') for one in outcomes)
  if not failed and not left:
    return None
  counts = f'{len(failed)} of {len(outcomes)} runs failed, {left} are left'
  says = (
    f'{counts}; see {folder}. The same command goes on with what is missing.'
  )
  if left:
    return errors.Stopped(says)
  kinds = {
    kind.exit_code: kind for kind in errors.MammojaxError.__subclasses__()
  }
  return kinds.get(failed[0].exit_code or 0, errors.MammojaxError)(says)
