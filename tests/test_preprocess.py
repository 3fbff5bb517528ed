"""Fitting to a square, channels, and what of an image is breast."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import preprocess


def _half_disc(height=64, width=48, radius=20, row=32):
  """A breast on the left edge: mask of a half disc."""
  rows, columns = np.mgrid[:height, :width]
  return (rows - row) ** 2 + columns**2 <= radius**2


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
  with pytest.raises(errors.UsageError, match="Did you mean 'breast'"):
    preprocess.region(image, np.zeros((4, 4), bool), 'brest')


def test_breast_mask_finds_the_breast_not_the_label(rng):
  truth = _half_disc()
  image = 0.02 * rng.random((64, 48, 1), np.float32)
  image[truth] += 0.3 + 0.5 * rng.random((truth.sum(), 1), np.float32)
  image[2:10, 36:46] = 1.0  # a label brighter than the breast
  image[28:34, 6:10] = 0.0  # a dark hole inside
  mask = preprocess.breast_mask(image)
  assert mask.dtype == bool and not mask[:14, 34:].any()
  assert mask[28:34, 6:10].all()
  union = (mask | truth).sum()
  assert (mask & truth).sum() / union > 0.85


def test_breast_mask_keeps_the_corner_that_the_breast_cuts_off():
  image = np.zeros((64, 64, 1), np.float32)
  image[20:44] = 0.8  # from border to border: above and below stay outside
  mask = preprocess.breast_mask(image)
  assert not mask[:16].any() and not mask[48:].any() and mask[24:40].all()


def test_breast_mask_of_a_constant_image_is_empty():
  for value in (0.0, 0.5, 1.0):
    image = np.full((16, 16, 1), value, np.float32)
    assert not preprocess.breast_mask(image).any()


def test_regions_split_the_image(rng):
  truth = _half_disc(64, 64, 12)
  image = 0.5 + 0.5 * rng.random((64, 64, 3), np.float32)
  assert preprocess.region(image, truth, 'all') is image
  breast = preprocess.region(image, truth, 'breast')
  assert np.all(breast[~truth] == 0) and np.all(breast[truth] == image[truth])
  rest = preprocess.region(image, truth, 'background')
  # Rows 20-44 and columns 0-12, a margin of 4, then quarters of 16.
  assert np.all(rest[16:64, :32] == 0)
  np.testing.assert_array_equal(rest[:16], image[:16])
  np.testing.assert_array_equal(rest[:, 32:], image[:, 32:])


def test_background_does_not_tell_the_silhouette():
  image = np.ones((64, 64, 1), np.float32)
  shapes = [_half_disc(64, 64, radius) for radius in (12, 14, 16, 18, 20)]
  rests = [preprocess.region(image, mask, 'background') for mask in shapes]
  for rest in rests[1:4]:
    np.testing.assert_array_equal(rest, rests[1])


@pytest.mark.parametrize('size', [4, 7, 30, 33])
def test_background_never_shows_the_breast(size, rng):
  image = np.ones((size, size + 3, 1), np.float32)
  for _ in range(50):
    mask = np.zeros((size, size + 3), bool)
    top, left = rng.integers(0, size), rng.integers(0, size + 3)
    mask[top : top + rng.integers(1, size), left : left + 3] = True
    rest = preprocess.region(image, mask, 'background')
    assert not rest[mask].any()
