"""A peer's random weights, saved by it and loaded here, give its features.

The peers are Keras on its JAX backend, and torch with torchvision's names. The
slow tests take the published networks whole.
"""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mammojax.models import inception, pretrained, resnet, vgg
from tests import peer_networks

# Keras turns arrays of JAX into those of NumPy in a way that NumPy deprecates.
KERAS_WARNS = pytest.mark.filterwarnings(
  'ignore:__array__ implementation:DeprecationWarning'
)


@pytest.fixture
def keras():
  """Keras with a fixed seed."""
  os.environ.setdefault('KERAS_BACKEND', 'jax')
  library = pytest.importorskip('keras')
  library.utils.set_random_seed(3)
  return library


def saved(model, folder):
  """(path, layout) of a Keras model in each of its formats."""
  model.save(folder / 'w.h5')
  model.save_weights(folder / 'w.weights.h5')
  model.save(folder / 'w.keras')
  return (
    (folder / 'w.h5', 'keras_h5'),
    (folder / 'w.weights.h5', 'keras_weights_h5'),
    (folder / 'w.keras', 'keras_archive'),
  )


def features(path, model, images):
  """What our network says with the weights of a file."""
  images = jnp.asarray(images)
  like = jax.eval_shape(
    lambda key: model.init(key, images[:1], False), jax.random.key(0)
  )
  loaded = pretrained.load(path, like)
  assert loaded.record['new'] == []
  apply = jax.jit(model.apply, static_argnums=2)
  return apply(loaded.variables, images, False), loaded.record


def assert_equal(got, want):
  """Equal to 1e-4 of their scale, and to a tenth of what images change."""
  want = np.asarray(want)
  change = np.ptp(want, axis=0).max()
  assert change > 0
  bound = min(1e-4 * np.abs(want).max(), 0.1 * change)
  np.testing.assert_allclose(got, want, rtol=0, atol=bound)


@KERAS_WARNS
def test_a_narrow_vgg16_of_keras(keras, tmp_path):
  whole, pooled = peer_networks.keras_vgg(keras, width=2, side=32)
  images = peer_networks.images(32)
  want = pooled.predict(images, verbose=0)
  for path, layout in saved(whole, tmp_path):
    got, record = features(path, vgg.VGG16(width=2), images)
    assert_equal(got, want)
    assert record['layout'] == layout
    assert record['skipped'] == {
      'predictions/kernel': 'top',
      'predictions/bias': 'top',
    }


def test_a_small_resnet_of_torch(tmp_path):
  torch = pytest.importorskip('torch')
  torch.manual_seed(0)
  check_torch(torch, (1, 2), 4, 48, tmp_path)


@pytest.mark.slow
def test_resnet18_of_torch(tmp_path):
  torch = pytest.importorskip('torch')
  torch.manual_seed(0)
  check_torch(torch, (2, 2, 2, 2), 64, 128, tmp_path)


def check_torch(torch, blocks, width, side, tmp_path):
  model = peer_networks.torch_resnet(torch, blocks, width)
  path = tmp_path / 'w.safetensors'
  state = {k: v.numpy() for k, v in model.state_dict().items()}
  safetensors.numpy.save_file(state, path)
  images = peer_networks.images(side)
  with torch.no_grad():
    want = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
  got, record = features(path, resnet.ResNet(blocks, width=width), images)
  assert_equal(got, want.numpy())
  assert record['skipped']['fc.weight'] == 'top'


PUBLISHED = {
  'VGG16': (vgg.VGG16, {}, 64),
  'ResNet50': (
    resnet.ResNet,
    {
      'stage_sizes': (3, 4, 6, 3),
      'block': resnet.Bottleneck,
      'style': 'keras',
    },
    64,
  ),
  'InceptionV3': (inception.InceptionV3, {}, 96),
}


@pytest.mark.slow
@KERAS_WARNS
@pytest.mark.parametrize('name', PUBLISHED)
def test_published_networks_of_keras(keras, rng, tmp_path, name):
  cls, options, side = PUBLISHED[name]
  # Layers made before move the numbers of InceptionV3.
  keras.layers.Conv2D(1, 1)
  build = getattr(keras.applications, name)
  model = build(
    weights=None, include_top=False, input_shape=(side, side, 3), pooling='avg'
  )
  peer_networks.disturb(model.layers, rng)
  if name == 'VGG16':  # Its features would fade to a thousandth.
    for layer in model.layers:
      layer.set_weights([value * 1.4 for value in layer.get_weights()])
  images = peer_networks.images(side, number=2)
  want = model.predict(images, verbose=0)
  for path, _ in saved(model, tmp_path):
    got, _ = features(path, cls(**options), images)
    assert_equal(got, want)
