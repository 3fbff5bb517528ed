"""Losses over a batch beside pytorch-metric-learning and the bare products.

Loss and gradient, 128 columns, cosine, margin 0.2. The floor is three bare
products: that of all pairs, and the two of its gradient by both sides.
"""

from collections.abc import Callable
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import peers, timing
from mammojax import automargin, losses

DIM = 128
MARGIN = 0.2


class Work(NamedTuple):
  """One row of the table.

  Attributes:
    name: what is measured.
    batch: rows.
    same: rows of one label.
    loss_fn: (embeddings, labels) -> float32[].
    peer: name in `peers.LOSSES`, or '' where the peer has none or cannot.
    rounds: repetitions.
  """

  name: str
  batch: int
  same: int
  loss_fn: Callable
  peer: str = ''
  rounds: int = 15


def batch_all(embeddings, labels):
  """Exact batch-all."""
  return losses.batch_all_triplet(embeddings, labels, margin=MARGIN)


def region(embeddings, labels):
  """Batch-all of the semi-hard region."""
  return losses.batch_all_triplet(
    embeddings, labels, margin=MARGIN, selection='semihard_region'
  )


def semihard(embeddings, labels):
  """One semi-hard negative a pair."""
  return losses.semihard_triplet(embeddings, labels, margin=MARGIN)


def batch_hard(embeddings, labels):
  """One triplet an anchor."""
  return losses.batch_hard_triplet(embeddings, labels, margin=MARGIN)


def adatriplet(embeddings, labels):
  """AdaTriplet on all triplets, AutoMargin's update included."""
  state = automargin.init('step')
  loss, stats = losses.adatriplet(
    embeddings, labels, margin=state.margin, beta=state.beta, stats=True
  )
  state = automargin.update(automargin.accumulate(state, stats))
  # Zero, so that the update is not left out as unused.
  return loss + 0.0 * jax.lax.stop_gradient(state.margin + state.beta)


TABLE = (
  Work('batch-all', 128, 4, batch_all, 'batch_all'),
  Work('batch-all', 128, 64, batch_all, 'batch_all'),
  Work('batch-all', 256, 128, batch_all, 'batch_all'),
  Work('batch-all', 1024, 4, batch_all, 'batch_all', 9),
  Work('batch-all', 3000, 4, batch_all, '', 5),
  Work('batch-all', 3000, 1500, batch_all, '', 5),
  Work('batch-all', 4096, 4, batch_all, '', 5),
  Work('batch-all', 4096, 2048, batch_all, '', 5),
  Work('batch-all', 16384, 4, batch_all, '', 1),
  Work('semi-hard region', 1024, 4, region, 'semihard_region', 7),
  Work('semi-hard', 8192, 4, semihard, '', 3),
  Work('batch-hard', 1024, 4, batch_hard, 'batch_hard', 7),
  Work('batch-hard', 8192, 4, batch_hard, '', 3),
)
GROWTH = (2048, 4096, 8192)


def sections() -> list[str]:
  """Lines of the page: the table, growth, and AdaTriplet beside batch-all."""
  lines = [
    '## Losses',
    'Loss and gradient, 128 columns, cosine, margin 0.2. *Floor*: three bare '
    'matrix products of the batch. *Peer*: '
    f'{peers.describe()}. *Temporary* is what the compiled program allots.',
    '',
    '| loss | batch | ours | peer | times faster | floors | temporary |',
    '|---|---|---|---|---|---|---|',
    *map(_row, TABLE),
    '',
    '### Growth of batch-all from B to 2B',
    '| labels | ' + ' | '.join(f'{size:,}' for size in GROWTH) + ' | factors |',
    '|---|---|---|---|---|',
    *(_growth(name, share) for name, share in _BALANCES),
    '',
    '### AdaTriplet with AutoMargin beside batch-all, 1,024 = 256 x 4',
    *_beside(),
    '',
  ]
  return lines


# Rows of one label in a batch of a size.
_BALANCES = (
  ('4 rows each', lambda size: 4),
  ('64 rows each', lambda size: 64),
  ('2 labels', lambda size: size // 2),
)


def _batch(size, same):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(size, DIM)).astype(np.float32)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return x, (np.arange(size) // same).astype(np.int32)


def _ours(work):
  x, labels = map(jnp.asarray, _batch(work.batch, work.same))
  compiled = (
    jax.jit(jax.value_and_grad(work.loss_fn)).lower(x, labels).compile()
  )
  memory = compiled.memory_analysis().temp_size_in_bytes
  return (lambda: compiled(x, labels)), memory


def _floor(size):
  x, _ = _batch(size, 4)
  weights = np.random.default_rng(1).normal(size=(size, size))
  x, weights = jnp.asarray(x), jnp.asarray(weights, jnp.float32)
  products = jax.jit(lambda x, w: (x @ x.T, w @ x, w.T @ x))
  return lambda: products(x, weights)


def _row(work):
  run, memory = _ours(work)
  sides = {'ours': run, 'floor': _floor(work.batch)}
  if work.peer and peers.available():
    sides['peer'] = peers.runner(work.peer, *_batch(work.batch, work.same))
  took = timing.interleaved(sides, work.rounds)
  has_peer = 'peer' in took
  ratio = f'{took["peer"] / took["ours"]:.0f}' if has_peer else ''
  return (
    f'| {work.name} | {work.batch:,} = {work.batch // work.same:,} x '
    f'{work.same:,} | {_milliseconds(took["ours"])} | '
    f'{_milliseconds(took["peer"]) if has_peer else ""} | {ratio} | '
    f'{took["ours"] / took["floor"]:.1f} | {memory / 2**20:.1f} MiB |'
  )


def _growth(name, share):
  runs = {
    size: _ours(Work('', size, share(size), batch_all))[0] for size in GROWTH
  }
  took = timing.interleaved({str(size): run for size, run in runs.items()}, 3)
  times = [took[str(size)] for size in GROWTH]
  factors = ', '.join(
    f'{after / before:.1f}' for before, after in itertools.pairwise(times)
  )
  cells = ' | '.join(map(_milliseconds, times))
  return f'| {name} | {cells} | {factors} |'


def _beside():
  works = {
    'batch-all': Work('', 1024, 4, batch_all),
    'AdaTriplet with AutoMargin': Work('', 1024, 4, adatriplet),
  }
  took = timing.interleaved(
    {name: _ours(work)[0] for name, work in works.items()}, 25
  )
  first, second = took.values()
  return [
    f'{_milliseconds(first)} and {_milliseconds(second)}, '
    f'{second / first:.2f} times.'
  ]


def _milliseconds(seconds):
  milliseconds = seconds * 1e3
  return f'{milliseconds:,.{0 if milliseconds >= 100 else 1}f} ms'
