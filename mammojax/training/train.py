"""From a config and a folder to a trained network and its numbers.

    results = train.run(config, 'runs/adatriplet')

The same call on the same folder goes on where the last one stopped.
"""

from collections.abc import Sequence
import functools
import logging
import pathlib
from typing import Any

from clu import parameter_overview
import jax
import ml_collections
import numpy as np

from mammojax import errors
from mammojax.data import pipeline, torn
from mammojax.training import (
  checkpoints,
  classifying,
  evaluate,
  factory,
  inputs,
  loop,
  margins,
  matching,
  networks,
  objectives,
  optimizers,
  parallel,
  preparation,
  sampling,
  signals,
  steps,
  transfer,
  weights,
)
from mammojax.training import state as state_lib
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  command: Sequence[str] = (),
) -> dict[str, Any]:
  """Trains, then evaluates the best checkpoint on the test split once.

  Args:
    config: as `configs.base.get_config` returns it, with changes.
    workdir: the run's folder; made when missing.
    command: the command line, for the record.

  Returns:
    What `metrics.json` holds.

  Raises:
    UsageError: a field, a name, or a workdir of another config.
    DataError: images or tables that cannot be used.
    IntegrityError: leaks between splits, damaged checkpoints.
    ResourceError: the disk is full.
    NumericsError: losses that are not finite, several steps in a row.
    Stopped: a signal came; the state is saved.
  """
  workdir = pathlib.Path(workdir)
  _use_compile_cache(config)
  lock = workdirs.prepare(
    workdir,
    config.to_dict(),
    command,
    devices=[device.device_kind for device in jax.devices()],
    process_index=jax.process_index(),
  )
  try:
    with signals.StopSignal() as stop:
      return _built(config, workdir, lock).run(stop)
  finally:
    if lock is not None:
      lock.release()


def _built(config, workdir, lock) -> 'Trainer':
  """The run, or the workdir as it was before the error."""
  try:
    return Trainer(config, workdir)
  except errors.MammojaxError:
    if lock is not None:
      workdirs.withdraw(workdir)
    raise


def _use_compile_cache(config):
  folder = config.logging.compile_cache
  if folder != 'off':
    parallel.compile_cache(folder or inputs.cache_folder('compiled'))


class Trainer:
  """A run, built and checked before step 0."""

  def __init__(self, config: ml_collections.ConfigDict, workdir: pathlib.Path):
    """Builds everything; every mistake in the config shows here."""
    self.config, self.workdir = config, workdir
    networks.check_head(config)
    self.remarks = networks.remarks(config)
    for remark in self.remarks:
      _LOG.warning('%s', remark)
    self.objective = objectives.build(config)
    self.augment_fn = factory.augmentation(config)
    self.devices = parallel.Parallel(
      config.parallel.transform, config.parallel.num_devices
    )
    self.devices.check_batch(sampling.batch_size(config))
    # Before the images: a file that cannot be used is told at once.
    description = weights.described(config)
    self.scaling = weights.scaling(config, description)
    weights.check_origin(config, description)
    self.images = inputs.image_set(config, workdir)
    self.rows = np.flatnonzero(self.images.frame['split'] == 'train')
    if config.data.on_leak == 'stamp':
      leaks = torn.remarks(self.images.frame)
      for remark in leaks:
        _LOG.warning('%s', remark)
      self.remarks += leaks
    if not len(self.rows):
      raise errors.DataError('The table has no image in the split train.')
    self.evaluation: classifying.Classifying | matching.Matching
    if networks.decides(config):
      self.evaluation = classifying.Classifying(config, self.images)
    else:
      self.evaluation = matching.Matching(config, self.images)
    self.sampler = sampling.build(config, self.images, self.rows)
    self._build_model()

  def _build_model(self):
    config = self.config
    scaling = self.scaling or inputs.scaling(config, self.images, self.rows)
    self.preparation = preparation.record(inputs.recipe(config), scaling)
    build = functools.partial(
      networks.model,
      config,
      **scaling._asdict(),
      frozen=networks.frozen(config),
    )
    image_shape = (self.images.image_size,) * 2 + (self.images.channels,)
    networks.check_length(build(axis_name=None), config, image_shape)
    course, held = factory.course_and_memory(config)
    labels = self.images.frame[config.sampler.label].iloc[self.rows]
    # Parameters are made outside the device transform, where no axis exists.
    state = state_lib.create(
      build(axis_name=None),
      optimizers.optimizer(config),
      margins.state(
        config,
        steps_per_epoch=max(len(self.rows) // self.sampler.batch_size, 1),
      ),
      seed=config.seed,
      image_shape=image_shape,
      loss_init=lambda key: self.objective.init(key, labels.nunique()),
      course=course,
      held=held,
    )
    if config.model.init_from:
      state = transfer.from_run(state, config.model.init_from)
    state = weights.start(state, config, self.workdir)
    self.state = self.devices.replicate(
      state.replace(apply_fn=build(axis_name=parallel.AXIS).apply)
    )
    self.step_fn = self.devices.data_parallel(
      functools.partial(
        steps.train_step,
        loss_fn=self.objective.score,
        augment_fn=self.augment_fn,
        seed=config.seed,
        micro_batch=factory.micro_batch(
          config, num_devices=self.devices.num_devices
        ),
        freeze=networks.frozen(config),
        penalty_fn=optimizers.penalty(config),
        same_item=config.sampler.same_item,
        tuple_size=sampling.tuple_size(config),
      )
    )
    self.embed_fn = evaluate.embedder(build(axis_name=None))

  def run(self, stop: signals.StopSignal) -> dict[str, Any]:
    """Trains what is left to train, tests, writes `metrics.json`."""
    _LOG.info(
      'Parameters:\n%s',
      parameter_overview.get_parameter_overview(self.state.params),
    )
    config = self.config
    judged = self.evaluation
    with checkpoints.Checkpoints(
      self.workdir / 'checkpoints', best_metric=judged.best_metric
    ) as saved:
      preparation.keep(
        self.workdir, self.preparation, writes=jax.process_index() == 0
      )
      training = loop.Loop(
        config=config,
        source=pipeline.BatchSource(
          inputs.Region(self.images, config.data.region),
          self.rows,
          self.sampler,
          config.train.steps,
          label=config.sampler.label,
          process_index=jax.process_index(),
          process_count=jax.process_count(),
        ),
        devices=self.devices,
        step_fn=self.step_fn,
        rate_fn=optimizers.schedule(config),
        judge=judged,
        embed_fn=self.embed,
        saved=saved,
        workdir=self.workdir,
        item_names=self.images.frame['item'].to_numpy(),
      )
      state = training.run(self.state, stop)
      saved.wait()
      best_step = int(state.step)
      if judged.can_validate and saved.best() is not None:
        state, best_step, _ = saved.restore(state, 'best')
    return self._test(state, best_step, training, stop)

  def embed(self, state, rows: np.ndarray, stop=None) -> np.ndarray:
    """Embeddings float32[n, d] of rows of the table, on one device."""
    params, batch_stats = jax.tree.map(
      np.asarray, (state.params, state.batch_stats)
    )
    params, batch_stats = jax.device_put((params, batch_stats))
    return evaluate.embed(
      lambda batch: self.embed_fn(params, batch_stats, batch),
      self.images,
      rows,
      batch_size=self.config.eval.batch_size,
      region=self.config.data.region,
      stop=stop,
    )

  def _test(self, state, best_step, training, stop) -> dict[str, Any]:
    config, is_first = self.config, jax.process_index() == 0
    results = {
      **self.evaluation.test(
        lambda rows: self.embed(state, rows, stop),
        self.workdir / 'evaluation.npz' if is_first else None,
      ),
      'seed': config.seed,
      'steps': config.train.steps,
      'best_step': best_step,
      'loss': config.loss.name,
      'start': networks.start(config),
      'warnings': list(dict.fromkeys([*self.remarks, *training.warnings])),
      **training.clock.results(),
    }
    if is_first:
      workdirs.atomic_write_json(self.workdir / 'metrics.json', results)
    return results
