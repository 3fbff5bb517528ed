"""Fitting to a square, and channels."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import preprocess


def test_to_channels_weighs_the_colours():
  image = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
  image = image.astype(np.float32)
  grey = preprocess.to_channels(image, 1)
  assert grey.shape == (1, 3, 1)
  np.testing.assert_allclose(grey.ravel(), [0.299, 0.587, 0.114], rtol=1e-6)
  back = preprocess.to_channels(grey, 3)
  assert back.shape == (1, 3, 3) and np.all(back == grey)
  assert preprocess.to_channels(image, 3) is image
  with pytest.raises(errors.UsageError, match='channels is 2'):
    preprocess.to_channels(image, 2)


@pytest.mark.parametrize('channels', [1, 3])
def test_shrinking_is_the_mean_over_the_area(channels, rng):
  image = rng.random((32, 32, channels), np.float32)
  small = preprocess.fit(image, 8)
  blocks = image.astype(np.float64).reshape(8, 4, 8, 4, channels)
  np.testing.assert_allclose(small, blocks.mean((1, 3)), atol=1e-6)


def test_fine_stripes_become_grey_not_moire():
  image = np.zeros((90, 90, 1), np.float32)
  image[:, ::2] = 1.0
  small = preprocess.fit(image, 13)
  assert np.abs(small - 0.5).max() < 0.15


def test_16_bit_steps_survive_fitting():
  step = np.float32(1 / 65535)
  image = np.full((8, 8, 1), 0.5, np.float32)
  image[:, 4:] += step
  small = preprocess.fit(image, 4)
  np.testing.assert_allclose(small[:, 2:] - small[:, :2], step, rtol=0.02)


@pytest.mark.parametrize(
  'height, width', [(40, 20), (20, 40), (13, 7), (7, 50), (200, 3), (9, 9)]
)
@pytest.mark.parametrize('mode', preprocess.MODES)
@pytest.mark.parametrize('channels', [1, 3])
def test_every_mode_gives_a_square(height, width, mode, channels, rng):
  image = rng.random((height, width, channels), np.float32)
  square = preprocess.fit(image, 16, mode)
  assert square.shape == (16, 16, channels) and square.dtype == np.float32
  assert square.min() >= 0.0 and square.max() <= 1.0 + 1e-6


def test_pad_keeps_the_shape_and_centres():
  image = np.ones((20, 40, 1), np.float32)
  square = preprocess.fit(image, 16, 'pad', pad_value=0.25)
  want = np.full((16, 16), 0.25)
  want[4:12] = 1.0
  np.testing.assert_array_equal(square[..., 0], want)


def test_crop_takes_the_centre():
  image = np.zeros((20, 60, 1), np.float32)
  image[:, 20:40] = 1.0
  assert np.all(preprocess.fit(image, 10, 'crop') == 1.0)


def test_stretch_fills_the_square():
  image = np.zeros((20, 60, 1), np.float32)
  image[:, 30:] = 1.0
  square = preprocess.fit(image, 20, 'stretch')
  assert np.all(square[:, :10] == 0.0) and np.all(square[:, 10:] == 1.0)


def test_unknown_names_are_answered():
  image = np.zeros((4, 4, 1), np.float32)
  with pytest.raises(errors.UsageError, match="Did you mean 'stretch'"):
    preprocess.fit(image, 4, 'strech')
  with pytest.raises(errors.UsageError, match="Did you mean 'lanczos'"):
    preprocess.fit(image, 8, resample='lancsoz')


def test_nothing_is_copied_where_nothing_is_to_be_done(rng):
  image = rng.random((16, 16, 1), np.float32)
  for mode in preprocess.MODES:
    assert preprocess.fit(image, 16, mode) is image


@pytest.mark.parametrize('channels', [1, 3])
def test_lanczos_weighs_as_its_formula_says(channels, rng):
  """Three lobes, stretched over the shrink factor, in float64."""
  image = rng.random((24, 24, channels), np.float32)
  centre = (np.arange(8) + 0.5) * 3
  distance = (np.arange(24) + 0.5 - centre[:, None]) / 3
  weight = np.sinc(distance) * np.sinc(distance / 3) * (np.abs(distance) < 3)
  weight /= weight.sum(axis=1, keepdims=True)
  want = np.einsum('ij,jkc,lk->ilc', weight, image.astype(np.float64), weight)
  got = preprocess.fit(image, 8, resample='lanczos')
  np.testing.assert_allclose(got, want.clip(0, 1), atol=1e-5)


def test_lanczos_keeps_16_bit_steps_and_the_range():
  step = np.float32(1 / 65535)
  image = np.full((64, 64, 1), 0.5, np.float32)
  image[:, 32:] += step
  small = preprocess.fit(image, 16, resample='lanczos')
  np.testing.assert_allclose(small[:, 15] - small[:, 0], step, rtol=0.02)
  edge = (image > 0.5).astype(np.float32)
  small = preprocess.fit(edge, 16, resample='lanczos')
  assert small.min() == 0.0 and small.max() == 1.0
