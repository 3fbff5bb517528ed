"""The same numbers as pytorch-metric-learning where definitions meet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import losses

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_metric_learning')

# ruff: noqa: E402
from pytorch_metric_learning import distances as peer_distances
from pytorch_metric_learning import losses as peer_losses
from pytorch_metric_learning import miners, reducers

MARGIN = 0.3


def batch(rng):
  labels = np.array([0] * 5 + [1] * 3 + [2, 3, 3, 4, 4, 4], np.int32)
  return rng.normal(size=(14, 6)).astype(np.float32), labels


def ours(loss_fn, x, labels, **kwargs):
  value, grad = jax.value_and_grad(
    lambda x: loss_fn(x, jnp.asarray(labels), **kwargs)
  )(jnp.asarray(x))
  return float(value), np.asarray(grad)


def theirs(loss_fn, x, labels, miner=None):
  x = torch.tensor(x, requires_grad=True)
  labels = torch.tensor(labels)
  chosen = None if miner is None else miner(x, labels)
  value = loss_fn(x, labels, chosen)
  value.backward()
  return float(value.detach()), x.grad.numpy()


def agree(got, want):
  assert want[0] > 0.01
  assert got[0] == pytest.approx(want[0], rel=1e-5)
  np.testing.assert_allclose(got[1], want[1], atol=1e-5)


@pytest.mark.parametrize(
  'reduction, reducer',
  [
    ('mean', reducers.MeanReducer()),
    ('mean_active', reducers.AvgNonZeroReducer()),
    ('sum', reducers.SumReducer()),
  ],
  ids=['mean', 'mean_active', 'sum'],
)
def test_all_triplets(rng, reduction, reducer):
  x, labels = batch(rng)
  peer = peer_losses.TripletMarginLoss(
    MARGIN, distance=peer_distances.CosineSimilarity(), reducer=reducer
  )
  got = ours(
    losses.batch_all_triplet, x, labels, margin=MARGIN, reduction=reduction
  )
  agree(got, theirs(peer, x, labels))


@pytest.mark.parametrize(
  'selection, kind', [('semihard_region', 'semihard'), ('hard_region', 'hard')]
)
def test_regions(rng, selection, kind):
  x, labels = batch(rng)
  cosine = peer_distances.CosineSimilarity()
  peer = peer_losses.TripletMarginLoss(
    MARGIN, distance=cosine, reducer=reducers.MeanReducer()
  )
  miner = miners.TripletMarginMiner(
    MARGIN, type_of_triplets=kind, distance=cosine
  )
  got = ours(
    losses.batch_all_triplet, x, labels, margin=MARGIN, selection=selection
  )
  agree(got, theirs(peer, x, labels, miner))


def test_contrastive(rng):
  x, labels = batch(rng)
  peer = peer_losses.ContrastiveLoss(
    pos_margin=0.2,
    neg_margin=2.5,
    distance=peer_distances.LpDistance(normalize_embeddings=False),
    reducer=reducers.SumReducer(),
  )
  got = ours(
    losses.contrastive,
    x,
    labels,
    positive_margin=0.2,
    margin=2.5,
    reduction='sum',
  )
  agree(got, theirs(peer, x, labels))
