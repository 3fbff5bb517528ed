"""ResNets beside PyTorch's on the same cores: training and use."""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import timing, torch_resnet
from mammojax.models import backbones

BATCH = 32
NETWORKS = {'resnet18': 512, 'resnet50': 2048}
SIDES = (96, 128, 256)


def runners(name: str, images: np.ndarray, direction: np.ndarray):
  """As torch_resnet.runners, for our network of the same name."""
  model = backbones.build(name)
  x, slope = jnp.asarray(images), jnp.asarray(direction)
  variables = _made_up(model, x[:1])

  @jax.jit
  def backward(variables, x, slope):
    def objective(params):
      out, new = model.apply(
        {**variables, 'params': params}, x, True, mutable=['batch_stats']
      )
      return jnp.sum(out * slope), new

    return jax.grad(objective, has_aux=True)(variables['params'])

  forward = jax.jit(lambda variables, x: model.apply(variables, x, False))
  return lambda: backward(variables, x, slope), lambda: forward(variables, x)


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
  images = rng.normal(size=(BATCH, side, side, 3)).astype(np.float32)
  direction = rng.normal(size=(BATCH, NETWORKS[name])).astype(np.float32)
  ours = runners(name, images, direction)
  peers = torch_resnet.runners(name, images, direction)
  lines = []
  for what, mine, peer in zip(('training', 'use'), ours, peers, strict=True):
    # Large images take seconds, whose median settles sooner.
    took = timing.interleaved(
      {'ours': mine, 'peer': peer}, rounds=9 if side < 200 else 3
    )
    lines.append(
      f'| {name} | {side} | {what} | {took["ours"] * 1e3:.0f} ms '
      f'| {took["peer"] * 1e3:.0f} ms | {took["peer"] / took["ours"]:.2f} |'
    )
  return lines


def sections() -> list[str]:
  """Lines of the page."""
  lines = [
    f'## Networks, {BATCH} images a batch',
    'A pass forward and back, and one in use, of full width; *ratio* is time '
    'of PyTorch over ours.',
    '',
  ]
  if not torch_resnet.available():
    return [*lines, 'PyTorch is not installed.', '']
  lines += [
    '| network | px | what | ours | PyTorch | ratio |',
    '|---|---|---|---|---|---|',
  ]
  for name in NETWORKS:
    for side in SIDES:
      lines += row(name, side)
  return [*lines, '']
