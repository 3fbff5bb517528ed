"""The same pairs and triplets as pytorch-metric-learning's miners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_mining

from mammojax import distances, losses, mining

torch = pytest.importorskip('torch')
pytest.importorskip('pytorch_metric_learning')

# ruff: noqa: E402
from pytorch_metric_learning import distances as peer_distances
from pytorch_metric_learning import losses as peer_losses
from pytorch_metric_learning import miners, reducers

MARGIN = 0.3
PEER_DISTANCES = {
  'cosine': peer_distances.CosineSimilarity(),
  'euclidean': peer_distances.LpDistance(normalize_embeddings=False),
}
every_distance = pytest.mark.parametrize('distance', PEER_DISTANCES)


def batch(rng):
  labels = np.array([0] * 5 + [1] * 3 + [2, 3, 3, 4, 4, 4], np.int32)
  return rng.normal(size=(14, 6)).astype(np.float32), labels


def case(x, labels, distance):
  """Distances and masks of ours."""
  positive = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
  dist = np.asarray(distances.pairwise(x, x, distance))
  return dist, positive, labels[:, None] != labels


def mined(miner, x, labels):
  """Index arrays that a peer's miner returns."""
  return [v.numpy() for v in miner(torch.tensor(x), torch.tensor(labels))]


def as_mask(rows, columns, count=14):
  mask = np.zeros((count, count), bool)
  mask[rows, columns] = True
  return mask


@every_distance
@pytest.mark.parametrize(
  'name, miner, strategies',
  [
    ('batch_hard', miners.BatchHardMiner, {}),
    (
      'batch_easy_positive_hard_negative',
      miners.BatchEasyHardMiner,
      {'pos_strategy': 'easy', 'neg_strategy': 'hard'},
    ),
    (
      'batch_easy_positive_semihard',
      miners.BatchEasyHardMiner,
      {'pos_strategy': 'easy', 'neg_strategy': 'semihard'},
    ),
  ],
  ids=['hard', 'easy positive', 'easy positive semihard'],
)
def test_one_triplet_an_anchor(name, miner, strategies, distance, rng):
  x, labels = batch(rng)
  peer = miner(distance=PEER_DISTANCES[distance], **strategies)
  found = mined(peer, x, labels)
  got = getattr(mining, name)(*case(x, labels, distance))
  anchors = np.flatnonzero(got.positive >= 0)
  assert 8 < len(anchors) < 14
  np.testing.assert_array_equal(found[0], anchors)
  np.testing.assert_array_equal(found[1], got.positive[anchors])
  np.testing.assert_array_equal(found[-1], got.negative[anchors])


@every_distance
@pytest.mark.parametrize('kind', ['all', 'semihard', 'hard', 'easy'])
def test_types_of_triplets(kind, distance, rng):
  x, labels = batch(rng)
  peer = miners.TripletMarginMiner(
    MARGIN, type_of_triplets=kind, distance=PEER_DISTANCES[distance]
  )
  want = np.zeros((14, 14), int)
  for a, p, n in zip(*mined(peer, x, labels), strict=True):
    want[a, p] += 1
    want[a, n] += 1
  masks = case(x, labels, distance)
  every = mining.select('all', *masks, MARGIN)
  # Their 'all' is what the margin leaves, ours is every valid triplet.
  got = {
    'all': lambda: every.active,
    'easy': lambda: every.selected - every.active,
    'semihard': lambda: (
      mining.select('semihard_region', *masks, MARGIN).selected
    ),
    'hard': lambda: mining.select('hard_region', *masks, MARGIN).selected,
  }[kind]()
  assert want.any()
  np.testing.assert_array_equal(got, want)


@every_distance
def test_multi_similarity(distance, rng):
  x, labels = batch(rng)
  for epsilon in (0.1, -0.4):
    peer = miners.MultiSimilarityMiner(
      epsilon, distance=PEER_DISTANCES[distance]
    )
    a1, p, a2, n = mined(peer, x, labels)
    got = mining.multi_similarity(*case(x, labels, distance), epsilon)
    assert len(p) and len(n)
    np.testing.assert_array_equal(got.positive, as_mask(a1, p))
    np.testing.assert_array_equal(got.negative, as_mask(a2, n))


def test_pair_margins(rng):
  x, labels = batch(rng)
  margins = (2.5, 3.0)
  peer = miners.PairMarginMiner(*margins, distance=PEER_DISTANCES['euclidean'])
  a1, p, a2, n = mined(peer, x, labels)
  got = mining.pair_margin(*case(x, labels, 'euclidean'), *margins)
  assert len(p) and len(n)
  np.testing.assert_array_equal(got.positive, as_mask(a1, p))
  np.testing.assert_array_equal(got.negative, as_mask(a2, n))


def test_distance_weighted_draws_as_often_for_the_same_anchors(rng):
  # The peer draws the positives too, so anchors and negatives are compared.
  x, labels = batch(rng)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  torch.manual_seed(0)
  miner = miners.DistanceWeightedMiner()
  drawn = np.zeros((14, 14))
  for _ in range(300):
    a, _, n = mined(miner, x, labels)
    np.add.at(drawn, (a, n), 1)
  masks = case(x, labels, 'euclidean')
  column = mining.distance_weighted(*masks, jax.random.key(0), dim=6)
  np.testing.assert_array_equal((np.asarray(column) >= 0).any(1), drawn.any(1))
  want = reference_mining.draw_probabilities(masks[0], masks[2], dim=6)
  for a in np.flatnonzero(drawn.any(1)):
    count = drawn[a].sum()
    error = np.sqrt(count * want[a] * (1 - want[a]))
    assert (np.abs(drawn[a] - count * want[a]) <= 4.5 * error + 2).all()


@pytest.mark.parametrize(
  'loss, miner',
  [
    (losses.batch_hard_triplet, miners.BatchHardMiner),
    (
      losses.batch_easy_positive_semihard_triplet,
      miners.BatchEasyHardMiner,
    ),
  ],
  ids=['hard', 'easy positive semihard'],
)
@pytest.mark.parametrize('soft', [False, True], ids=['hinge', 'soft'])
def test_losses_on_what_was_mined(loss, miner, soft, rng):
  x, labels = batch(rng)
  cosine = PEER_DISTANCES['cosine']
  rows = torch.tensor(x, requires_grad=True)
  peer = peer_losses.TripletMarginLoss(
    MARGIN,
    smooth_loss=soft,
    distance=cosine,
    reducer=reducers.MeanReducer(),
  )
  ids = torch.tensor(labels)
  want = peer(rows, ids, miner(distance=cosine)(rows, ids))
  want.backward()
  got, grad = jax.value_and_grad(
    lambda x: loss(x, jnp.asarray(labels), margin=MARGIN, soft=soft)
  )(jnp.asarray(x))
  np.testing.assert_allclose(got, want.item(), rtol=1e-5)
  np.testing.assert_allclose(grad, rows.grad.numpy(), atol=1e-6)
