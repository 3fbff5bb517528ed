"""Augmentation against scipy and NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from mammojax import augment, errors

EVERYTHING = {
  'horizontal_flip': True,
  'vertical_flip': True,
  'rotate90': True,
  'rotation_degrees': 20.0,
  'shift': 0.1,
  'zoom': 0.2,
  'brightness': 0.1,
  'contrast': 0.2,
  'gamma': 0.3,
  'noise': 0.02,
}
KEY = 11


def batch(rng, size=12, n=8, height=12, channels=2):
  images = rng.uniform(0.05, 0.95, size=(n, height, size, channels))
  return jnp.asarray(images, jnp.float32), jnp.arange(n, dtype=jnp.int32)


def run(images, index, **fields):
  transform = augment.Augmentation(**fields)
  return np.asarray(jax.jit(transform)(images, jax.random.key(KEY), index))


def scipy_warp(image, matrix, offset, mode):
  """One image, each channel by scipy, about its centre."""
  centre = (np.array(image.shape[:2]) - 1) / 2
  return np.stack(
    [
      ndimage.affine_transform(
        np.asarray(image[..., channel], np.float64),
        matrix,
        offset=centre + offset - matrix @ centre,
        order=1,
        mode=mode,
      )
      for channel in range(image.shape[-1])
    ],
    axis=-1,
  )


@pytest.mark.parametrize(
  'fill, mode', [('edge', 'nearest'), ('zero', 'grid-constant')]
)
def test_warp_equals_scipy(rng, fill, mode):
  images, _ = batch(rng, height=9)
  matrix = np.eye(2) + 0.3 * rng.normal(size=(8, 2, 2))
  offset = 2.0 * rng.normal(size=(8, 2))
  got = augment.warp(
    images, jnp.float32(matrix), jnp.float32(offset), fill=fill
  )
  for i in range(8):
    want = scipy_warp(images[i], matrix[i], offset[i], mode)
    np.testing.assert_allclose(got[i], want, atol=1e-5)


def test_nothing_is_the_identity_and_compiles_to_nothing(rng):
  images, index = batch(rng)
  np.testing.assert_array_equal(run(images, index), images)
  jaxpr = jax.make_jaxpr(augment.Augmentation())(
    images, jax.random.key(KEY), index
  )
  assert not jaxpr.eqns


def test_flips_and_quarter_turns_are_exact_and_all_occur(rng):
  images, index = batch(rng, n=64)
  fields = dict.fromkeys(('horizontal_flip', 'vertical_flip', 'rotate90'), True)
  got = run(images, index, **fields)
  seen = set()
  for image, out in zip(np.asarray(images), got, strict=True):
    moved = [
      np.rot90(image if flip else image[:, ::-1], turns)
      for flip in (0, 1)
      for turns in range(4)
    ]
    equal = [i for i, want in enumerate(moved) if np.array_equal(out, want)]
    assert len(equal) == 1
    seen.update(equal)
  assert seen == set(range(8))


@pytest.mark.parametrize(
  'field, axis',
  [
    ('horizontal_flip', 1),
    ('vertical_flip', 0),
  ],
)
def test_a_flip_turns_its_own_axis_half_of_the_time(rng, field, axis):
  images, index = batch(rng, n=200, size=4, height=6)
  got = run(images, index, **{field: True})
  flipped = [
    np.array_equal(out, np.flip(image, axis))
    for image, out in zip(np.asarray(images), got, strict=True)
  ]
  kept = np.all(got == np.asarray(images), axis=(1, 2, 3))
  np.testing.assert_array_equal(np.logical_not(kept), flipped)
  # 200 fair coins leave 100 +- 35 once in two million tries.
  assert 65 <= sum(flipped) <= 135


@pytest.mark.parametrize('field', ['rotation_degrees', 'shift', 'zoom'])
def test_moves_stay_within_their_range_and_use_it(field):
  """A bright dot is followed; the range is that of the docstring."""
  n, size = 200, 41
  y, x = np.mgrid[:size, :size] - 20.0
  spot = np.exp(-((y - 2.0) ** 2 + (x - 10.0) ** 2) / 8.0)
  images = np.tile(spot[None, ..., None], (n, 1, 1, 1))
  images = jnp.asarray(images, jnp.float32)
  extent = {'rotation_degrees': 30.0, 'shift': 0.1, 'zoom': 0.25}[field]
  got = run(images, jnp.arange(n, dtype=jnp.int32), **{field: extent})[..., 0]
  mass = got.sum((1, 2))
  cy, cx = (got * y).sum((1, 2)) / mass, (got * x).sum((1, 2)) / mass
  if field == 'shift':
    for moved in (cy - 2.0, cx - 10.0):
      assert -4.2 < moved.min() < -3.7 and 3.7 < moved.max() < 4.2
    return
  if field == 'zoom':
    ratio = np.hypot(cx, cy) / np.hypot(2.0, 10.0)
    assert 0.78 < ratio.min() < 0.83 and 1.2 < ratio.max() < 1.27
    return
  angle = np.degrees(np.arctan2(cy, cx) - np.arctan2(2.0, 10.0))
  assert -30.5 < angle.min() < -28.0 and 28.0 < angle.max() < 30.5
  np.testing.assert_allclose(np.hypot(cx, cy), np.hypot(2, 10), rtol=0.02)


def test_intensities_follow_their_formulas(rng):
  images, index = batch(rng, n=200, size=5, height=5)
  x = np.asarray(images, np.float64)
  mild = 0.3 + 0.4 * x  # stays clear of 0 and 1
  mild32 = jnp.asarray(mild, jnp.float32)

  power = np.log(run(mild32, index, gamma=0.5)) / np.log(mild)
  brightness = run(mild32, index, brightness=0.2) - mild
  mean = mild.mean((1, 2, 3), keepdims=True)
  contrast = (run(mild32, index, contrast=0.25) - mean) / (mild - mean)
  contrast = np.where(np.abs(mild - mean) > 0.02, contrast, np.nan)
  for drawn, low, high in (
    (power, 1 / 1.5, 1.5),
    (brightness, -0.2, 0.2),
    (contrast, 0.8, 1.25),
  ):
    one = np.nanmedian(drawn, axis=(1, 2, 3))
    spread = np.nanmax(np.abs(drawn - one[:, None, None, None]))
    assert spread < 1e-4
    margin = 0.05 * (high - low)
    assert low - 1e-4 < one.min() < low + margin
    assert high - margin < one.max() < high + 1e-4


def test_noise_has_its_deviation_and_differs_between_images():
  images = jnp.full((16, 20, 20, 1), 0.5)
  noise = run(images, jnp.arange(16, dtype=jnp.int32), noise=0.05) - 0.5
  # The standard error of a deviation is std / sqrt(2 n), n = 6,400.
  np.testing.assert_allclose(noise.std(), 0.05, atol=5 * 0.05 / 113)
  np.testing.assert_allclose(noise.mean(), 0.0, atol=5 * 0.05 / 80)
  assert np.unique(noise[:, 0, 0, 0]).size == 16


def test_result_stays_in_the_unit_interval(rng):
  images, index = batch(rng)
  got = run(images, index, brightness=1.0, contrast=4.0, noise=1.0)
  assert got.dtype == np.float32
  assert got.min() == 0.0 and got.max() == 1.0


def test_black_stays_black_and_finite_under_gamma():
  images = jnp.zeros((4, 3, 3, 1))
  got = run(images, jnp.arange(4, dtype=jnp.int32), gamma=0.5)
  np.testing.assert_array_equal(got, 0.0)


def test_an_image_does_not_depend_on_its_batch(rng):
  images, index = batch(rng, n=8)
  index = index * 7 + 3
  want = run(images, index, **EVERYTHING)
  order = rng.permutation(8)
  got = run(images[order], index[order], **EVERYTHING)
  np.testing.assert_allclose(got, want[order], atol=1e-6)
  other = run(images, index + 1, **EVERYTHING)
  assert np.all(np.abs(other - want).max((1, 2, 3)) > 0.01)


def test_eight_devices_equal_one(rng):
  images, index = batch(rng, n=16)
  transform = augment.Augmentation(**EVERYTHING)
  key = jax.random.key(KEY)
  want = jax.jit(transform)(images, key, index)
  mesh = jax.make_mesh(
    (8,), ('data',), axis_types=(jax.sharding.AxisType.Auto,)
  )
  p = jax.sharding.PartitionSpec
  got = jax.jit(
    jax.shard_map(
      transform,
      mesh=mesh,
      in_specs=(p('data'), p(), p('data')),
      out_specs=p('data'),
    )
  )(images, key, index)
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_switching_one_field_on_leaves_the_other_draws(rng):
  images, index = batch(rng)
  turned = run(images, index, rotate90=True)
  both = run(images, index, rotate90=True, brightness=1e-4)
  np.testing.assert_allclose(both, turned, atol=1.1e-4)


def test_apply_takes_the_fields_as_keywords(rng):
  images, index = batch(rng)
  got = augment.apply(images, jax.random.key(KEY), index, shift=0.1)
  want = run(images, index, shift=0.1)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'noise': -0.1}, r'noise must be in \[0, 1\], got -0.1'),
    ({'rotation_degrees': 181.0}, r'rotation_degrees must be in \[0, 180\]'),
    ({'zoom': float('nan')}, 'zoom must be'),
    ({'fill': 'zeros'}, "Did you mean 'zero'"),
  ],
)
def test_fields_out_of_range_are_refused(fields, message):
  with pytest.raises(errors.UsageError, match=message):
    augment.Augmentation(**fields)


def test_shapes_that_do_not_fit_are_refused():
  images, key = jnp.zeros((2, 4, 6, 1)), jax.random.key(KEY)
  with pytest.raises(ValueError, match=r'index \[b\]'):
    augment.apply(images, key, jnp.arange(3), noise=0.1)
  with pytest.raises(ValueError, match='square'):
    augment.apply(images, key, jnp.arange(2), rotate90=True)
