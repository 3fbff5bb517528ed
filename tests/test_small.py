"""Small networks and classifiers: published counts and forward passes."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax.models import embedder, freezing, heads, small, vgg


def shapes(model, side=150, images=1, channels=1):
  x = [jnp.zeros((1, side, side, channels))] * images
  return jax.eval_shape(
    lambda key: model.init_with_output(key, *x, False), jax.random.key(0)
  )


def init(model, *x):
  return jax.jit(lambda key: model.init(key, *x, False))(jax.random.key(3))


def run(model, variables, *x):
  return jax.jit(lambda variables: model.apply(variables, *x, False))(variables)


def classifier(name, hidden=(512,), **options):
  """One logit as in the source."""
  fields = {'head': 'classifier', 'hidden': hidden, 'embedding_dim': 1}
  return embedder.build(name, **fields, **options)


def over(name, hidden=(512,), cut=''):
  """A classifier as in the source, over a backbone for colour images."""
  return classifier(name, hidden, cut=cut, grey='learned', flatten=True)


# A count holds parameters and running statistics.
@pytest.mark.parametrize(
  'model, total, trainable, frozen',
  [
    (small.PatchNet(), 3_452_032, 3_452_032, []),
    (classifier('patch_net', ()), 3_452_545, 3_452_545, []),
    (over('vgg16'), 18_910_023, 4_195_335, ['backbone']),
    (over('inception_v3'), 31_240_999, 9_438_215, ['backbone']),
    (
      over('inception_v3', (512, 256), 'top+1'),
      16_705_191,
      6_030_343,
      ['backbone'],
    ),
  ],
  ids=['branch', 'scratch', 'vgg16', 'inception', 'inception_mixed8'],
)
def test_counts_over_patches_are_the_published_ones(
  model, total, trainable, frozen
):
  out, variables = shapes(model)
  assert out.shape == (1, 512 if isinstance(model, small.PatchNet) else 1)
  assert freezing.count(variables, frozen) == (trainable, total - trainable)


def siamese(name, hidden, **options):
  fields = {'head': 'siamese', 'hidden': hidden, 'embedding_dim': 1}
  return embedder.build(name, **fields, **options)


def test_count_of_the_siamese_network_is_the_published_one():
  _, variables = shapes(siamese('patch_net', (512,)), channels=2)
  assert freezing.count(variables) == (3_977_345, 0)


def test_count_of_the_double_convolutions_is_the_published_one():
  out, variables = shapes(small.DoubleConvNet(), side=28)
  assert out.shape == (1, 32)
  # 2 (8 + 16 + 32 + 256) = 624 running statistics.
  assert freezing.count(variables) == (428_552, 624)
  assert sum(freezing.count(variables)) == 429_176


def test_colour_starts_as_three_copies_and_has_six_parameters(rng):
  x = jnp.asarray(rng.uniform(size=(2, 4, 5, 1)), jnp.float32)
  variables = embedder.Colour().init(jax.random.key(0), x)
  assert freezing.count(variables) == (6, 0)
  got = embedder.Colour().apply(variables, x)
  np.testing.assert_allclose(got, np.repeat(x, 3, axis=-1), rtol=1e-6)


def test_patch_net_equals_unpadded_convolutions(rng):
  model = small.PatchNet(widths=(2, 3, 4, 5), dim=6)
  x = jnp.asarray(rng.uniform(size=(2, 46, 47, 1)), jnp.float32)
  params = init(model, x)['params']
  want = x
  for number in range(1, 5):
    layer = params[f'conv{number}']
    want = lax.conv_general_dilated(
      want,
      layer['kernel'],
      (1, 1),
      'VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )
    want = lax.reduce_window(
      jnp.maximum(want + layer['bias'], 0),
      -jnp.inf,
      lax.max,
      (1, 2, 2, 1),
      (1, 2, 2, 1),
      'VALID',
    )
  assert want.shape == (2, 1, 1, 5)
  want = want.reshape(2, 5) @ params['dense']['kernel']
  assert np.max(want) > 0
  got = run(model, {'params': params}, x)
  np.testing.assert_allclose(got, jnp.maximum(want, 0), rtol=1e-4, atol=1e-5)


def test_double_convolutions_drop_whole_channels_in_training(rng):
  model = small.DoubleConvNet(widths=(4, 5, 6), hidden=7, dim=3, dropout=0.5)
  x = jnp.asarray(rng.uniform(size=(3, 4, 5, 1)), jnp.float32)
  variables = init(model, x)
  run = jax.jit(
    lambda key: model.apply(
      variables,
      x,
      True,
      rngs={'dropout': key},
      mutable=['batch_stats', 'intermediates'],
      capture_intermediates=True,
    )
  )
  out, state = run(jax.random.key(1))
  assert out.shape == (3, 3) and np.isfinite(out).all()
  dropped = state['intermediates']['drop1']['__call__'][0]
  before = jnp.maximum(state['intermediates']['norm1']['__call__'][0], 0)
  kept = np.any(dropped > 0, axis=(1, 2), keepdims=True)
  assert 0 < kept.sum() < kept.size
  np.testing.assert_allclose(dropped, jnp.where(kept, 2 * before, 0), rtol=1e-5)


def test_classifier_flattens_rows_first(rng):
  fields = {'width': 2, 'mean': (0.0,), 'std': (1.0,), 'flatten': True}
  model = classifier('vgg16', (), cut='block1_pool', **fields)
  x = jnp.asarray(rng.uniform(size=(2, 4, 6, 1)), jnp.float32)
  variables = init(model, x)
  params = variables['params']
  backbone = vgg.VGG16('block1_pool', 2)
  maps = backbone.apply(
    {'params': params['backbone']}, x, False, method='features'
  )
  assert maps.shape == (2, 2, 3, 2)
  dense = params['head']['dense']
  kernel = np.asarray(dense['kernel']).reshape(2, 3, 2, 1)
  want = np.einsum('bijc,ijcf->bf', maps, kernel) + dense['bias']
  got = run(model, variables, x)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_siamese_joins_the_features_of_one_branch_in_order(rng):
  fields = {'mean': (0.0,), 'std': (1.0,)}
  model = siamese('double_conv', (), width=4, **fields)
  x, y = jnp.asarray(rng.uniform(0, 99, (2, 4, 4, 4, 1)), jnp.float32)
  variables = init(model, jnp.concatenate([x, y], axis=-1))
  inside = {name: tree['backbone'] for name, tree in variables.items()}
  branch = small.DoubleConvNet(widths=(4, 8, 16))
  f = [run(branch, inside, image) for image in (x, y)]
  dense = variables['params']['head']['mlp']['dense']
  want = np.concatenate(f, axis=-1) @ dense['kernel'] + dense['bias']
  got = run(model, variables, jnp.concatenate([x, y], axis=-1))
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
  swapped = run(model, variables, jnp.concatenate([y, x], axis=-1))
  assert np.abs(swapped - got).max() > 1e-3
  with pytest.raises(ValueError, match='halves of pairs differ'):
    heads.Pair().init(jax.random.key(0), f[0], f[1][:2], False)


def test_the_last_layer_of_double_convolutions_is_the_embedding(rng):
  fields = {'mean': (0.0,), 'std': (1.0,), 'width': 4, 'dropout': 0.5}
  model = embedder.build('double_conv', head='none', embedding_dim=5, **fields)
  x = jnp.asarray(rng.uniform(0, 9, (64, 4, 4, 1)), jnp.float32)
  variables = init(model, x)
  inside = {name: tree['backbone'] for name, tree in variables.items()}
  branch = small.DoubleConvNet(widths=(4, 8, 16), dim=5)
  want = run(branch, inside, x)
  want /= np.linalg.norm(want, axis=1, keepdims=True)
  np.testing.assert_allclose(run(model, variables, x), want, rtol=1e-4)
  # Channels are dropped in training, values of the embedding are not.
  found, _ = jax.jit(
    lambda variables, key: model.apply(
      variables, x, True, rngs={'dropout': key}, mutable=['batch_stats']
    )
  )(variables, jax.random.key(0))
  assert (np.asarray(found) != 0.0).all()


def test_wrong_shapes_are_refused():
  with pytest.raises(ValueError, match='too small'):
    shapes(small.PatchNet(), side=45)
  for model in (small.PatchNet(), small.DoubleConvNet()):
    with pytest.raises(ValueError, match=r'\[b, h, w, c\]'):
      model.init(jax.random.key(0), jnp.zeros((46, 46, 1)), False)
