"""InceptionV3: its published counts, every cut, and a forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import freezing, inception, norms


def shapes(model, channels=3, side=150):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, channels)), False, method='features'
    ),
    jax.random.key(0),
  )


# Keras: 17,216 norms hold a mean and a variance each; all 21,802,784 values
# are counted, 34,432 of them as not trainable.
def test_counts_are_the_published_ones():
  out, variables = shapes(inception.InceptionV3())
  assert out.shape == (1, 3, 3, 2048)
  assert freezing.count(variables) == (21_768_352, 34_432)
  assert sum(freezing.count(variables)) == 21_802_784
  # Grey images save two channels of the 3 x 3 x 32 kernels.
  _, grey = shapes(inception.InceptionV3(), channels=1)
  assert sum(freezing.count(grey)) == 21_802_784 - 2 * 288


def test_the_cut_of_1280_features_is_mixed8():
  out, variables = shapes(inception.InceptionV3(cut='mixed8'))
  assert out.shape == (1, 3, 3, 1280)
  assert sum(freezing.count(variables)) == 10_674_848


@pytest.mark.parametrize(
  'cut, side, features',
  [
    ('stem', 16, 192),
    ('mixed0', 16, 256),
    ('mixed2', 16, 288),
    ('mixed3', 7, 768),
    ('mixed7', 7, 768),
  ],
)
def test_cut_sets_the_map_and_the_parameters(cut, side, features):
  out, variables = shapes(inception.InceptionV3(cut=cut), channels=1)
  assert out.shape == (1, side, side, features)
  want = set(inception.CUTS[: inception.CUTS.index(cut) + 1])
  assert set(variables['params']) == set(variables['batch_stats']) == want


def scrambled(shape, layer):
  """Values that look random, with mean 0 and variance 1."""
  x = np.sin(12.9898 * np.arange(np.prod(shape)) + layer) * 43758.5453
  return (12**0.5 * (x % 1.0 - 0.5)).reshape(shape)


def scrambled_layer(layer, params):
  """Variables of one ConvNorm, numbered as Keras numbers its layers."""
  shape = params['conv']['kernel'].shape
  values = scrambled(shape[-1:], layer)
  kernel = scrambled(shape, layer) * np.sqrt(2 / np.prod(shape[:-1]))
  params = {'conv': {'kernel': kernel}, 'norm': {'bias': 0.1 * values}}
  return params, {'norm': {'mean': 0.1 * values, 'var': 1 + 0.2 * values}}


def test_forward_of_the_smallest_image_equals_keras():
  model = inception.InceptionV3()
  _, like = shapes(model, side=75)
  variables = {'params': {}, 'batch_stats': {}}
  names = [
    (block, name)
    for block in inception.CUTS
    for name in sorted(like['params'][block])
  ]
  for layer, (block, name) in enumerate(names):
    params, stats = scrambled_layer(layer, like['params'][block][name])
    variables['params'].setdefault(block, {})[name] = params
    variables['batch_stats'].setdefault(block, {})[name] = stats
  variables = jax.tree.map(jnp.float32, variables)
  x = jnp.float32(scrambled((1, 75, 75, 3), 200))
  got = jax.jit(model.apply, static_argnums=2)(variables, x, False)
  assert got.shape == (1, 2048) and np.isfinite(got).all()
  # keras.applications.InceptionV3 of Keras 3 with these weights.
  want = 0.26624078, 0.4652371, 0.33914483
  np.testing.assert_allclose([got.mean(), got.std(), got[0, 1792]], want, 1e-4)


def test_means_count_only_places_inside_the_map():
  mixed = inception.Mixed((('avg',),), norm=None)
  ones = jnp.ones((1, 4, 5, 2))
  np.testing.assert_allclose(mixed.apply({}, ones), ones, rtol=1e-6)


@pytest.mark.parametrize('rows, columns', [(1, 7), (7, 1), (1, 3), (3, 3)])
def test_padded_kernels_are_centred(rng, rows, columns):
  spec = inception.Conv(2, rows, columns)
  model = inception.ConvNorm(spec, norms.maker(train=False))
  x = jnp.asarray(rng.uniform(size=(1, 9, 8, 2)), jnp.float32)
  variables = model.init(jax.random.key(0), x)
  middle = jnp.zeros((rows, columns, 2, 2))
  middle = middle.at[rows // 2, columns // 2].set(jnp.eye(2))
  params = {**variables['params'], 'conv': {'kernel': middle}}
  got = model.apply({**variables, 'params': params}, x)
  # A running variance of one, and the epsilon of Keras.
  np.testing.assert_allclose(got, x / np.sqrt(1.001), rtol=1e-5)


def test_running_statistics_move_by_a_hundredth(rng):
  spec = inception.Conv(3)
  model = inception.ConvNorm(spec, norms.maker(train=True))
  x = jnp.asarray(rng.normal(size=(4, 3, 3, 2)), jnp.float32)
  variables = model.init(jax.random.key(0), x)
  assert set(variables['params']['norm']) == {'bias'}
  _, new = model.apply(variables, x, mutable=['batch_stats'])
  y = np.asarray(x) @ np.asarray(variables['params']['conv']['kernel'][0, 0])
  got = new['batch_stats']['norm']['mean']
  np.testing.assert_allclose(got, 0.01 * y.mean((0, 1, 2)), atol=1e-5)


def test_wrong_cut_shape_and_size_are_refused():
  with pytest.raises(errors.UsageError, match="mean 'mixed8'"):
    shapes(inception.InceptionV3(cut='mixd8'))
  with pytest.raises(ValueError, match='at least 75'):
    shapes(inception.InceptionV3(), side=74)
