"""Batch-all triplet against loops and by hand."""

import functools

import jax
from loss_checks import assert_close, masks_of, relation_of
import numpy as np
import pytest
import reference

from mammojax import errors, losses

BATCHES = reference.batches()
MARGIN = 0.2


@functools.cache
def _triplet(selection, reduction, distance='cosine'):
  def function(x, relation, margin):
    return losses.batch_all_triplet(
      x,
      relation,
      margin=margin,
      selection=selection,
      reduction=reduction,
      distance=distance,
      stats=True,
    )

  return jax.value_and_grad(function, has_aux=True)


@functools.cache
def _jitted_triplet(*names):
  return jax.jit(_triplet(*names))


def _check_triplet(function, batch, names, distance='cosine', margin=MARGIN):
  selection, reduction = names
  (value, stats), grad = function(batch['x'], relation_of(batch), margin)
  dist = reference.distances(batch['x'], batch['x'], distance)
  want, weights, num_selected, num_active = reference.batch_all_triplet(
    dist, *masks_of(batch), margin, selection, reduction
  )
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  assert_close(grad, reference.gradient(batch['x'], weights, distance))
  assert (stats.num_selected, stats.num_active) == (num_selected, num_active)


def test_reference_gradient_is_that_of_its_value():
  batch = BATCHES['unbalanced']
  masks = masks_of(batch)

  def value(x):
    dist = reference.distances(x, x)
    return reference.batch_all_triplet(dist, *masks, MARGIN)[0]

  dist = reference.distances(batch['x'], batch['x'])
  weights = reference.batch_all_triplet(dist, *masks, MARGIN)[1]
  rows = np.array(batch['x'], np.float64)
  got = reference.gradient(rows, weights)
  numeric = np.zeros(3)
  for k, (i, j) in enumerate([(0, 1), (12, 4), (19, 2)]):
    up, down = rows.copy(), rows.copy()
    up[i, j] += 1e-6
    down[i, j] -= 1e-6
    numeric[k] = (value(up) - value(down)) / 2e-6
  want = [got[0, 1], got[12, 4], got[19, 2]]
  np.testing.assert_allclose(numeric, want, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
  'selection, reduction',
  [
    ('all', 'mean'),
    ('all', 'sum'),
    ('semihard_region', 'mean'),
    ('hard_region', 'mean'),
    ('all', 'mean_active'),
  ],
)
def test_batch_all_equals_the_triple_loop(selection, reduction):
  names = (selection, reduction)
  for batch in BATCHES.values():
    _check_triplet(_jitted_triplet(*names), batch, names)


def test_eager_equals_the_triple_loop():
  names = ('semihard_region', 'mean')
  batch = BATCHES['padded']
  (value, _), grad = _triplet(*names)(batch['x'], relation_of(batch), MARGIN)
  dist = reference.distances(batch['x'], batch['x'])
  want, weights, _, _ = reference.batch_all_triplet(
    dist, *masks_of(batch), MARGIN, *names
  )
  np.testing.assert_allclose(value, want, rtol=2e-5)
  assert_close(grad, reference.gradient(batch['x'], weights))


@pytest.mark.parametrize(
  'distance',
  [
    'euclidean',
    pytest.param('squared_euclidean', marks=pytest.mark.slow),
    'manhattan',
    pytest.param('snr', marks=pytest.mark.slow),
  ],
)
def test_every_distance_equals_the_triple_loop(distance):
  names = ('semihard_region', 'mean')
  function = _jitted_triplet(*names, distance)
  for batch in (BATCHES['random'], BATCHES['padded']):
    _check_triplet(function, batch, names, distance, margin=0.7)


@pytest.mark.parametrize('selection', reference.SELECTIONS)
def test_exact_ties_fall_where_the_definition_says(selection):
  # Manhattan distances of multiples of 1/4 are exact, so gaps of exactly 0
  # and exactly the margin abound: (0, m] is semi-hard, 0 is hard. No two
  # coordinates agree, which keeps away from the kinks of the distance.
  rng = np.random.default_rng(3)
  batch = dict(BATCHES['random'])
  columns = [rng.permutation(20) for _ in range(6)]
  batch['x'] = (np.stack(columns, 1) / 4 - 2).astype(np.float32)
  names = (selection, 'mean')
  function = _jitted_triplet(*names, 'manhattan')
  _check_triplet(function, batch, names, 'manhattan', margin=0.5)


@pytest.mark.parametrize(
  'selection, reduction, want',
  [
    ('all', 'mean', (0.3 + 0.0) / 2),
    ('all', 'mean_active', 0.3),
    ('all', 'sum', 0.3),
    ('semihard_region', 'mean', 0.3),
    ('hard_region', 'mean', 0.0),
  ],
)
def test_two_triplets_by_hand(selection, reduction, want):
  # phi_01 = 0.8, phi_02 = 0.6, phi_12 = 0: gap 0.2 at anchor 0, 0.8 at 1.
  batch = dict(BATCHES['all_distinct'], x=BATCHES['random']['x'].copy())
  batch['x'][:3] = 0.0
  batch['x'][:3, :2] = [[1, 0], [0.8, 0.6], [0.6, -0.8]]
  batch['label'] = np.array([0, 0, 1] + [0] * 17, np.int32)
  batch['valid'] = np.arange(20) < 3
  (got, _), _ = _jitted_triplet(selection, reduction)(
    batch['x'], relation_of(batch), 0.5
  )
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_statistics_equal_the_triple_loop():
  for batch in BATCHES.values():
    (_, stats), _ = _jitted_triplet('all', 'mean')(
      batch['x'], relation_of(batch), MARGIN
    )
    masks = masks_of(batch)
    dist = reference.distances(batch['x'], batch['x'])
    want = reference.margin_means(dist, *masks)
    assert stats.num_triplets == want['num_triplets']
    if want['num_triplets']:
      np.testing.assert_allclose(stats.mean_gap, want['gap'], atol=2e-6)
      np.testing.assert_allclose(stats.mean_an, want['an'], atol=2e-6)
    positive, negative = masks
    both = positive.any(1) & negative.any(1)
    assert stats.num_anchors == both.sum()


def test_a_collapsed_batch_gives_no_gradient_under_manhattan():
  x = np.ones((20, 6), np.float32)
  function = _jitted_triplet('semihard_region', 'mean', 'manhattan')
  relation = relation_of(BATCHES['unbalanced'])
  assert not np.asarray(function(x, relation, 0.5)[1]).any()
  function = _jitted_triplet('all', 'mean', 'manhattan')
  (value, _), grad = function(x, relation, 0.5)
  np.testing.assert_allclose(value, 0.5, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-6)


def test_unknown_names_are_answered_with_the_nearest():
  x, label = BATCHES['random']['x'], BATCHES['random']['label']
  with pytest.raises(errors.UsageError, match="'semihard_region'"):
    losses.batch_all_triplet(x, label, margin=0.2, selection='seminard_region')
  with pytest.raises(errors.UsageError, match="'cosine'"):
    losses.batch_all_triplet(x, label, margin=0.2, distance='cosin')


def test_forward_derivatives_are_those_of_the_gradient(rng):
  batch = BATCHES['unbalanced']
  direction = rng.normal(size=batch['x'].shape).astype(np.float32)

  def function(x):
    return losses.batch_all_triplet(x, relation_of(batch), margin=MARGIN)

  _, slope = jax.jit(lambda x: jax.jvp(function, (x,), (direction,)))(
    batch['x']
  )
  dist = reference.distances(batch['x'], batch['x'])
  weights = reference.batch_all_triplet(dist, *masks_of(batch), MARGIN)[1]
  want = np.vdot(reference.gradient(batch['x'], weights), direction)
  np.testing.assert_allclose(slope, want, rtol=1e-4)
