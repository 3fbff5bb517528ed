"""Triplet losses with one triplet for each anchor, against loops."""

import functools

import jax
import jax.numpy as jnp
import loss_checks
from loss_checks import assert_close, masks_of, relation_of
import numpy as np
import pytest
import reference
import reference_mining

from mammojax import distances, errors, losses

BATCHES = reference.batches()
LOSSES = {
  'batch_hard': losses.batch_hard_triplet,
  'batch_easy_positive_hard_negative': (
    losses.batch_easy_positive_hard_negative_triplet
  ),
  'batch_easy_positive_semihard': losses.batch_easy_positive_semihard_triplet,
}
every_loss = pytest.mark.parametrize('name', LOSSES)
hinge_and_soft = pytest.mark.parametrize(
  'soft', [False, True], ids=['hinge', 'soft']
)


@functools.cache
def value_and_grad(name, soft=False, distance='cosine'):
  def function(x, relation, margin, reduction):
    return LOSSES[name](
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
  """(value, weights, number selected, number with a hinge above 0)."""
  dist = reference.distances(x, x if y is None else y, distance)
  chosen = reference_mining.triplets(name, dist, *masks, margin)
  return reference_mining.triplet_loss(dist, chosen, margin, soft, reduction)


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


@hinge_and_soft
@every_loss
def test_values_and_gradients_equal_the_loop(name, soft):
  for batch in BATCHES.values():
    stats = check(name, batch, 0.2, soft, 'mean')
    loss_checks.assert_triplet_stats(stats, batch)
  check(name, BATCHES['unbalanced'], 0.0, soft, 'mean')


@pytest.mark.parametrize(
  'name, soft, reduction',
  [
    ('batch_hard', False, 'mean_active'),
    ('batch_hard', True, 'mean_active'),
    ('batch_hard', True, 'sum'),
    ('batch_easy_positive_hard_negative', False, 'mean_active'),
    ('batch_easy_positive_semihard', False, 'sum'),
  ],
)
def test_every_reduction_equals_the_loop(name, soft, reduction):
  for key in ('unbalanced', 'duplicated', 'padded', 'one_class'):
    check(name, BATCHES[key], 0.1, soft, reduction)


@pytest.mark.parametrize(
  'name, distance',
  [
    ('batch_hard', 'euclidean'),
    ('batch_hard', 'snr'),
    ('batch_easy_positive_hard_negative', 'manhattan'),
    ('batch_easy_positive_semihard', 'squared_euclidean'),
  ],
)
def test_every_distance_equals_the_loop(name, distance):
  for key in ('random', 'padded'):
    check(name, BATCHES[key], 0.7, False, 'mean', distance)


@pytest.mark.parametrize(
  'name, soft, distance',
  [
    ('batch_hard', False, 'cosine'),
    ('batch_hard', True, 'euclidean'),
    ('batch_easy_positive_hard_negative', True, 'cosine'),
    ('batch_easy_positive_semihard', False, 'squared_euclidean'),
  ],
)
def test_second_derivatives_equal_differences_of_the_gradient(
  name, soft, distance, rng
):
  batch = BATCHES['unbalanced']
  x, masks = np.asarray(batch['x'], np.float64), masks_of(batch)
  direction = rng.normal(size=x.shape)

  def gradient_at(x):
    weights = wanted(name, x, masks, 0.3, soft, 'mean', distance)[1]
    return reference.gradient(x, weights, distance)

  step = 1e-6 * direction
  want = (gradient_at(x + step) - gradient_at(x - step)) / 2e-6
  gradient_fn = jax.grad(
    lambda x: LOSSES[name](
      x, relation_of(batch), margin=0.3, soft=soft, distance=distance
    )
  )
  _, got = jax.jit(lambda x, v: jax.jvp(gradient_fn, (x,), (v,)))(
    batch['x'], direction.astype(np.float32)
  )
  assert np.abs(want).max() > 1e-3
  assert_close(got, want, 1e-4)


@every_loss
def test_an_explicit_gallery_equals_the_loop(name):
  one, other = BATCHES['random'], BATCHES['padded']
  rows, masks = loss_checks.gallery_case(one, other)
  want, weights, num_selected, _ = wanted(
    name, one['x'], masks, 0.3, False, 'mean', y=rows['x']
  )
  function = jax.value_and_grad(
    lambda x, y: LOSSES[name](
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


@every_loss
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


@hinge_and_soft
@every_loss
def test_nothing_to_choose_is_zero_with_zero_gradient(name, soft):
  for batch in (
    BATCHES['one_class'],
    BATCHES['all_distinct'],
    dict(BATCHES['random'], valid=np.zeros(20, bool)),
  ):
    (value, stats), grad = value_and_grad(name, soft)(
      batch['x'], relation_of(batch), 0.2, 'mean'
    )
    assert value == 0 and not np.asarray(grad).any()
    assert stats.num_selected == 0 and np.isfinite(stats).all()


@pytest.mark.parametrize(
  'name, soft, distance',
  [
    ('batch_hard', True, 'cosine'),
    ('batch_hard', False, 'euclidean'),
    ('batch_easy_positive_hard_negative', False, 'cosine'),
    ('batch_easy_positive_semihard', False, 'squared_euclidean'),
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
  'name, want', list(zip(LOSSES, [0.2, 0.2, 0.0], strict=True))
)
def test_a_collapsed_batch_gives_no_gradient(name, want):
  x = np.zeros((20, 6), np.float32)
  x[:, :4] = 0.5
  (value, _), grad = value_and_grad(name)(
    x, relation_of(BATCHES['random']), 0.2, 'mean'
  )
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-7)


def test_the_value_is_exact_for_pairs_that_the_gram_form_loses():
  # Two pairs of near twins far from zero: pairwise distances read 0.
  x = np.full((4, 3), 3.0, np.float32)
  x[1, 0] += 2e-6
  x[2:] += 1.0
  x[3, 1] += 3e-6
  label = jnp.asarray([0, 0, 1, 1], jnp.int32)
  assert distances.pairwise(x, x, 'euclidean')[0, 1] == 0
  want, _, _, _ = wanted(
    'batch_hard', x, reference.masks(label), 1.8, False, 'sum', 'euclidean'
  )
  function = jax.value_and_grad(
    lambda x: losses.batch_hard_triplet(
      x, label, margin=1.8, distance='euclidean', reduction='sum'
    )
  )
  got, grad = jax.jit(function)(x)
  between = 4 * (1.8 - np.sqrt(3.0))
  assert want - between > 4e-6
  np.testing.assert_allclose(got, want, rtol=0, atol=2e-6)
  assert grad[1, 0] > 1.0 and np.isfinite(grad).all()


@every_loss
def test_the_block_size_changes_nothing(name):
  batch = BATCHES['padded']
  loss = functools.partial(LOSSES[name], margin=0.2, block=7)
  function = jax.jit(jax.value_and_grad(loss))
  value, grad = function(batch['x'], relation_of(batch))
  (want, _), want_grad = value_and_grad(name)(
    batch['x'], relation_of(batch), 0.2, 'mean'
  )
  np.testing.assert_allclose(value, want, rtol=1e-6)
  assert_close(grad, want_grad, 1e-6)


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  batch = BATCHES['padded']
  for soft in (False, True):
    value, _ = jax.eval_shape(
      lambda x, soft=soft: LOSSES[name](
        x, relation_of(batch), margin=0.2, soft=soft, stats=True
      ),
      batch['x'],
    )
    assert value.shape == () and value.dtype == jnp.float32


@every_loss
def test_wrong_options_are_refused(name):
  x, label = BATCHES['random']['x'], jnp.asarray(BATCHES['random']['label'])
  with pytest.raises(errors.UsageError, match='Known: mean, mean_active, sum'):
    LOSSES[name](x, label, margin=0.2, reduction='mean_pairs')
  with pytest.raises(ValueError, match='margin'):
    LOSSES[name](x, label, margin=-0.2)
  with pytest.raises(errors.UsageError, match="'euclidean'"):
    LOSSES[name](x, label, margin=0.2, distance='euclidian')
