"""ResNets beside PyTorch's on the same cores: training and use.

Ours runs as one device whose operations share the cores, and as one device a
core, each with its share of the batch, as `parallel.num_devices` does.
"""

from collections.abc import Iterator
import functools
import os
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
import numpy as np

from benchmarks import timing, torch_resnet
from mammojax.models import backbones

NETWORKS = {'resnet18': 512, 'resnet50': 2048}
# Side of the images and how many. At 64 px the last maps are 2 x 2.
BATCHES = {64: 32, 96: 32, 128: 32, 256: 8}
_AXIS = 'data'


def runners(
  name: str,
  images: np.ndarray,
  direction: np.ndarray,
  num_devices: int,
  dtype: Any = jnp.float32,
):
  """As torch_resnet.runners, for our network of the same name."""
  model = backbones.build(name, axis_name=_AXIS, dtype=dtype)
  variables = _made_up(model, images[:1])

  def backward(variables, x, slope):
    def objective(params):
      out, new = model.apply(
        {**variables, 'params': params}, x, True, mutable=['batch_stats']
      )
      return jnp.sum(out * slope), new

    return jax.grad(objective, has_aux=True)(variables['params'])

  def forward(variables, x):
    return model.apply(variables, x, False)

  kind = jax.sharding.AxisType.Auto
  mesh = jax.make_mesh(
    (num_devices,),
    (_AXIS,),
    axis_types=(kind,),
    devices=jax.devices()[:num_devices],
  )
  whole, shared = PartitionSpec(), PartitionSpec(_AXIS)

  def place(value, spec):
    return jax.device_put(value, jax.sharding.NamedSharding(mesh, spec))

  mapped = functools.partial(jax.shard_map, mesh=mesh)
  learn = jax.jit(
    mapped(backward, in_specs=(whole, shared, shared), out_specs=whole)
  )
  use = jax.jit(mapped(forward, in_specs=(whole, shared), out_specs=shared))
  x, slope = place(images.astype(dtype), shared), place(direction, shared)
  variables = place(variables, whole)
  return lambda: learn(variables, x, slope), lambda: use(variables, x)


def _made_up(model, x):
  """Variables of any values: the program that draws them need not compile."""
  rng = np.random.default_rng(1)
  like = jax.eval_shape(
    lambda key: model.init(key, x, False), jax.random.key(0)
  )
  return jax.tree.map(
    lambda leaf: (
      jnp.asarray(1.0 if leaf.ndim == 1 else 0.05 * rng.normal(size=leaf.shape))
      * jnp.ones(leaf.shape, leaf.dtype)
    ),
    like,
  )


def row(name: str, side: int) -> list[str]:
  """One line of the table for training, one for use."""
  rng = np.random.default_rng(0)
  batch = BATCHES[side]
  images = rng.normal(size=(batch, side, side, 3)).astype(np.float32)
  direction = rng.normal(size=(batch, NETWORKS[name])).astype(np.float32)
  counts = sorted({1, len(jax.devices())})
  sides = {n: runners(name, images, direction, n) for n in counts}
  sides['peer'] = torch_resnet.runners(name, images, direction)
  lines = []
  for place, what in enumerate(('training', 'use')):
    # Large images take seconds, whose median settles sooner.
    took = timing.interleaved(
      {side: both[place] for side, both in sides.items()},
      rounds=7 if side < 128 else 3,
    )
    ours = [took[n] for n in counts]
    times = ' | '.join(f'{1e3 * seconds:.0f} ms' for seconds in ours)
    lines.append(
      f'| {name} | {batch} x {side} px | {what} | {times} '
      f'| {took["peer"] * 1e3:.0f} ms | {took["peer"] / min(ours):.2f} |'
    )
  return lines


def table() -> Iterator[str]:
  """Lines of the table as they are measured, on the devices that there are."""
  ours = ' | '.join(f'as {n}' for n in sorted({1, len(jax.devices())}))
  yield f'| network | images | what | {ours} | PyTorch | ratio |'
  yield f'|---|---|---|---|---|---{"|---" * (len(jax.devices()) > 1)}|'
  for name in NETWORKS:
    for side in BATCHES:
      yield from row(name, side)


def sections() -> list[str]:
  """Lines of the page, measured by a process with a device a core."""
  lines = [
    '## Networks',
    'A pass forward and back, and one in use, of full width, as one device '
    'and as one a core; *ratio* is time of PyTorch over the better of ours.',
    '',
  ]
  if not torch_resnet.available():
    return [*lines, 'PyTorch is not installed.', '']
  return [*lines, *timing.printed_by(__name__), '']


if __name__ == '__main__':
  jax.config.update('jax_num_cpu_devices', len(os.sched_getaffinity(0)))
  for line in table():
    print(line, flush=True)
