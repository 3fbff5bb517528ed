"""What a training step costs beyond its network, at the default setting."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing
from configs import base
from mammojax.training import (
  factory,
  margins,
  networks,
  objectives,
  optimizers,
  parallel,
  steps,
)
from mammojax.training import state as state_lib

BATCH = 64


def rows() -> list[tuple[str, str]]:
  """(what, measured) of the step with and without mining and AutoMargin."""
  config = base.get_config()
  size = config.data.image_size
  rng = np.random.default_rng(0)
  devices = parallel.Parallel('shard_map', 1)
  batch = devices.place(
    {
      'image': rng.random((BATCH, size, size, 1)).astype(np.float32),
      'label': np.repeat(np.arange(16), 4).astype(np.int32),
      'item': np.arange(BATCH, dtype=np.int32),
      'position': np.arange(BATCH, dtype=np.int32),
    }
  )
  direction = jnp.asarray(rng.normal(size=(BATCH, 128)), jnp.float32)

  def network_only(embeddings, given):
    loss = jax.lax.psum(jnp.sum(embeddings * direction), given.axis_name)
    zero = jnp.float32(0)
    return loss, objectives.Seen(zero, zero)

  sides = {
    'network': _runner(config, devices, batch, network_only),
    'full': _runner(config, devices, batch, objectives.build(config).score),
  }
  took = timing.interleaved(sides)
  alone = _loss_alone(config)
  return [
    ('network, augmentation and optimiser', f'{took["network"] * 1e3:.1f} ms'),
    ('with mining, AdaTriplet, AutoMargin', f'{took["full"] * 1e3:.1f} ms'),
    ('mining, loss and its gradient alone', f'{alone * 1e3:.2f} ms'),
    ('their share of the step', f'{alone / took["full"]:.2%}'),
  ]


def _runner(config, devices, batch, loss_fn):
  build = functools.partial(networks.model, config, mean=(0.3,), std=(0.2,))
  state = state_lib.create(
    build(axis_name=None),
    optimizers.optimizer(config),
    margins.state(config, steps_per_epoch=1),
    seed=0,
    image_shape=batch['image'].shape[1:],
  )
  step_fn = devices.data_parallel(
    functools.partial(
      steps.train_step,
      loss_fn=loss_fn,
      augment_fn=factory.augmentation(config),
      seed=0,
    )
  )
  held = [
    devices.replicate(
      state.replace(apply_fn=build(axis_name=parallel.AXIS).apply)
    ),
    devices.replicate(steps.TrainMetrics.empty()),
  ]

  def run():
    held[0], held[1], pulse = step_fn(held[0], held[1], batch)
    return pulse

  return run


def _loss_alone(config):
  rng = np.random.default_rng(1)
  embeddings = jnp.asarray(rng.normal(size=(BATCH, 128)), jnp.float32)
  labels = jnp.asarray(np.repeat(np.arange(16), 4), jnp.int32)
  given = objectives.Given(
    labels,
    margins.state(config, steps_per_epoch=1),
    params={},
    curriculum=None,
    memory=None,
    key=jax.random.key(0),
    axis_name=None,
  )
  score = objectives.build(config).score
  graded = jax.jit(jax.value_and_grad(lambda x: score(x, given), has_aux=True))
  return timing.interleaved({'loss': lambda: graded(embeddings)})['loss']


def sections() -> list[str]:
  """Lines of the page."""
  return [
    f'## A step of {BATCH} images at the default setting',
    'The first two differ by less than they vary, so the last two say what '
    'metric learning costs.',
    '',
    '| what | measured |',
    '|---|---|',
    *(f'| {what} | {measured} |' for what, measured in rows()),
    '',
  ]
