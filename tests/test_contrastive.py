"""Contrastive loss against a double loop."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import losses, relations

BATCHES = reference.batches()


def _relation(batch):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def _masks(batch):
  return reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )


def _function(squared, reduction='mean', distance='euclidean'):
  def function(x, relation, positive_margin, margin):
    return losses.contrastive(
      x,
      relation,
      positive_margin=positive_margin,
      margin=margin,
      squared=squared,
      distance=distance,
      reduction=reduction,
      stats=True,
    )

  return jax.value_and_grad(function, has_aux=True)


@functools.cache
def _jitted(*options):
  return jax.jit(_function(*options))


def _check(function, batch, margins, squared, reduction, kind='euclidean'):
  (value, _), grad = function(batch['x'], _relation(batch), *margins)
  dist = reference.distances(batch['x'], batch['x'], kind)
  want, weights = reference.contrastive(
    dist, *_masks(batch), *margins, squared=squared, reduction=reduction
  )
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  want_grad = reference.gradient(batch['x'], weights, kind)
  scale = max(np.abs(want_grad).max(), 1e-3)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=5e-5 * scale)


@pytest.mark.parametrize('reduction', ['mean', 'mean_active', 'sum'])
@pytest.mark.parametrize('squared', [False, True], ids=['plain', 'squared'])
def test_contrastive_equals_the_double_loop(squared, reduction):
  for batch in BATCHES.values():
    for margins in ((0.0, 2.5), (1.5, 3.5), (0.5, 0.5)):
      _check(_jitted(squared, reduction), batch, margins, squared, reduction)


@pytest.mark.parametrize('squared', [False, True], ids=['plain', 'squared'])
def test_eager_equals_the_double_loop(squared, strict_promotion):
  margins = (jnp.float32(0.5), jnp.float32(2.5))
  batch = BATCHES['padded']
  function = _function(squared)
  (value, _), _ = function(batch['x'], _relation(batch), *margins)
  dist = reference.distances(batch['x'], batch['x'], 'euclidean')
  want, _ = reference.contrastive(dist, *_masks(batch), 0.5, 2.5, squared)
  np.testing.assert_allclose(value, want, rtol=2e-5)


@pytest.mark.parametrize('kind', ['cosine', 'manhattan', 'snr'])
def test_other_distances_equal_the_double_loop(kind):
  function = _jitted(True, 'mean', kind)
  _check(function, BATCHES['random'], (0.2, 1.1), True, 'mean', kind)


@pytest.mark.parametrize(
  'squared, want',
  [
    # Two ordered positive pairs at 5, two negatives at 1 and two beyond.
    (False, (2 * 5.0 + 2 * (3.0 - 1.0)) / 6),
    (True, (2 * 25.0 + 2 * (3.0 - 1.0) ** 2) / 6),
  ],
)
def test_three_points_by_hand(squared, want):
  x = jnp.asarray([[0, 0], [3, 4], [0, -1]], jnp.float32)
  label = jnp.asarray([0, 0, 1], jnp.int32)
  got = losses.contrastive(x, label, margin=3.0, squared=squared)
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_defaults_are_plain_euclidean_with_margins_zero_and_one():
  batch = BATCHES['random']
  x = 0.3 * batch['x']
  dist = reference.distances(x, x, 'euclidean')
  want, _ = reference.contrastive(dist, *_masks(batch), 0.0, 1.0)
  got = losses.contrastive(x, _relation(batch))
  np.testing.assert_allclose(got, want, rtol=2e-5)


def test_statistics_equal_the_double_loop():
  for batch in BATCHES.values():
    (_, stats), _ = _jitted(False, 'mean')(
      batch['x'], _relation(batch), 0.5, 2.5
    )
    positive, negative = _masks(batch)
    dist = reference.distances(batch['x'], batch['x'], 'euclidean')
    assert stats.num_positive_pairs == positive.sum()
    assert stats.num_negative_pairs == negative.sum()
    active = (positive & (dist > 0.5)) | (negative & (dist < 2.5))
    assert stats.num_active == active.sum()
    if positive.any() and negative.any():
      gap = dist[negative].mean() - dist[positive].mean()
      np.testing.assert_allclose(stats.mean_gap, gap, rtol=1e-4)


def test_one_class_still_pulls_and_all_distinct_still_pushes():
  for key in ('one_class', 'all_distinct'):
    batch = BATCHES[key]
    (value, _), grad = _jitted(False, 'mean')(
      batch['x'], _relation(batch), 0.0, 2.5
    )
    assert value > 0 and np.abs(grad).max() > 0


@pytest.mark.parametrize('squared', [False, True], ids=['plain', 'squared'])
def test_a_collapsed_batch_pays_the_margin_once_a_negative(squared):
  batch = BATCHES['random']
  x = np.ones_like(batch['x'])
  (value, _), grad = _jitted(squared, 'mean')(x, _relation(batch), 0.0, 1.5)
  positive, negative = _masks(batch)
  share = negative.sum() / (negative.sum() + positive.sum())
  want = share * (1.5**2 if squared else 1.5)
  np.testing.assert_allclose(value, want, rtol=1e-5)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-6)


def test_both_margins_are_checked():
  batch = BATCHES['random']
  for margins in ({'margin': -1.0}, {'positive_margin': -0.5}):
    with pytest.raises(ValueError, match=next(iter(margins))):
      losses.contrastive(batch['x'], batch['label'], **margins)


def test_new_margins_do_not_retrace():
  traces = []

  @jax.jit
  def loss(low, high, x, relation):
    traces.append(1)
    return losses.contrastive(x, relation, positive_margin=low, margin=high)

  batch = BATCHES['random']
  relation = _relation(batch)
  values = {
    float(loss(low, high, batch['x'], relation))
    for low, high in ((0.0, 1.0), (0.5, 2.0), (1.0, 3.0))
  }
  assert len(traces) == 1 and len(values) == 3
