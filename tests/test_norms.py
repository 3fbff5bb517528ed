"""Our batch norm beside that of flax, value, gradients and statistics."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax.models import norms


@pytest.mark.parametrize('shift', [0.0, 30.0], ids=['centred', 'far from 0'])
@pytest.mark.parametrize('use_scale', [True, False])
def test_training_equals_flax(rng, shift, use_scale):
  x = jnp.asarray(rng.normal(shift, 2.0, (6, 5, 4, 3)), jnp.float32)
  slope = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
  ours = norms.BatchNorm(train=True, use_scale=use_scale)
  theirs = nn.BatchNorm(False, momentum=0.9, use_scale=use_scale)
  variables = ours.init(jax.random.key(0), x)
  expected = theirs.init(jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, variables) == jax.tree.map(jnp.shape, expected)
  variables['params'] = jax.tree.map(
    lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32),
    variables['params'],
  )

  def run(model):
    def total(params, x):
      y, new = model.apply(
        {**variables, 'params': params}, x, mutable=['batch_stats']
      )
      return jnp.sum(y * slope), (y, new)

    return jax.grad(total, (0, 1), has_aux=True)(variables['params'], x)

  for got, want in zip(
    jax.tree.leaves(run(ours)), jax.tree.leaves(run(theirs)), strict=True
  ):
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3)


def test_use_takes_the_running_statistics(rng):
  x = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
  variables = {
    'params': {'scale': jnp.full(3, 2.0), 'bias': jnp.full(3, 0.5)},
    'batch_stats': {'mean': jnp.full(3, 1.0), 'var': jnp.full(3, 4.0)},
  }
  got = norms.BatchNorm(train=False).apply(variables, x)
  want = 2.0 * (np.asarray(x, np.float64) - 1.0) / np.sqrt(4.0 + 1e-5) + 0.5
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_constant_map_gives_its_bias():
  x = jnp.full((4, 2, 2, 3), 1000.0)
  model = norms.BatchNorm(train=True)
  variables = model.init(jax.random.key(0), x)
  y, _ = model.apply(variables, x, mutable=['batch_stats'])
  np.testing.assert_allclose(y, 0.0, atol=1e-6)
