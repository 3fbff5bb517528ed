"""Windows, CLAHE and contrast against peers and by hand."""

import cv2
import numpy as np
import pytest

from mammojax.data import contrast


def test_a_window_stretches_its_percentiles():
  levels = np.arange(1001, dtype=np.float32).reshape(7, 143, 1) / 4000
  got = contrast.window(levels, 10.0, 90.0)
  want = np.clip((np.arange(1001) - 100) / 800, 0, 1).reshape(7, 143, 1)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_window_counts_the_mask_alone(rng):
  image = rng.random((20, 20, 3), np.float32)
  mask = np.zeros((20, 20), bool)
  mask[5:9, 5:12] = True
  image[~mask] *= 0.01
  low, high = np.percentile(image[mask].astype(np.float64), (0, 100))
  got = contrast.window(image, 0.0, 100.0, mask)
  want = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1)
  np.testing.assert_allclose(got, want, atol=1e-6)
  empty = contrast.window(image, 0.0, 100.0, mask & False)
  np.testing.assert_array_equal(empty, contrast.window(image, 0.0, 100.0))


def test_a_window_keeps_16_bit_steps_apart():
  ramp = (30000 + np.arange(4096)).reshape(64, 64, 1) / 65535
  got = contrast.window(ramp.astype(np.float32), 0.0, 100.0)
  assert len(np.unique(got)) == 4096 and got.min() == 0 and got.max() == 1


@pytest.mark.parametrize('factor', [0.0, 0.5, 1.0, 1.5, 2.0])
def test_contrast_is_that_of_its_formula(factor, rng):
  image = rng.random((9, 7, 3), np.float32)
  mean = image.astype(np.float64).mean(axis=(0, 1))
  want = np.clip((image - mean) * factor + mean, 0.0, 1.0)
  got = contrast.scale(image, factor)
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, want, atol=1e-6)


def _film(shape, rng):
  """8 bit levels with large and small structure."""
  smooth = cv2.GaussianBlur(rng.random(shape).astype(np.float32), (0, 0), 4)
  smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
  return np.round(160 * smooth + 20 * rng.random(shape)).astype(np.uint8)


@pytest.mark.parametrize(
  'shape, clip, tiles, worst',
  [
    # No bin is cut: equal in parts of any size.
    ((61, 50), 256.0, 1, 1.0),
    ((61, 50), 256.0, 8, 1.5),
    ((96, 128), 256.0, 4, 1.0),
    # Bins are cut: equal in large parts, where the whole pixels that OpenCV
    # deals out, lowest bins first, are as good as equal shares.
    ((512, 400), 0.5, 1, 1.0),
    ((512, 400), 2.0, 1, 1.0),
    ((512, 400), 2.0, 4, 2.0),
    ((512, 400), 4.0, 4, 2.0),
  ],
)
def test_clahe_at_256_levels_is_that_of_opencv(shape, clip, tiles, worst, rng):
  levels = _film(shape, rng)
  want = cv2.createCLAHE(clip, (tiles, tiles)).apply(levels).astype(float)
  image = levels.astype(np.float32)[..., None] / 255
  got = contrast.clahe(image, clip, tiles)[..., 0] * 255
  assert got.dtype == np.float32
  assert np.abs(got - want).max() <= worst
  assert np.abs(levels - want).max() > 20


@pytest.mark.parametrize('clip', [0.7, 2.0, 5.0])
def test_clahe_equals_plain_loops(clip, rng):
  """Float values between the bins; 4 x 4 parts of 15 x 12 pixels."""
  image = _film((60, 48), rng) / 255 + rng.random((60, 48)) / 600
  image = image.astype(np.float32).astype(np.float64)
  curves = np.zeros((4, 4, 256))
  for i in range(4):
    for j in range(4):
      part = image[15 * i : 15 * i + 15, 12 * j : 12 * j + 12]
      counts = [(np.rint(part * 255) == level).sum() for level in range(256)]
      limit = max(int(clip * 180 / 256), 1)
      excess = sum(max(count - limit, 0) for count in counts)
      total = 0.0
      for level in range(256):
        total += min(counts[level], limit) + excess / 256
        curves[i, j, level] = total / 180

  def at(i, j, value):
    i, j = min(max(i, 0), 3), min(max(j, 0), 3)
    return np.interp(value * 255, np.arange(256), curves[i, j])

  got = contrast.clahe(image.astype(np.float32)[..., None], clip, 4)
  for y, x in rng.integers(0, (60, 48), (300, 2)):
    down, across = y / 15 - 0.5, x / 12 - 0.5
    i, j = int(np.floor(down)), int(np.floor(across))
    v, u = down - i, across - j
    want = (1 - v) * (1 - u) * at(i, j, image[y, x])
    want += (1 - v) * u * at(i, j + 1, image[y, x])
    want += v * (1 - u) * at(i + 1, j, image[y, x])
    want += v * u * at(i + 1, j + 1, image[y, x])
    assert abs(got[y, x, 0] - want) < 1e-5


def test_clahe_does_not_depend_on_the_bits_of_the_file(rng):
  smooth = cv2.GaussianBlur(rng.random((96, 96)).astype(np.float32), (0, 0), 5)
  smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
  made = [
    contrast.clahe(
      (np.round(smooth * full) / full).astype(np.float32)[..., None], 2.0, 8
    )
    for full in (255, 4095, 65535)
  ]
  assert np.abs(made[1] - made[2]).max() < 0.01
  assert np.abs(made[0] - made[2]).max() < 0.04


def test_clahe_keeps_16_bit_steps_apart():
  ramp = (30000 + np.arange(4096)).reshape(64, 64, 1) / 65535
  got = contrast.clahe(ramp.astype(np.float32), 2.0, 1)
  assert len(np.unique(got)) == 4096
  assert np.all(np.diff(got.ravel()) > 0)


def test_clahe_of_colour_moves_luma_alone(rng):
  image = 0.2 + 0.3 * rng.random((32, 32, 3), np.float32)
  luma = (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
  want = contrast.clahe(luma, 2.0, 4) - luma + image
  got = contrast.clahe(image, 2.0, 4)
  np.testing.assert_allclose(got, want.clip(0, 1), atol=1e-5)
  assert np.abs(got - image).max() > 0.1


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('value', [0.0, 0.4, 1.0])
@pytest.mark.parametrize('shape', [(1, 1), (1, 9), (5, 3), (64, 64)])
def test_one_grey_stays_finite(channels, value, shape):
  image = np.full((*shape, channels), value, np.float32)
  for got in (
    contrast.window(image, 0.5, 99.5),
    contrast.scale(image, 1.5),
    contrast.clahe(image, 2.0, 8),
  ):
    assert got.shape == image.shape and np.isfinite(got).all()
    assert got.min() >= 0.0 and got.max() <= 1.0
