"""Triplet losses with one negative for each positive pair, against loops."""

import functools

import jax
import jax.numpy as jnp
import loss_checks
from loss_checks import assert_close, masks_of, relation_of
import numpy as np
import pytest
import reference
import reference_mining

from mammojax import errors, losses

BATCHES = reference.batches()
# name -> (loss with its variant, selection of the reference)
LOSSES = {
  'bounded': (losses.semihard_triplet, 'semihard'),
  'facenet': (
    functools.partial(losses.semihard_triplet, variant='facenet'),
    'semihard_facenet',
  ),
  'hard': (losses.hard_triplet, 'hard'),
}
every_loss = pytest.mark.parametrize('name', LOSSES)
# Both variants of one loss take seconds to compile.
one_of_each = pytest.mark.parametrize(
  'name',
  ['bounded', pytest.param('facenet', marks=pytest.mark.slow), 'hard'],
)


def slow(*values):
  return pytest.param(*values, marks=pytest.mark.slow)


@functools.cache
def value_and_grad(name, soft=False, distance='cosine'):
  """One compilation for all reductions: (values, stats), gradients."""

  def function(x, relation, margin, reduction):
    return LOSSES[name][0](
      x,
      relation,
      margin=margin,
      soft=soft,
      distance=distance,
      reduction=reduction,
      stats=True,
    )

  return jax.jit(jax.value_and_grad(function, has_aux=True), static_argnums=3)


def wanted(name, x, masks, margin, soft, reduction, distance='cosine', y=None):
  dist = reference.distances(x, x if y is None else y, distance)
  chosen = reference_mining.triplets(LOSSES[name][1], dist, *masks, margin)
  return reference_mining.triplet_loss(
    dist, chosen, margin, soft, reduction, masks[0].sum()
  )


def check(name, batch, margin, soft, reduction, distance='cosine'):
  (value, stats), grad = value_and_grad(name, soft, distance)(
    batch['x'], relation_of(batch), margin, reduction
  )
  want, weights, num_selected, num_active = wanted(
    name, batch['x'], masks_of(batch), margin, soft, reduction, distance
  )
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  assert_close(grad, reference.gradient(batch['x'], weights, distance))
  assert (stats.num_selected, stats.num_active) == (num_selected, num_active)
  return stats


@pytest.mark.parametrize('soft', [False, True], ids=['hinge', 'soft'])
@every_loss
def test_values_and_gradients_equal_the_loop(name, soft):
  for batch in BATCHES.values():
    stats = check(name, batch, 0.2, soft, 'mean')
    loss_checks.assert_triplet_stats(stats, batch)
  check(name, BATCHES['unbalanced'], 0.05, soft, 'mean')


@pytest.mark.parametrize(
  'name, soft, reduction',
  [
    slow('bounded', True, 'mean_active'),
    ('bounded', False, 'mean_pairs'),
    ('facenet', False, 'mean_active'),
    slow('facenet', True, 'mean_pairs'),
    ('hard', False, 'sum'),
    slow('hard', False, 'mean_active'),
  ],
)
def test_every_reduction_equals_the_loop(name, soft, reduction):
  for key in ('unbalanced', 'duplicated', 'padded'):
    check(name, BATCHES[key], 0.2, soft, reduction)
  for key in ('one_class', 'all_distinct'):
    check(name, BATCHES[key], 0.2, soft, reduction)


@pytest.mark.parametrize(
  'name, distance',
  [
    ('bounded', 'euclidean'),
    slow('bounded', 'manhattan'),
    ('facenet', 'squared_euclidean'),
    ('hard', 'snr'),
  ],
)
def test_every_distance_equals_the_loop(name, distance):
  for key in ('random', 'padded'):
    check(name, BATCHES[key], 0.7, False, 'mean', distance)


def test_facenet_equals_tensorflow_addons_formula(rng):
  # Its distances are squared ones of unit rows; it divides by all positive
  # pairs.
  label = np.array([0] * 5 + [1] * 4 + [2] * 3 + [3], np.int32)
  x = rng.normal(size=(13, 4)) + 1.5 * (label[:, None] == np.arange(4))
  unit = x / np.linalg.norm(x, axis=1, keepdims=True)
  squared = reference.distances(unit, unit, 'squared_euclidean')
  loss = functools.partial(
    losses.semihard_triplet,
    variant='facenet',
    distance='squared_euclidean',
    reduction='mean_pairs',
  )
  function = jax.jit(lambda x, margin: loss(x, label, margin=margin))
  for margin in (0.1, 1.0):
    want = reference_mining.facenet_by_masks(squared, label, margin)
    got = function(unit.astype(np.float32), margin)
    assert want > 0.005
    np.testing.assert_allclose(got, want, rtol=1e-5)


@one_of_each
def test_an_explicit_gallery_equals_the_loop(name):
  one, other = BATCHES['random'], BATCHES['padded']
  rows, masks = loss_checks.gallery_case(one, other)
  want, weights, num_selected, _ = wanted(
    name, one['x'], masks, 0.3, False, 'mean', y=rows['x']
  )
  function = jax.value_and_grad(
    lambda x, y: LOSSES[name][0](
      x,
      relation_of(one),
      margin=0.3,
      gallery=(y, relation_of(rows)),
      stats=True,
    ),
    (0, 1),
    has_aux=True,
  )
  (got, stats), grads = jax.jit(function)(one['x'], rows['x'])
  assert want > 0 and stats.num_selected == num_selected
  np.testing.assert_allclose(got, want, rtol=2e-5)
  wants = reference.pull_back(one['x'], rows['x'], weights)
  for grad, want_grad in zip(grads, wants, strict=True):
    assert_close(grad, want_grad)


@one_of_each
def test_every_rule_of_a_relation_is_respected(name):
  batch, rules = loss_checks.ruled_case(BATCHES['duplicated'])
  masks = masks_of(batch, **rules)
  assert (masks[0] != masks_of(batch)[0]).any()
  want, _, num_selected, _ = wanted(name, batch['x'], masks, 0.3, False, 'mean')
  (got, stats), _ = value_and_grad(name)(
    batch['x'], relation_of(batch, **rules), 0.3, 'mean'
  )
  assert want > 0 and stats.num_selected == num_selected
  np.testing.assert_allclose(got, want, rtol=2e-5)


@pytest.mark.parametrize('soft', [False, True], ids=['hinge', 'soft'])
@every_loss
def test_nothing_to_choose_is_zero_with_zero_gradient(name, soft):
  random = BATCHES['random']
  for batch in (
    BATCHES['one_class'],
    BATCHES['all_distinct'],
    dict(random, valid=np.zeros(20, bool)),
  ):
    (value, stats), grad = value_and_grad(name, soft)(
      batch['x'], relation_of(batch), 0.2, 'mean'
    )
    assert value == 0 and not np.asarray(grad).any()
    assert stats.num_selected == 0 and np.isfinite(stats).all()


@pytest.mark.parametrize(
  'name, soft, distance',
  [
    ('bounded', False, 'euclidean'),
    slow('bounded', True, 'cosine'),
    ('facenet', True, 'euclidean'),
    ('hard', False, 'cosine'),
  ],
)
def test_short_long_and_equal_rows_stay_finite(name, soft, distance):
  for scale in (1e-4, 1e4):
    x = np.float32(scale) * BATCHES['random']['x']
    x[[2, 3, 4]] = 0.0
    x[10:14] = x[9]
    (value, _), grad = value_and_grad(name, soft, distance)(
      x, relation_of(BATCHES['random']), 0.2, 'mean'
    )
    assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
  'name, want', [('bounded', 0.0), ('facenet', 0.2), ('hard', 0.2)]
)
def test_a_collapsed_batch_gives_no_gradient(name, want):
  # Entries of 1/2: lengths and products are exact, so every gap is exactly 0.
  x = np.zeros((20, 6), np.float32)
  x[:, :4] = 0.5
  (value, _), grad = value_and_grad(name)(
    x, relation_of(BATCHES['random']), 0.2, 'mean'
  )
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-7)


@one_of_each
def test_the_block_size_changes_nothing(name):
  batch = BATCHES['padded']
  loss = functools.partial(LOSSES[name][0], margin=0.2, block=7)
  function = jax.jit(jax.value_and_grad(loss))
  value, grad = function(batch['x'], relation_of(batch))
  (want, _), want_grad = value_and_grad(name)(
    batch['x'], relation_of(batch), 0.2, 'mean'
  )
  np.testing.assert_allclose(value, want, rtol=1e-6)
  assert_close(grad, want_grad, 1e-6)


def test_new_margins_do_not_retrace_and_carry_no_gradient():
  traces = []

  @jax.jit
  def loss(margin, x, relation):
    traces.append(1)
    return losses.hard_triplet(x, relation, margin=margin)

  batch = BATCHES['random']
  relation = relation_of(batch)
  values = [float(loss(m, batch['x'], relation)) for m in (0.1, 0.3, 0.5)]
  assert len(traces) == 1 and values == sorted(set(values))
  assert jax.grad(loss)(0.3, batch['x'], relation) == 0


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  batch = BATCHES['padded']
  for soft in (False, True):
    value, _ = jax.eval_shape(
      lambda x, soft=soft: LOSSES[name][0](
        x, relation_of(batch), margin=0.2, soft=soft, stats=True
      ),
      batch['x'],
    )
    assert value.shape == () and value.dtype == jnp.float32


def test_wrong_options_are_refused():
  x, label = BATCHES['random']['x'], jnp.asarray(BATCHES['random']['label'])
  with pytest.raises(errors.UsageError, match="'facenet'"):
    losses.semihard_triplet(x, label, margin=0.2, variant='facnet')
  draw = functools.partial(
    losses.distance_weighted_triplet, key=jax.random.key(0)
  )
  for loss in (losses.semihard_triplet, losses.hard_triplet, draw):
    with pytest.raises(errors.UsageError, match="'mean_pairs'"):
      loss(x, label, margin=0.2, reduction='mean_pair')
    with pytest.raises(ValueError, match='margin'):
      loss(x, label, margin=-0.2)
    with pytest.raises(errors.UsageError, match="'cosine'"):
      loss(x, label, margin=0.2, distance='cosin')
  with pytest.raises(errors.UsageError, match='manhattan'):
    draw(x, label, margin=0.2, distance='manhattan')
