"""The head, and the embedder that holds it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors, numerics
from mammojax.models import embedder, heads


@pytest.mark.usefixtures('strict_promotion')
@pytest.mark.parametrize('scale', [1.0, 1e-8, 1e25])
def test_normalize_equals_float64(rng, scale):
  x = (scale * rng.normal(size=(5, 7))).astype(np.float32)
  wide = x.astype(np.float64)
  want = wide / np.sqrt((wide**2).sum(1, keepdims=True))
  got = numerics.normalize(jnp.asarray(x))
  np.testing.assert_allclose(got, want, rtol=2e-6)


def test_normalize_gradient_is_the_projection(rng):
  x = rng.normal(size=6)
  v = rng.normal(size=6)
  got = jax.grad(lambda x: numerics.normalize(x) @ jnp.float32(v))(
    jnp.float32(x)
  )
  length = np.linalg.norm(x)
  unit = x / length
  want = (v - unit * (unit @ v)) / length
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_normalize_is_zero_with_zero_gradient_at_zero():
  x = jnp.zeros((2, 3)).at[1, 0].set(2.0)
  np.testing.assert_array_equal(numerics.normalize(x), [[0, 0, 0], [1, 0, 0]])
  grads = jax.grad(lambda x: numerics.normalize(x).sum())(x)
  # d(x / |x|) at (2, 0, 0) along (1, 1, 1) is (0, 1, 1) / 2.
  np.testing.assert_allclose(grads, [[0, 0, 0], [0, 0.5, 0.5]])


@pytest.mark.parametrize('normalize', [True, False])
def test_head_is_a_dense_layer(rng, normalize):
  x = jnp.asarray(rng.normal(size=(4, 6)), jnp.float32)
  head = heads.Mlp((), 3, normalize=normalize)
  variables = head.init(jax.random.key(0), x, False)
  dense = variables['params']['dense']
  want = np.float64(x) @ np.float64(dense['kernel']) + np.float64(dense['bias'])
  if normalize:
    want = want / np.linalg.norm(want, axis=1, keepdims=True)
  np.testing.assert_allclose(head.apply(variables, x, False), want, rtol=1e-5)


def test_embedder_scales_its_input(rng):
  fields = {'width': 2, 'stem': 'cifar', 'channels': 2, 'embedding_dim': 3}
  scaled = embedder.build(mean=(0.2, 0.6), std=(0.5, 2.0), **fields)
  plain = embedder.build(mean=(0.0,), std=(1.0,), **fields)
  x = rng.uniform(size=(2, 8, 8, 2))
  variables = plain.init(jax.random.key(0), jnp.float32(x), train=False)
  got = scaled.apply(variables, jnp.float32(x), train=False)
  by_hand = (x - np.array([0.2, 0.6])) / np.array([0.5, 2.0])
  want = plain.apply(variables, jnp.float32(by_hand), train=False)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'name': 'resnet81'}, "Did you mean 'resnet18'"),
    ({'stem': 'cifr'}, "Did you mean 'cifar'"),
    ({'width': -1}, 'width must be at least 0'),
    ({'embedding_dim': 0}, 'embedding_dim must be at least 1'),
    ({'channels': 3, 'mean': (0.1, 0.2)}, '2 values for 3 channels'),
    ({'std': (0.0,)}, 'std must be above 0'),
  ],
)
def test_build_refuses(fields, message):
  with pytest.raises(errors.UsageError, match=message):
    embedder.build(**fields)


def test_embedder_refuses_another_number_of_channels():
  model = embedder.build(channels=1)
  with pytest.raises(ValueError, match=r'\[b, h, w, 1\]'):
    model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False)
