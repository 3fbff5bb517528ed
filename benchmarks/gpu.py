"""ResNets in bfloat16 beside PyTorch's on one GPU: training and use.

PyTorch runs as its users run it: channels last, compiled, bfloat16 (by autocast
in training). *Share* is the rate of a network's multiplications and additions
over that of a bare product of bfloat16 matrices in the same process; a pass
forward and back counts as three forward.
"""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import networks, timing, torch_resnet

# Side of the images and how many.
BATCHES = {96: 256, 128: 256, 256: 128}
# Passes that are timed as one, so that starting them costs nothing.
_PASSES = 10
_MATRIX = 8192


def product_rate() -> float:
  """Operations a second of a bare product of bfloat16 matrices."""
  keys = jax.random.split(jax.random.key(0))
  shape = (_MATRIX, _MATRIX)
  left, right = (jax.random.normal(key, shape, jnp.bfloat16) for key in keys)
  product = jax.jit(jnp.matmul)
  run = _repeated(lambda: product(left, right))
  seconds = timing.interleaved({'product': run}, rounds=5)['product']
  return _PASSES * 2 * _MATRIX**3 / seconds


def row(name: str, side: int, peak: float) -> list[str]:
  """One line of the table for training, one for use."""
  rng = np.random.default_rng(0)
  batch = BATCHES[side]
  images = rng.normal(size=(batch, side, side, 3)).astype(np.float32)
  direction = rng.normal(size=(batch, networks.NETWORKS[name]))
  direction = direction.astype(np.float32)
  ours = networks.runners(name, images, direction, 1, jnp.bfloat16)
  theirs = torch_resnet.runners_of_gpu(name, images, direction, _PASSES)
  forward = torch_resnet.operations(name, images.shape)
  lines = []
  for place, what in enumerate(('training', 'use')):
    took = timing.interleaved(
      {'ours': _repeated(ours[place]), 'peer': theirs[place]}, rounds=5
    )
    rates = {n: _PASSES * batch / seconds for n, seconds in took.items()}
    share = (3 - 2 * place) * forward / batch * rates['ours'] / peak
    lines.append(
      f'| {name} | {batch} x {side} px | {what} | {rates["ours"]:,.0f} | '
      f'{100 * share:.0f} % | {rates["peer"]:,.0f} | '
      f'{rates["ours"] / rates["peer"]:.2f} |'
    )
  return lines


def _repeated(run: Callable[[], object]) -> Callable[[], object]:
  def several():
    for _ in range(_PASSES):
      result = run()
    return result

  return several


def table() -> Iterator[str]:
  """Lines of the table as they are measured, on the first GPU."""
  peak = product_rate()
  yield (
    f'{jax.devices()[0].device_kind}; the bare product runs at '
    f'{peak / 1e12:.0f} Tflop/s.\n'
  )
  yield '| network | images | what | images/s | share | PyTorch | ratio |'
  yield '|---|---|---|---|---|---|---|'
  for name in networks.NETWORKS:
    for side in BATCHES:
      yield from row(name, side, peak)


def sections() -> list[str]:
  """Lines of the page, measured in a process that leaves PyTorch memory."""
  lines = ['## Networks on a GPU', __doc__.partition('\n\n')[2]]
  if jax.default_backend() != 'gpu' or not torch_resnet.has_gpu():
    return [*lines, 'No GPU that both JAX and PyTorch see.', '']
  rows = timing.printed_by(__name__, XLA_PYTHON_CLIENT_PREALLOCATE='false')
  return [*lines, *rows, '']


if __name__ == '__main__':
  for line in table():
    print(line, flush=True)
