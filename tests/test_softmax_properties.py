"""Properties that the softmax losses and the pair-weighting losses share."""

import functools

import jax
from loss_checks import relation_of
import numpy as np
import pytest
from weighting_cases import BATCHES, EVERY, run

from mammojax.losses import weighting

every_loss = pytest.mark.parametrize('name', EVERY)


@every_loss
def test_permuting_relabelling_and_padding_change_nothing(name):
  batch, order = BATCHES['padded'], np.random.default_rng(5).permutation(10)
  (value, _), grad = run(name, batch)
  scale = np.abs(grad).max()
  assert value > 0 and scale > 0
  moved = {field: batch[field][order] for field in batch}
  (again, _), moved_grad = run(name, moved)
  np.testing.assert_allclose(again, value, rtol=1e-5)
  np.testing.assert_allclose(
    moved_grad, np.asarray(grad)[order], rtol=0, atol=1e-5 * scale
  )
  # Neighbours near 1e8 are one number in float32.
  other = {field: batch[field].copy() for field in batch}
  other['label'] = (100000003 - batch['label']).astype(np.int32)
  empty = ~batch['valid']
  other['x'][empty] = 1e3 * other['x'][empty] ** 2
  other['label'][empty] = other['label'][0]
  other['item'][empty] = other['item'][2]
  (again, _), new_grad = run(name, other)
  assert again == value
  np.testing.assert_array_equal(new_grad, grad)
  assert not np.asarray(grad)[empty].any()


@every_loss
def test_an_empty_selection_is_zero_with_zero_gradient(name):
  nothing = dict(BATCHES['random'], valid=np.zeros(10, bool))
  batches = [nothing, BATCHES['one_class'], BATCHES['all_distinct']]
  if name == 'unmined':
    # Without mining a lone positive is pulled and a lone negative pushed.
    batches = [nothing]
    for key in ('one_class', 'all_distinct'):
      (value, _), grad = run(name, BATCHES[key])
      assert value > 0 and np.abs(grad).max() > 0
  for batch in batches:
    (value, _), grad = run(name, batch)
    assert value == 0 and not np.asarray(grad).any()


@every_loss
def test_extremes_of_float32_stay_finite(name):
  batch = BATCHES['duplicated']
  x, ones = batch['x'], np.ones_like(batch['x'])
  zeros = x.copy()
  zeros[[0, 3, 6]] = 0.0
  for rows in (1e-4 * x, 1e4 * x, ones, 0 * ones, zeros):
    (value, _), grad = run(name, dict(batch, x=rows))
    assert np.isfinite(value) and value >= 0 and np.isfinite(grad).all()


def test_the_circle_stays_finite_on_long_embeddings():
  relation = relation_of(BATCHES['duplicated'])
  function = jax.jit(
    jax.value_and_grad(
      functools.partial(weighting.circle, distance='euclidean')
    )
  )
  for scale in (1e-4, 1e4):
    value, grad = function(scale * BATCHES['duplicated']['x'], relation)
    assert np.isfinite(value) and np.isfinite(grad).all()
