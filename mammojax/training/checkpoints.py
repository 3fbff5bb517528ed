"""Saved states of a run: the newest ones and the best one, each sealed.

    saved = Checkpoints(workdir / 'checkpoints', best_metric='map')
    saved.save(500, state, {'map': 0.61}, {'seed': 0})      # returns at once
    saved.wait()
    state, step, extra = saved.restore(abstract_state(state))
    saved.close()

Orbax writes the arrays under `<step>/` and commits the folder by renaming it.
It restores flipped bits without a word, so after the commit a seal is written
beside the folder, `<step>.json`: the sha256 of every file, the shape and
dtype of every array, the metrics and the caller's own record. A folder
without a seal is no checkpoint: it was cut short, or is somebody else's.
"""

from collections.abc import Mapping
from concurrent import futures
import contextlib
import logging
import pathlib
import shutil
from typing import Any

import jax
from jax.experimental import multihost_utils
import orbax.checkpoint as ocp

from mammojax import errors
from mammojax.training import (
  disk,
  layouts,
  retention,
  sealed_steps,
  seals,
  workdir,
)

_LOG = logging.getLogger(__name__)
abstract_state = layouts.abstract_state


def _barrier(name: str) -> None:
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


class Checkpoints:
  """Saves and restores the states of one run.

  Args:
    directory: made with mode 0700 when missing.
    keep_latest: how many of the newest steps stay, at least 2: the newest is
      not sealed yet when an older one is removed.
    best_metric: key in the metrics of `save`; the step where it is highest
      stays too (of equals the latest).
    use_async: whether `save` returns while the files are being written.
    read_only: for readers beside a running training: nothing is made,
      cleaned up or saved.

  Raises:
    UsageError: keep_latest is below 2.
  """

  def __init__(
    self,
    directory,
    *,
    keep_latest: int = 2,
    best_metric: str = 'map',
    use_async: bool = True,
    read_only: bool = False,
  ):
    if keep_latest < 2:
      raise errors.UsageError(
        f'keep_latest must be at least 2, got {keep_latest}.'
      )
    self._directory = pathlib.Path(directory).absolute()
    self._shelf = sealed_steps.SealedSteps(self._directory, best_metric)
    self._keep_latest = keep_latest
    self._use_async = use_async
    self._read_only = read_only
    self._executor = futures.ThreadPoolExecutor(1, 'seal')
    self._sealing: futures.Future | None = None
    self._needed = 0
    self._pending: tuple[int, dict[str, Any]] | None = None
    if not read_only:
      self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
      self._directory.chmod(0o700)
      if jax.process_index() == 0:
        self._shelf.remove_temporaries()
    self._manager = self._open()
    self._shelf.note_others()

  def _open(self) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
      preservation_policy=retention.LatestAndBest(
        self._is_known, self._value, self._keep_latest
      ),
      create=not self._read_only,
      cleanup_tmp_directories=not self._read_only,
      enable_async_checkpointing=self._use_async,
      file_options=ocp.options.FileOptions(path_permission_mode=0o700),
      # Its own metadata may be damaged; the seals say what is needed.
      lightweight_initialize=True,
    )
    return ocp.CheckpointManager(self._directory, options=options)

  def _is_known(self, step: int) -> bool:
    pending = self._pending
    return self._shelf.is_good(step) or bool(pending and pending[0] == step)

  def _value(self, step: int) -> float | None:
    pending = self._pending
    if pending and pending[0] == step:
      return self._shelf.value_of(pending[1])
    return self._shelf.value_of(self._shelf.seal(step))

  def steps(self) -> list[int]:
    """Sealed steps not found damaged, in rising order."""
    return self._shelf.steps()

  def latest(self) -> int | None:
    """The newest sealed step; None when nothing was ever sealed here.

    Raises:
      IntegrityError: steps were sealed, and all of them are damaged. Taking
        that for a fresh start would throw a training away.
    """
    steps = self.steps()
    if not steps and self._shelf.damaged():
      raise self._shelf.none_whole('latest')
    return steps[-1] if steps else None

  def best(self) -> int | None:
    """The step with the highest metric; None when none has one."""
    ranked = self._shelf.ranked()
    return ranked[0] if ranked else None

  def save(
    self,
    step: int,
    state,
    metrics: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
  ) -> bool:
    """Saves a state; the arrays may be donated as soon as this returns.

    Args:
      step: number of finished steps.
      state: pytree of arrays.
      metrics: of this step; without best_metric in it, or with NaN there,
        the step is never the best.
      extra: JSON-able record, given back by `restore`.

    Returns:
      False, and nothing is done, when the step is saved already.

    Raises:
      ResourceError: the disk has no room for it, or had none for the step
        before; temporary files are removed, earlier steps are untouched.
      UsageError: this object is for reading only.
    """
    if self._read_only:
      raise errors.UsageError(f'{self._directory} was opened for reading.')
    self.wait()
    if step in self.steps():
      _LOG.info('Step %d is saved already.', step)
      return False
    self._needed = disk.check_room(self._directory, state)
    self._clear_the_way(step)
    record = {
      'step': int(step),
      'metrics': workdir.finite(metrics),
      'extra': workdir.finite(dict(extra or {})),
      'arrays': layouts.array_table(state),
    }
    self._pending = (step, record)
    state = layouts.with_own_memory(state)
    with self._full_disk():
      self._manager.save(step, args=ocp.args.StandardSave(state), force=True)
    self._sealing = self._executor.submit(self._finish, step, record)
    if not self._use_async:
      self.wait()
    return True

  def _finish(self, step: int, record: dict[str, Any]) -> None:
    """Waits for the commit, then seals; runs in a thread of its own.

    On the main thread a kill before the next call would cost the step.
    """
    self._manager.wait_until_finished()
    if jax.process_index() == 0:
      seals.write(self._directory, str(step), record)
      self._shelf.remove_orphans()

  def annotate(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Gives a saved step the metrics that a stop kept it from having."""
    self.wait()
    if jax.process_index() == 0:
      self._shelf.annotate(step, workdir.finite(metrics))
    _barrier('checkpoint annotated')

  def wait(self) -> None:
    """Returns when the save under way, if any, is sealed.

    Raises:
      ResourceError: the disk became full.
    """
    if self._sealing is None:
      return
    sealing, self._sealing = self._sealing, None
    with self._full_disk():
      sealing.result()
    self._pending = None
    _barrier('checkpoint sealed')

  def close(self) -> None:
    """Waits and lets go of the folder.

    Raises:
      ResourceError: the disk became full.
    """
    try:
      self.wait()
    finally:
      self._executor.shutdown()
      self._manager.close()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()

  @contextlib.contextmanager
  def _full_disk(self):
    """Turns a full disk into a ResourceError and cleans up behind it."""
    try:
      yield
    except (OSError, RuntimeError, ValueError, errors.ResourceError) as error:
      pending, self._pending = self._pending, None
      if not disk.is_full(error):
        raise
      if jax.process_index() == 0:
        self._shelf.remove_temporaries()
        if pending and self._shelf.seal(pending[0]) is None:
          shutil.rmtree(self._shelf.folder(pending[0]), ignore_errors=True)
      self._manager = self._open()
      raise disk.no_room(self._directory, self._needed) from error

  def _clear_the_way(self, step: int) -> None:
    """Moves a folder that has the number of a step but is no good."""
    if not self._shelf.folder(step).exists():
      return
    _barrier('checkpoint in the way')
    if jax.process_index() == 0:
      self._shelf.set_aside(step)
    _barrier('checkpoint set aside')
    self._shelf.forget(step)
    # Orbax remembers the folders it saw when it was opened.
    self._manager.close()
    self._manager = self._open()

  def restore(self, target, step: int | str | None = None):
    """Reads a state whose files all are as they were written.

    A step with a damaged file is named in the log and passed over for the
    next lower one ('best': for the next best).

    Args:
      target: pytree of jax.ShapeDtypeStruct as from `abstract_state`, or of
        arrays; says structure, shapes, dtypes and, by the shardings, where
        the arrays shall lie.
      step: a number, 'best', or None for the newest.

    Returns:
      (state, step, extra): the tree of arrays, the step it is from, and what
      was given to `save`.

    Raises:
      UsageError: there is no such step.
      IntegrityError: no step is whole, or it holds other arrays than target.
    """
    self.wait()
    target = layouts.abstract_state(target)
    for candidate in self._shelf.candidates(step):
      body = self._shelf.verify(candidate)
      if body is not None:
        return self._read(candidate, body, target)
    raise self._shelf.none_whole(step)

  def _read(self, step: int, body: Mapping[str, Any], target):
    layouts.check_fits(self._directory / str(step), body['arrays'], target)
    state = self._manager.restore(step, args=ocp.args.StandardRestore(target))
    return state, step, body['extra']
