"""The host's part of training: count steps, log, validate, save, stop."""

import collections
from collections.abc import Callable
import dataclasses
import logging
import math
import pathlib
import time
from typing import Any

import jax
from jax.experimental import multihost_utils
import numpy as np

from mammojax import errors
from mammojax.data import pipeline
from mammojax.training import (
  checkpoints,
  clocks,
  margins,
  parallel,
  progress,
  signals,
  writers,
)
from mammojax.training import state as state_lib
from mammojax.training import steps as steps_lib
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)
# Steps between two looks at whether another process was asked to stop.
_AGREE_EVERY = 10


@dataclasses.dataclass
class Loop:
  """One sitting of a run, from the newest checkpoint to the last step.

  Attributes:
    config: the run's.
    source: batches by step.
    devices: where steps run.
    step_fn: (state, metrics, placed batch) -> (state, metrics, pulse).
    rate_fn: step -> learning rate.
    judge: what validates, `matching.Matching` or its like.
    embed_fn: (state, rows, stop) -> what the network gives.
    saved: checkpoints.
    workdir: the run's folder.
    item_names: item of each row of the table, for the file of a divergence.
  """

  config: Any
  source: pipeline.BatchSource
  devices: parallel.Parallel
  step_fn: Callable[..., Any]
  rate_fn: Callable[[int], Any]
  judge: Any
  embed_fn: Callable[..., np.ndarray]
  saved: checkpoints.Checkpoints
  workdir: pathlib.Path
  item_names: np.ndarray
  clock: clocks.Clock = dataclasses.field(default_factory=clocks.Clock)
  warnings: list[str] = dataclasses.field(default_factory=list)
  _owes_validation: bool = False

  def run(
    self, state: state_lib.TrainState, stop: signals.StopSignal
  ) -> state_lib.TrainState:
    """Trains to the last step.

    Args:
      state: before step 0; a checkpoint, when there is one, replaces it.
      stop: polled after each step.

    Returns:
      The state after the last step.

    Raises:
      Stopped: a signal came; the state is saved.
      NumericsError: too many refused updates in a row.
    """
    state = self._restore(state)
    first = int(state.step)
    total = self.config.train.steps
    is_first = jax.process_index() == 0
    show = is_first and self.config.logging.progress
    with (
      writers.create(
        self.workdir,
        first,
        jax.process_index(),
        tensorboard=self.config.logging.tensorboard,
      ) as writer,
      progress.Progress(total, first, show) as bar,
    ):
      self._writer, self._bar, self._stop = writer, bar, stop
      self._begin()
      self._catch_up(state, first)
      for step, batch in enumerate(self._batches(first), first):
        state = self._one(state, batch, step)
      self._check_pulse()
    return state

  def _restore(self, state):
    if self.saved.latest() is None:
      return state
    state, step, extra = self.saved.restore(state)
    self.clock = clocks.Clock(**extra['clock'])
    self.warnings = list(extra['warnings'])
    self._owes_validation = extra['owes_validation']
    _LOG.info('Going on after step %d.', step)
    return state

  def _begin(self):
    self._metrics = self._empty()
    self._pulse = None
    self._recent = collections.deque(maxlen=8)
    self._mark = self._start = time.monotonic()
    self._window_images = 0

  def _catch_up(self, state, done):
    """Validates a step that a stop saved before its validation was through."""
    if not self._owes_validation or not self.judge.can_validate:
      return
    metrics = self._validate(state, done)
    if metrics is None:
      raise self._stopped(done)
    self.saved.annotate(done, metrics)
    self._owes_validation = False

  def _empty(self):
    return self.devices.replicate(steps_lib.TrainMetrics.empty())

  def _batches(self, first):
    config = self.config.sampler
    batches = pipeline.batches(
      self.source, first, config.num_threads, config.prefetch
    )
    while True:
      before = time.monotonic()
      try:
        batch = next(batches)
      except StopIteration:
        return
      # With the step before still running, the device waited for nothing.
      if self._pulse is None or self._pulse['loss'].is_ready():
        self.clock.wait_seconds += time.monotonic() - before
      yield batch

  def _one(self, state, batch, step):
    state, self._metrics, pulse = self.step_fn(
      state, self._metrics, self.devices.place(batch)
    )
    self._recent.append((step, batch['row']))
    # Reading the step before keeps one step in flight and no more.
    self._check_pulse()
    self._pulse = pulse
    self._window_images += len(batch['row']) * jax.process_count()
    self._after(state, step + 1)
    return state

  def _after(self, state, done):
    train, is_last = self.config.train, done == self.config.train.steps
    if is_last or (train.log_every and done % train.log_every == 0):
      self._log(done)
    metrics = None
    is_due = train.eval_every and done % train.eval_every == 0
    is_due = self.judge.can_validate and (is_due or is_last)
    if is_due:
      metrics = self._validate(state, done)
    self._owes_validation = is_due and metrics is None
    stopped = self._must_stop(done)
    is_due = train.checkpoint_every and done % train.checkpoint_every == 0
    if metrics is not None or is_due or is_last or stopped:
      self._check_pulse()
      self._save(state, done, metrics)
    if stopped:
      self.saved.wait()
      raise self._stopped(done)

  def _stopped(self, done):
    return errors.Stopped(
      f'{self._stop.name or "Another process"} stopped the run after step '
      f'{done} of {self.config.train.steps}; it is saved in {self.workdir}. '
      'The same command goes on from there.'
    )

  def _must_stop(self, done):
    if jax.process_count() == 1:
      return self._stop.requested
    if done % _AGREE_EVERY and done != self.config.train.steps:
      return False
    flags = multihost_utils.process_allgather(np.asarray(self._stop.requested))
    return bool(np.any(flags))

  def _log(self, done):
    values = {k: float(v) for k, v in self._metrics.compute().items()}
    self._metrics = self._empty()
    now = time.monotonic()
    spent = max(now - self._mark, 1e-9)
    rate = self._window_images / spent
    self.clock.train_seconds += spent
    self.clock.images += self._window_images
    self._mark, self._window_images = now, 0
    values |= {
      'images_per_second': rate,
      'learning_rate': float(self.rate_fn(done - 1)),
      'input_wait_fraction': self.clock.results()['input_wait_fraction'],
    }
    for name in set(margins.NAMES) - set(margins.taken(self.config)):
      del values[name]
    self._writer.write_scalars(done, {'split': 'train', **values})
    left = self.config.train.steps - done
    batch_size = self.clock.images / max(done, 1)
    self._bar.update(
      done,
      loss=values['loss'],
      active_fraction=values['active_fraction'],
      margin=values.get('margin'),
      beta=values.get('beta'),
      images_per_second=rate,
      eta=left * batch_size / rate,
    )

  def _validate(self, state, done):
    self._check_pulse()
    start = time.monotonic()
    values = self._try_validation(state)
    self._mark += time.monotonic() - start
    if values is None:
      return None
    self._writer.write_scalars(done, {'split': 'validation', **values})
    self._bar.note(f'step {done}: validation {self.judge.words(values)}')
    warning = self.judge.warning(values)
    if warning:
      self.warnings.append(f'Step {done}: {warning}')
      self._bar.note(f'WARNING {self.warnings[-1]}')
    self._writer.flush()
    return values

  def _try_validation(self, state):
    """Scalars, or None when a signal cut the validation short."""
    try:
      return self.judge.validate(
        lambda rows: self.embed_fn(state, rows, self._stop)
      )
    except errors.Stopped:
      return None

  def _save(self, state, done, metrics):
    now = time.monotonic()
    self.clock.seconds += now - self._start
    self._start = now
    self._writer.flush()
    extra = {
      'clock': dataclasses.asdict(self.clock),
      'warnings': self.warnings,
      'owes_validation': self._owes_validation,
    }
    self.saved.save(done, state, metrics, extra)
    self._mark += time.monotonic() - now

  def _check_pulse(self):
    """Waits for the step before, and ends a run that has diverged."""
    if self._pulse is None:
      return
    refused = int(self._pulse['num_refused'])
    limit = self.config.train.max_bad_steps
    if refused and refused >= limit:
      raise self._diverged(refused)

  def _diverged(self, refused):
    path = self.workdir / 'diverged.json'
    pulse = {name: float(value) for name, value in self._pulse.items()}
    workdirs.atomic_write_json(
      path,
      {
        'pulse': {
          k: v if math.isfinite(v) else str(v) for k, v in pulse.items()
        },
        'steps': {
          str(step): self.item_names[rows].tolist()
          for step, rows in self._recent
        },
      },
    )
    step = self._recent[-1][0]
    return errors.NumericsError(
      f'{refused} updates in a row were refused near step {step}: loss '
      f'{pulse["loss"]}, gradient norm {pulse["grad_norm"]}. The parameters '
      f'are those of the last good step; {path} names the images. Lower '
      'optim.learning_rate, set optim.clip_norm, or look at the images.'
    )
