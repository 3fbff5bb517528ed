"""Input conventions against Keras and torchvision's numbers."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import conventions, embedder


@pytest.fixture
def images(rng):
  """8 bit colours, no two channels alike, as [0, 1]."""
  levels = rng.integers(0, 256, (2, 5, 6, 3))
  levels[..., 1] //= 2
  return levels


@pytest.mark.parametrize(
  'name, network',
  [
    ('keras_caffe', 'vgg16'),
    ('keras_caffe', 'resnet50'),
    ('keras_tf', 'inception_v3'),
  ],
)
def test_inputs_equal_those_of_keras(images, name, network, monkeypatch):
  monkeypatch.setenv('KERAS_BACKEND', os.environ.get('KERAS_BACKEND', 'jax'))
  applications = pytest.importorskip('keras.applications')
  prepare = getattr(applications, network).preprocess_input
  want = np.asarray(prepare(images.astype(np.float32)))
  scaling = conventions.scaling(name, channels=3)
  got = conventions.apply(jnp.asarray(images / 255, jnp.float32), scaling)
  np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-6)


def test_caffe_is_blue_first_minus_its_means(images):
  scaling = conventions.scaling('keras_caffe', channels=3)
  got = conventions.apply(jnp.asarray(images / 255, jnp.float32), scaling)
  want = images[..., ::-1] - np.array([103.939, 116.779, 123.68])
  np.testing.assert_allclose(got, want, atol=1e-4)


def test_torchvision_normalizes_red_first(images):
  scaling = conventions.scaling('torchvision', channels=3)
  got = conventions.apply(jnp.asarray(images / 255, jnp.float32), scaling)
  want = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize('name', sorted(conventions.PUBLISHED))
def test_a_network_applies_its_convention(images, name):
  x = jnp.asarray(images / 255, jnp.float32)
  scaling = conventions.scaling(name, channels=3)
  model = embedder.build('resnet18', width=4, channels=3, **scaling._asdict())
  plain = embedder.build(
    'resnet18', width=4, channels=3, mean=(0.0,), std=(1.0,)
  )
  variables = model.init(jax.random.key(0), x, train=False)
  np.testing.assert_allclose(
    model.apply(variables, x, train=False),
    plain.apply(variables, conventions.apply(x, scaling), train=False),
    atol=1e-5,
  )


@pytest.mark.parametrize(
  'name, channels, message',
  [
    ('keras_cafe', 3, "Did you mean 'keras_caffe'"),
    ('torchvision', 1, 'Set data.channels=3'),
    ('learned', 3, 'measured on training images'),
  ],
)
def test_wrong_names_are_answered(name, channels, message):
  with pytest.raises(errors.UsageError, match=message):
    conventions.scaling(name, channels)


def test_channels_must_fit():
  scaling = conventions.scaling('keras_tf', channels=3)
  with pytest.raises(ValueError, match=r'\[b, h, w, 3\]'):
    conventions.apply(jnp.zeros((1, 4, 4, 1)), scaling)
