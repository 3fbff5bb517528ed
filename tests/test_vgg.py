"""VGG16: its published count, every cut, and a forward pass."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import convolution, freezing, pooling, vgg


def shapes(model, channels, side=150):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, channels)), False, method='features'
    ),
    jax.random.key(0),
  )


# Without its top, as Keras counts it; grey saves two channels of 9 x 64.
@pytest.mark.parametrize('channels, count', [(3, 14_714_688), (1, 14_713_536)])
def test_parameter_count_is_the_published_one(channels, count):
  _, variables = shapes(vgg.VGG16(), channels)
  assert freezing.count(variables) == (count, 0)


@pytest.mark.parametrize(
  'cut, side, features',
  [
    ('block1_conv1', 150, 64),
    ('block2_pool', 37, 128),
    ('block4_conv3', 18, 512),
    ('block5_pool', 4, 512),
  ],
)
def test_cut_sets_the_map_and_the_parameters(cut, side, features):
  out, variables = shapes(vgg.VGG16(cut=cut), 1)
  assert out.shape == (1, side, side, features)
  layers = vgg.CUTS[: vgg.CUTS.index(cut) + 1]
  assert set(variables['params']) == {x for x in layers if 'conv' in x}


def test_forward_equals_plain_convolutions(rng):
  model = vgg.VGG16(width=2)
  x = jnp.asarray(rng.uniform(size=(2, 32, 33, 1)), jnp.float32)
  params = jax.jit(model.init, static_argnums=2)(jax.random.key(0), x, False)
  params = jax.tree.map(
    lambda p: p + jnp.asarray(0.1 * rng.normal(size=p.shape), p.dtype), params
  )
  got = jax.jit(model.apply, static_argnums=2)(params, x, False)
  want = x
  for name in vgg.CUTS:
    if 'pool' in name:
      want = lax.reduce_window(
        want, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID'
      )
      continue
    layer = params['params'][name]
    want = lax.conv_general_dilated(
      want,
      layer['kernel'],
      (1, 1),
      'SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    want = jnp.maximum(want + layer['bias'], 0)
  assert got.shape == (2, 16)
  np.testing.assert_allclose(got, want.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_bfloat16_keeps_parameters_and_features_float32():
  model = vgg.VGG16(width=2, dtype=jnp.bfloat16)
  out, variables = shapes(model, 1)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves((out, variables)))


@pytest.mark.parametrize('size, padding', [(2, 0), (3, 0), (3, 1)])
@pytest.mark.parametrize('side', [6, 7])
def test_max_pool_and_its_gradient_equal_the_compilers(
  rng, size, padding, side
):
  x = jnp.asarray(rng.normal(size=(2, side, side + 3, 3)), jnp.float32)
  frame = ((0, 0), (padding, padding), (padding, padding), (0, 0))

  def plain(x):
    window = (1, size, size, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, (1, 2, 2, 1), frame)

  got, pull = jax.vjp(
    functools.partial(pooling.max_pool, size=size, padding=padding), x
  )
  want, want_pull = jax.vjp(plain, x)
  np.testing.assert_array_equal(got, want)
  cotangent = jnp.asarray(rng.normal(size=want.shape), jnp.float32)
  np.testing.assert_allclose(
    pull(cotangent)[0], want_pull(cotangent)[0], rtol=1e-5, atol=1e-6
  )


def test_convolution_adds_its_bias(rng):
  x = jnp.asarray(rng.normal(size=(2, 5, 4, 3)), jnp.float32)
  conv = convolution.Conv(2, 3, use_bias=True)
  variables = conv.init(jax.random.key(0), x)
  np.testing.assert_array_equal(variables['params']['bias'], [0, 0])
  kernel, bias = variables['params']['kernel'], jnp.asarray([0.5, -2.0])
  got = conv.apply({'params': {'kernel': kernel, 'bias': bias}}, x)
  without = convolution.Conv(2, 3).apply({'params': {'kernel': kernel}}, x)
  np.testing.assert_allclose(got, without + bias, rtol=1e-6)


def test_wrong_cut_shape_and_size_are_refused():
  key = jax.random.key(0)
  with pytest.raises(errors.UsageError, match="mean 'block3_pool'"):
    vgg.VGG16(cut='block3_pol').init(key, jnp.zeros((1, 32, 32, 1)), False)
  with pytest.raises(ValueError, match=r'\[b, h, w, c\]'):
    vgg.VGG16(width=1).init(key, jnp.zeros((32, 32, 1)), False)
  with pytest.raises(ValueError, match='too small'):
    shapes(vgg.VGG16(width=1), 1, side=31)
