"""Dropout whose masks belong to rows."""

from flax import errors as flax_errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax.models import dropout


def run(x, key, position=None, rate=0.5, whole=()):
  layer = dropout.Dropout(rate, whole)
  variables = {} if position is None else dropout.rows(position)
  return layer.apply(variables, x, True, rngs={'dropout': key})


def test_values_are_kept_and_scaled_or_zero():
  x = jnp.full((400, 50), 3.0)
  y = np.asarray(run(x, jax.random.key(0), rate=0.25))
  kept = y != 0
  np.testing.assert_allclose(y[kept], 4.0)
  # 20,000 draws: a standard deviation of 0.003.
  assert abs(kept.mean() - 0.75) < 0.015
  # Rows differ.
  assert len(np.unique(kept, axis=0)) == 400


def test_mask_of_a_row_belongs_to_its_position():
  x = jnp.ones((8, 30))
  key = jax.random.key(3)
  whole = run(x, key)
  half = run(x[4:], key, jnp.arange(4, 8))
  np.testing.assert_array_equal(half, whole[4:])
  assert np.any(np.asarray(run(x[4:], key)) != np.asarray(half))


def test_axes_are_dropped_together():
  y = np.asarray(run(jnp.ones((5, 3, 4, 40)), jax.random.key(1), whole=(1, 2)))
  assert set(np.unique(y.mean((1, 2)))) == {0.0, 2.0}


def test_nothing_is_dropped_in_use_or_at_rate_zero():
  x = jnp.ones((2, 3))
  assert dropout.Dropout(0.5).apply({}, x, False) is x
  assert dropout.Dropout(0.0).apply({}, x, True) is x
  with pytest.raises(flax_errors.InvalidRngError):
    dropout.Dropout(0.5).apply({}, x, True)
