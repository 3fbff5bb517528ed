"""Thin networks for tests, and a few steps of training of them."""

import functools

import jax
import numpy as np

from configs import base
from mammojax.training import (
  margins,
  networks,
  objectives,
  optimizers,
  parallel,
  steps,
)
from mammojax.training import state as state_lib

SUBJECTS, IMAGES = 4, 2


def config(**changes):
  """Base config, thin, with dotted names written with `__`."""
  result = base.get_config()
  result.model.width = 4
  result.model.embedding_dim = 8
  result.automargin.mode = 'fixed'
  result.optim.warmup_steps = 0
  result.optim.schedule = 'constant'
  for name, value in changes.items():
    section, field = name.split('__')
    result[section][field] = value
  return result


def batch(side, channels=1, num=SUBJECTS * IMAGES):
  rng = np.random.default_rng(5)
  return {
    'image': rng.random((num, side, side, channels)).astype(np.float32),
    'label': np.repeat(np.arange(num // IMAGES), IMAGES).astype(np.int32),
    'item': np.arange(num, dtype=np.int32),
    'position': np.arange(num, dtype=np.int32),
  }


def train(config, data, num_steps=2, num_devices=1, **options):
  """State before, state after, and the losses of each step."""
  build = functools.partial(
    networks.model,
    config,
    mean=(0.5,),
    std=(0.25,),
    frozen=config.optim.freeze,
  )
  devices = parallel.Parallel('shard_map', num_devices)
  state = state_lib.create(
    build(axis_name=None),
    optimizers.optimizer(config),
    margins.state(config, steps_per_epoch=1),
    seed=1,
    image_shape=data['image'].shape[1:],
  )
  before = jax.tree.map(np.asarray, (state.params, state.batch_stats))
  state = state.replace(apply_fn=build(axis_name=parallel.AXIS).apply)
  step_fn = devices.data_parallel(
    functools.partial(
      steps.train_step,
      loss_fn=objectives.build(config).score,
      augment_fn=lambda images, key, position: images,
      seed=0,
      freeze=tuple(config.optim.freeze),
      penalty_fn=optimizers.penalty(config),
      **options,
    )
  )
  state = devices.replicate(state)
  metrics = devices.replicate(steps.TrainMetrics.empty())
  seen = []
  for _ in range(num_steps):
    state, metrics, pulse = step_fn(state, metrics, devices.place(data))
    seen.append(float(pulse['loss']))
  after = jax.tree.map(np.asarray, (state.params, state.batch_stats))
  return before, after, seen


def moved(before, after):
  """Names of the arrays that changed."""
  changed = jax.tree.map(lambda a, b: bool(np.any(a != b)), before, after)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/')
    for path, is_moved in jax.tree_util.tree_leaves_with_path(changed)
    if is_moved
  }
