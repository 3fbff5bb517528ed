"""The same numbers as pytorch-metric-learning where definitions meet."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import relations
from mammojax.losses import softmax, weighting

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_metric_learning')

# ruff: noqa: E402
from pytorch_metric_learning import distances as peer_distances
from pytorch_metric_learning import losses as peer_losses
from pytorch_metric_learning import miners

# Two rows stand alone; every other row has a positive.
LABELS = np.array([0] * 4 + [1] * 3 + [2, 3, 3, 4, 5, 5], np.int32)


@functools.cache
def rows():
  return np.random.default_rng(8).normal(size=(13, 5)).astype(np.float32)


def plain():
  return peer_distances.LpDistance(normalize_embeddings=False)


def ours(loss_fn, keep=slice(None)):
  value, grad = jax.jit(jax.value_and_grad(loss_fn))(
    rows()[keep], jnp.asarray(LABELS[keep])
  )
  return float(value), np.asarray(grad)


def theirs(loss_fn, miner=None, keep=slice(None)):
  x = torch.tensor(rows()[keep], requires_grad=True)
  labels = torch.tensor(LABELS[keep])
  chosen = None if miner is None else miner(x, labels)
  value = loss_fn(x, labels, chosen)
  value.backward()
  return float(value.detach()), x.grad.numpy()


def agree(got, want):
  assert want[0] > 0.01
  assert got[0] == pytest.approx(want[0], rel=2e-5)
  scale = np.abs(want[1]).max()
  np.testing.assert_allclose(got[1], want[1], rtol=0, atol=2e-5 * scale)


def test_nt_xent():
  peer = peer_losses.NTXentLoss(temperature=0.2)
  loss = functools.partial(softmax.nt_xent, temperature=0.2)
  agree(ours(loss), theirs(peer))


def test_nt_xent_of_distances():
  peer = peer_losses.NTXentLoss(temperature=0.8, distance=plain())
  loss = functools.partial(
    softmax.nt_xent, temperature=0.8, distance='euclidean'
  )
  agree(ours(loss), theirs(peer))


def test_supcon():
  # The mean of the peer leaves out rows at 0: those without a positive.
  agree(ours(softmax.supcon), theirs(peer_losses.SupConLoss(temperature=0.1)))


def test_n_pair():
  # The peer takes one anchor and one positive of each label with a pair.
  chosen = [np.flatnonzero(label == LABELS) for label in (0, 1, 3, 5)]
  anchors = np.array([same[0] for same in chosen])
  positives = np.array([same[1] for same in chosen])

  def loss(x, labels):
    def relation(index):
      return relations.Relation(
        labels[index], item=jnp.asarray(index, jnp.int32)
      )

    gallery = (x[positives], relation(positives))
    return softmax.n_pair(x[anchors], relation(anchors), gallery=gallery)

  # Left to itself the peer brings rows to unit length.
  inner = peer_distances.DotProductSimilarity(normalize_embeddings=False)
  agree(ours(loss), theirs(peer_losses.NPairsLoss(distance=inner)))


def test_multi_similarity():
  # The peer divides by all rows, as here: each has a pair.
  peer = peer_losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)
  miner = miners.MultiSimilarityMiner(epsilon=0.1)
  agree(ours(weighting.multi_similarity), theirs(peer, miner))
  loss = functools.partial(weighting.multi_similarity, epsilon=None)
  agree(ours(loss), theirs(peer))


def test_multi_similarity_of_distances():
  # The base of the peer is a distance there, ours minus that distance.
  peer = peer_losses.MultiSimilarityLoss(
    alpha=1.5, beta=6, base=2.0, distance=plain()
  )
  loss = functools.partial(
    weighting.multi_similarity,
    alpha=1.5,
    beta=6.0,
    base=-2.0,
    epsilon=None,
    distance='euclidean',
  )
  agree(ours(loss), theirs(peer))


def test_circle():
  peer = peer_losses.CircleLoss(m=0.3, gamma=64)
  loss = functools.partial(weighting.circle, relaxation=0.3, scale=64.0)
  agree(ours(loss), theirs(peer))


def test_generalized_lifted_structure():
  # The peer pushes rows without a positive, too; here they do not count.
  peer = peer_losses.GeneralizedLiftedStructureLoss(
    neg_margin=1.5, distance=plain()
  )
  loss = functools.partial(weighting.lifted_structure, margin=1.5)
  keep = np.array([list(LABELS).count(label) > 1 for label in LABELS])
  agree(ours(loss, keep), theirs(peer, keep=keep))


def test_lifted_structure():
  peer = peer_losses.LiftedStructureLoss(neg_margin=1.5, distance=plain())
  loss = functools.partial(
    weighting.lifted_structure, margin=1.5, variant='original'
  )
  agree(ours(loss), theirs(peer))
