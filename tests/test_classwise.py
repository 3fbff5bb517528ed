"""ArcFace, SoftTriple and Proxy-Anchor against loops, with their weights."""

import functools

from classwise_cases import (
  BATCHES,
  CENTERS,
  DIM,
  LOSSES,
  NUMBERS,
  ROWS,
  function_of,
  jitted,
  weights_of,
)
import jax
import jax.numpy as jnp
from loss_checks import relation_of
import numpy as np
import pytest
import reference
import reference_classwise

from mammojax.losses import classwise

every_loss = pytest.mark.parametrize('name', LOSSES)


def assert_close(got, want, tolerance=3e-5):
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def _want(name, batch, weights, numbers, reduction='mean'):
  """Value and both gradients, from the loop alone."""
  numbers = numbers if name != 'soft_triplet' else (CENTERS, *numbers)

  def value(x, weights):
    return getattr(reference_classwise, name)(
      x, batch['label'], batch['valid'], weights, *numbers, reduction
    )

  x = batch['x']
  return value(x, weights), (
    reference.central_differences(lambda x: value(x, weights), x),
    reference.central_differences(lambda w: value(x, w), weights),
  )


def _check(function, name, key, numbers, reduction='mean'):
  batch, weights = BATCHES[key], weights_of(name)
  (value, _), grads = function(batch['x'], weights, relation_of(batch), numbers)
  want, want_grads = _want(name, batch, weights, numbers, reduction)
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  for grad, want_grad in zip(grads, want_grads, strict=True):
    assert np.abs(grad).max() > 0
    assert_close(grad, want_grad)


@pytest.mark.parametrize('key', BATCHES)
@every_loss
def test_values_and_both_gradients_equal_the_loop(name, key):
  _check(jitted(name), name, key, NUMBERS[name][0])


@pytest.mark.parametrize('key', ['random', 'padded'])
@every_loss
def test_other_numbers_are_traced(name, key):
  _check(jitted(name), name, key, NUMBERS[name][1])


@pytest.mark.parametrize(
  'name',
  [
    'proxy_anchor',
    pytest.param('soft_triplet', marks=pytest.mark.slow),
    pytest.param('arcface', marks=pytest.mark.slow),
  ],
)
def test_eager_sums_in_small_blocks_equal_the_loop(name):
  function = function_of(name, 'sum', block=3)
  _check(function, name, 'padded', NUMBERS[name][0], 'sum')


@every_loss
def test_statistics_equal_the_loop(name):
  weights, numbers = weights_of(name), NUMBERS[name][0]
  for batch in BATCHES.values():
    (_, stats), _ = jitted(name)(
      batch['x'], weights, relation_of(batch), numbers
    )
    sims = reference_classwise.cosines(batch['x'], weights)
    if name == 'soft_triplet':
      sims = reference_classwise.class_similarity(
        batch['x'], weights, CENTERS, numbers[0]
      )
    want = reference_classwise.class_stats(sims, batch['label'], batch['valid'])
    np.testing.assert_allclose(stats, want, rtol=1e-5, atol=1e-6)


def test_arcface_by_hand():
  # 60 degrees to the own class and 0.2 radians more, 90 to the other.
  x = jnp.array([[0.5, 3**0.5 / 2, 0.0]])
  weights = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
  got = classwise.arcface(
    x, jnp.array([0], jnp.int32), weights, scale=3.0, margin=0.2
  )
  own = np.exp(3.0 * np.cos(np.pi / 3 + 0.2))
  np.testing.assert_allclose(got, -np.log(own / (own + 1.0)), rtol=1e-6)


def test_arcface_at_angles_of_zero_and_pi_has_finite_gradients():
  batch = dict(BATCHES['all_distinct'])
  weights = weights_of('arcface')
  sign = np.where(np.arange(ROWS) % 2, 1.0, -1.0)[:, None]
  for nudge in (0.0, 1e-7, 1e-5, 1e-3):
    batch['x'] = (
      sign * weights[batch['label']] + nudge * BATCHES['random']['x']
    ).astype(np.float32)
    for numbers in ((64.0, 0.5), (8.0, 0.0), (8.0, 3.0)):
      (value, _), grads = jitted('arcface')(
        batch['x'], weights, relation_of(batch), numbers
      )
      want = reference_classwise.arcface(
        batch['x'], batch['label'], batch['valid'], weights, *numbers
      )
      np.testing.assert_allclose(value, want, rtol=2e-3)
      assert all(np.isfinite(grad).all() for grad in grads)
      assert max(np.abs(grad).max() for grad in grads) < 4 * numbers[0]


def test_arcface_falls_with_the_cosine_beyond_pi_minus_the_margin():
  # Slowly from the own class to its opposite: the loss never falls.
  angle = np.linspace(0.01, np.pi - 0.01, ROWS)
  x = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
  weights = np.eye(DIM)[[0] + [2] * 7].astype(np.float32)
  got = [
    jitted('arcface')(
      np.tile(row, (ROWS, 1)).astype(np.float32),
      weights,
      relation_of(BATCHES['one_class'] | {'label': np.zeros(ROWS, np.int32)}),
      (8.0, 0.5),
    )[0][0]
    for row in x
  ]
  assert (np.diff(got) > 0).all()


@every_loss
def test_length_and_extremes_change_nothing(name):
  batch, weights = BATCHES['random'], weights_of(name)
  run = functools.partial(jitted(name), relation=relation_of(batch))
  (want, _), want_grads = run(batch['x'], weights, numbers=NUMBERS[name][0])
  for scale in (1e-4, 1e4):
    (value, _), grads = run(
      batch['x'] * np.float32(scale),
      weights / np.float32(scale),
      numbers=NUMBERS[name][0],
    )
    np.testing.assert_allclose(value, want, rtol=1e-4)
    assert_close(grads[0] * scale, want_grads[0], 1e-3)
    assert_close(grads[1] / scale, want_grads[1], 1e-3)
  steep = {
    'arcface': (1e6, 0.5),
    'soft_triplet': (1e-6, 1e6, 0.0, 0.2),
    'proxy_anchor': (1e6, 0.1),
  }
  x = batch['x'].copy()
  x[:3] = 0.0
  (value, _), grads = run(x, weights, numbers=steep[name])
  assert np.isfinite(value)
  assert all(np.isfinite(grad).all() for grad in grads)


@every_loss
def test_padding_is_never_read_and_permutation_changes_nothing(name):
  batch, weights = BATCHES['padded'], weights_of(name)
  numbers = NUMBERS[name][0]
  (want, _), (grad, _) = jitted(name)(
    batch['x'], weights, relation_of(batch), numbers
  )
  other = dict(batch, x=batch['x'].copy(), label=batch['label'].copy())
  other['x'][~batch['valid']] *= 1e3
  other['label'][~batch['valid']] = batch['label'][1]
  (value, _), (again, _) = jitted(name)(
    other['x'], weights, relation_of(other), numbers
  )
  assert value == want
  np.testing.assert_array_equal(again, grad)
  assert not np.asarray(grad)[~batch['valid']].any()
  order = np.random.default_rng(2).permutation(ROWS)
  moved = {key: value[order] for key, value in batch.items()}
  (value, _), (again, _) = jitted(name)(
    moved['x'], weights, relation_of(moved), numbers
  )
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert_close(again, np.asarray(grad)[order])


@every_loss
def test_a_batch_of_padding_pulls_nothing(name):
  batch = BATCHES['random'] | {'valid': np.zeros(ROWS, bool)}
  weights = weights_of(name)
  numbers = list(NUMBERS[name][0])
  if name == 'soft_triplet':
    numbers[3] = 0.0
  (value, stats), grads = jitted(name)(
    batch['x'], weights, relation_of(batch), tuple(numbers)
  )
  assert value == 0 and not any(np.asarray(grad).any() for grad in grads)
  assert tuple(stats) == (0, 0, 0)


def test_equal_centers_have_no_spread_and_finite_gradients():
  batch, weights = BATCHES['random'], weights_of('soft_triplet')
  weights = np.repeat(weights[::CENTERS], CENTERS, axis=0)
  (_, stats), grads = jitted('soft_triplet')(
    batch['x'], weights, relation_of(batch), (0.1, 20.0, 0.01, 1.0)
  )
  assert stats.num_selected == ROWS
  assert all(np.isfinite(grad).all() for grad in grads)


def test_one_center_a_class_is_a_softmax_without_regulariser():
  batch, weights = BATCHES['random'], weights_of('arcface')
  got = classwise.soft_triplet(
    batch['x'], batch['label'], weights, centers_per_class=1, tau=5.0,
    margin=0.0,
  )  # fmt: skip
  want = reference_classwise.arcface(
    batch['x'], batch['label'], batch['valid'], weights, 20.0, 0.0
  )
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_initial_weights_are_distinct_directions():
  weights = classwise.init_class_weights(jax.random.key(3), 5, 7, 2)
  assert weights.shape == (10, 7) and weights.dtype == jnp.float32
  np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-6)
  cos = np.asarray(weights @ weights.T) - np.eye(10)
  assert cos.max() < 0.99
  for sizes in ((0, 7, 1), (5, 0, 1), (5, 7, 0)):
    with pytest.raises(ValueError, match='at least 1'):
      classwise.init_class_weights(jax.random.key(3), *sizes)
