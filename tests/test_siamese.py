"""Siamese cross-entropy and regularisers on norms against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
import reference
import reference_classwise

from mammojax import errors, relations
from mammojax.losses import norms, siamese

NORMS = {
  'squared_norm': (norms.squared_norm, ()),
  'norm_deviation': (norms.norm_deviation, (1.5,)),
  'norm_spread': (norms.norm_spread, ()),
}
every_norm = pytest.mark.parametrize('name', NORMS)


def _pairs(rng, count=12):
  """Logits, answers, and which pairs count."""
  logits = 3 * rng.normal(size=count)
  return (
    logits.astype(np.float32),
    rng.random(count) < 0.4,
    np.arange(count) % 5 != 2,
  )


@functools.cache
def _siamese(reduction):
  def function(logits, is_same, where):
    return siamese.siamese_cross_entropy(
      logits, is_same, where=where, reduction=reduction, stats=True
    )

  return jax.jit(jax.value_and_grad(function, has_aux=True))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_siamese_equals_the_loop(rng, reduction, strict_promotion):
  logits, is_same, where = _pairs(rng)
  (value, stats), grad = _siamese(reduction)(logits, is_same, where)

  def want(z):
    return reference_classwise.siamese(z, is_same, where, reduction)

  np.testing.assert_allclose(value, want(logits), rtol=1e-5)
  slope = reference.central_differences(want, logits)
  np.testing.assert_allclose(grad, slope, rtol=1e-5, atol=1e-7)
  right = [(z > 0) == s for z, s in zip(logits, is_same, strict=True)]
  assert [float(number) for number in stats] == [
    where.sum(),
    (where & is_same).sum(),
    (where & np.array(right)).sum(),
  ]


def test_siamese_takes_a_column_and_half_precision_eagerly(rng):
  logits, is_same, _ = _pairs(rng)
  want = siamese.siamese_cross_entropy(logits, is_same)
  got = siamese.siamese_cross_entropy(logits[:, None], is_same)
  assert want == got
  everything = np.ones(len(logits), bool)
  np.testing.assert_allclose(
    want, reference_classwise.siamese(logits, is_same, everything), rtol=1e-5
  )
  half = jnp.asarray(logits, jnp.bfloat16)
  got = siamese.siamese_cross_entropy(half, is_same)
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, want, rtol=1e-2)


def test_siamese_keeps_digits_at_both_ends():
  z = np.array([80.0, -80.0, 1e4, -1e4, 30.0, 0.0], np.float32)
  same = np.array([True, False, False, True, True, True])
  for index, want in enumerate(
    [np.exp(-80.0), np.exp(-80.0), 1e4, 1e4, np.exp(-30.0), np.log(2.0)]
  ):
    (value, _), grad = _siamese('sum')(z, same, np.arange(6) == index)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert np.isfinite(grad).all()


def test_siamese_never_reads_pairs_that_do_not_count(rng):
  logits, is_same, where = _pairs(rng)
  (want, _), want_grad = _siamese('mean')(logits, is_same, where)
  logits[~where] = np.nan
  (value, _), grad = _siamese('mean')(logits, is_same, where)
  assert value == want
  np.testing.assert_array_equal(grad, want_grad)
  (value, stats), grad = _siamese('mean')(logits, is_same, np.zeros_like(where))
  assert value == 0 and not np.asarray(grad).any() and not any(stats)


def test_siamese_refuses_what_does_not_fit(rng):
  logits, is_same, where = _pairs(rng)
  loss = siamese.siamese_cross_entropy
  for bad in (logits[None, :], np.stack([logits, logits], 1), logits[0]):
    with pytest.raises(ValueError, match='logits'):
      loss(bad, is_same)
  with pytest.raises(TypeError, match='floating'):
    loss(logits.astype(np.int32), is_same)
  with pytest.raises(TypeError, match='is_same must be bool'):
    loss(logits, is_same.astype(np.int32))
  with pytest.raises(ValueError, match='is_same'):
    loss(logits, is_same[:5])
  with pytest.raises(ValueError, match='where'):
    loss(logits, is_same, where=where[:5])
  with pytest.raises(errors.UsageError, match="'mean'"):
    loss(logits, is_same, reduction='meen')


def _rows(rng):
  x = (2 * rng.normal(size=(9, 4))).astype(np.float32)
  return x, np.arange(9) % 4 != 1


def _relation(valid):
  label = jnp.arange(valid.shape[0], dtype=jnp.int32)
  return relations.Relation(label, valid=jnp.asarray(valid))


@functools.cache
def _norm(name, reduction):
  def function(x, valid, numbers):
    keywords = {'target': numbers[0]} if numbers else {}
    return NORMS[name][0](x, _relation(valid), reduction=reduction, **keywords)

  return jax.jit(jax.value_and_grad(function))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
@every_norm
def test_norms_equal_the_loop(rng, name, reduction, strict_promotion):
  x, valid = _rows(rng)
  _, numbers = NORMS[name]
  value, grad = _norm(name, reduction)(x, valid, numbers)

  def want(x):
    return getattr(reference_classwise, name)(x, valid, *numbers, reduction)

  np.testing.assert_allclose(value, want(x), rtol=1e-5)
  slope = reference.central_differences(want, x)
  np.testing.assert_allclose(grad, slope, rtol=1e-4, atol=1e-5)


@every_norm
def test_norms_without_labels_count_all_rows(rng, name):
  x, _ = _rows(rng)
  loss, numbers = NORMS[name]
  got = loss(x) if not numbers else loss(x, target=numbers[0])
  want = getattr(reference_classwise, name)(x, np.ones(9, bool), *numbers)
  np.testing.assert_allclose(got, want, rtol=1e-5)


@every_norm
def test_norms_of_zeros_padding_and_extremes_are_finite(rng, name):
  x, valid = _rows(rng)
  _, numbers = NORMS[name]
  run = _norm(name, 'mean')
  want, want_grad = run(x, valid, numbers)
  x[~valid] = 1e30
  value, grad = run(x, valid, numbers)
  assert value == want
  np.testing.assert_array_equal(grad, want_grad)
  for scale in (0.0, 1e-4, 1e4):
    value, grad = run(x * np.float32(scale), valid, numbers)
    assert np.isfinite(value) and np.isfinite(grad).all()
  value, grad = run(x, np.zeros(9, bool), numbers)
  assert value == 0 and not np.asarray(grad).any()


def test_norms_refuse_what_does_not_fit(rng):
  x, _ = _rows(rng)
  for loss, _ in NORMS.values():
    with pytest.raises(ValueError, match='Embeddings'):
      loss(x[0])
    with pytest.raises(ValueError, match=r'\(9,\)'):
      loss(x, jnp.zeros(3, jnp.int32))
    with pytest.raises(errors.UsageError, match="'sum'"):
      loss(x, reduction='sun')
  with pytest.raises(ValueError, match='target'):
    norms.norm_deviation(x, target=-1.0)


# Eight devices with unequal counts: each has rows and pairs of its own.
def _everything(axis_name):
  def function(w, x, valid, is_same):
    rows = x @ w
    relation = _relation(valid)
    logits = rows[:, 0]
    pair_loss = siamese.siamese_cross_entropy(
      logits, is_same, where=valid, axis_name=axis_name
    )
    return jnp.stack(
      [pair_loss]
      + [NORMS[name][0](rows, relation, axis_name=axis_name) for name in NORMS]
    )

  def step(w, *rows):
    value = function(w, *rows)
    grad = jax.jacrev(function)(w, *rows)
    if axis_name is not None:
      grad = jax.lax.pmean(grad, axis_name)
    return value, grad

  return step


@pytest.mark.parametrize(
  'transform', ['shard_map', pytest.param('pmap', marks=pytest.mark.slow)]
)
def test_eight_devices_equal_one(rng, transform):
  w = rng.normal(size=(5, 3)).astype(np.float32)
  rows = (
    rng.normal(size=(24, 5)).astype(np.float32),
    (np.arange(24) < 14) | (np.arange(24) == 23),
    rng.random(24) < 0.5,
  )
  want, want_grad = jax.jit(_everything(None))(w, *rows)
  step = _everything(on_devices.AXIS)
  value, grad = on_devices.run(step, transform, (w,), rows)
  assert (want > 0.1).all()
  np.testing.assert_allclose(value, want, rtol=2e-6)
  np.testing.assert_allclose(grad, want_grad, rtol=2e-5, atol=2e-6)
