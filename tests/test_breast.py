"""What of a mammogram is breast, what is muscle, and what is in doubt."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import breast, pectoral


def _half_disc(height=64, width=48, radius=20, row=32):
  """A breast on the left edge: mask of a half disc."""
  rows, columns = np.mgrid[:height, :width]
  return (rows - row) ** 2 + columns**2 <= radius**2


def test_the_mask_finds_the_breast_not_the_label(rng):
  truth = _half_disc()
  image = 0.02 * rng.random((64, 48, 1), np.float32)
  image[truth] += 0.3 + 0.5 * rng.random((truth.sum(), 1), np.float32)
  image[2:10, 36:46] = 1.0  # a label brighter than the breast
  image[28:34, 6:10] = 0.0  # a dark hole inside
  mask = breast.find(image)[0]
  assert mask.dtype == bool and not mask[:14, 34:].any()
  assert mask[28:34, 6:10].all()
  union = (mask | truth).sum()
  assert (mask & truth).sum() / union > 0.85


def test_the_mask_keeps_the_corner_that_the_breast_cuts_off():
  image = np.zeros((64, 64, 1), np.float32)
  image[20:44] = 0.8  # from border to border: above and below stay outside
  mask = breast.find(image)[0]
  assert not mask[:16].any() and not mask[48:].any() and mask[24:40].all()


def test_the_mask_of_a_constant_image_is_empty():
  for value in (0.0, 0.5, 1.0):
    image = np.full((16, 16, 1), value, np.float32)
    mask, doubts = breast.find(image)
    assert not mask.any() and doubts == ('empty',)


def test_tape_that_touches_the_breast_falls_away(rng):
  """A bright strip along the top, hung on the breast by a thin bridge."""
  truth = _half_disc(256, 192, 80, row=150)
  image = 0.02 * rng.random((256, 192, 1), np.float32)
  image[truth] = 0.6
  image[:12, 100:] = 1.0
  image[10:150, 70:72] = 0.9
  mask, doubts = breast.find(image)
  assert not mask[:60].any() and doubts == ()
  assert (mask & truth).sum() / (mask | truth).sum() > 0.93


def test_large_images_have_the_mask_of_their_small_copy(rng):
  small = _half_disc(300, 200, 90, row=150)
  truth = np.kron(small, np.ones((5, 5), bool))
  image = np.where(truth, 0.7, 0.03)[..., None].astype(np.float32)
  mask, _ = breast.find(image)
  assert mask.shape == (1500, 1000)
  assert (mask & truth).sum() / (mask | truth).sum() > 0.96


@pytest.mark.parametrize(
  'boxes, want',
  [
    ([(0, 0, 8, 8)], ('small',)),
    ([(0, 0, 64, 60)], ('large',)),
    ([(0, 20, 64, 40), (20, 0, 40, 64)], ('borders', 'ragged')),
    ([(0, 0, 64, 24), (10, 40, 50, 58)], ('several',)),
    ([(0, 0, 64, 12), (0, 0, 12, 60)], ('ragged',)),
    ([(4, 0, 60, 30)], ()),
  ],
  ids=['small', 'large', 'cross', 'two', 'angle', 'breast'],
)
def test_doubts_say_what_is_wrong(boxes, want):
  image = np.zeros((64, 64, 1), np.float32)
  for top, left, bottom, right in boxes:
    image[top:bottom, left:right] = 0.8
  assert breast.find(image)[1] == want
  assert set(want) <= set(breast.DOUBTS)


def test_the_box_has_a_margin_and_stays_inside():
  mask = np.zeros((50, 40), bool)
  mask[10:30, 0:8] = True
  assert breast.box(mask) == (slice(10, 30), slice(0, 8))
  # A tenth of 20 rows on every side.
  assert breast.box(mask, 0.1) == (slice(8, 32), slice(0, 10))
  assert breast.box(~mask & False) == (slice(0, 50), slice(0, 40))


def test_regions_split_the_image(rng):
  truth = _half_disc(64, 64, 12)
  image = 0.5 + 0.5 * rng.random((64, 64, 3), np.float32)
  assert breast.region(image, truth, 'all') is image
  seen = breast.region(image, truth, 'breast')
  assert np.all(seen[~truth] == 0) and np.all(seen[truth] == image[truth])
  rest = breast.region(image, truth, 'background')
  # Rows 20-44 and columns 0-12, a margin of 4, then quarters of 16.
  assert np.all(rest[16:64, :32] == 0)
  np.testing.assert_array_equal(rest[:16], image[:16])
  np.testing.assert_array_equal(rest[:, 32:], image[:, 32:])


def test_background_does_not_tell_the_silhouette():
  image = np.ones((64, 64, 1), np.float32)
  shapes = [_half_disc(64, 64, radius) for radius in (12, 14, 16, 18, 20)]
  rests = [breast.region(image, mask, 'background') for mask in shapes]
  for rest in rests[1:4]:
    np.testing.assert_array_equal(rest, rests[1])


@pytest.mark.parametrize('size', [4, 7, 30, 33])
def test_background_never_shows_the_breast(size, rng):
  image = np.ones((size, size + 3, 1), np.float32)
  for _ in range(50):
    mask = np.zeros((size, size + 3), bool)
    top, left = rng.integers(0, size), rng.integers(0, size + 3)
    mask[top : top + rng.integers(1, size), left : left + 3] = True
    rest = breast.region(image, mask, 'background')
    assert not rest[mask].any()


@pytest.mark.parametrize('flip', [False, True], ids=['left', 'right'])
def test_the_muscle_is_the_bright_corner_at_the_chest(flip, rng):
  truth = _half_disc(200, 160, 110, row=90)
  down, across = np.mgrid[:200, :160]
  muscle = truth & (across / 70 + down / 120 < 1)
  image = 0.02 * rng.random((200, 160)) + 0.35 * truth + 0.35 * muscle
  image[truth] += 0.1 * rng.random(truth.sum())
  image = image[..., None].astype(np.float32)
  if flip:
    image, muscle = image[:, ::-1], muscle[:, ::-1]
  image = np.ascontiguousarray(image)
  mask, _ = breast.find(image)
  found = pectoral.find(image, mask)
  assert not (found & ~mask).any()
  assert (found & muscle).sum() / (found | muscle).sum() > 0.85


def test_an_even_breast_has_no_muscle():
  truth = _half_disc(200, 160, 110, row=90)
  image = (0.5 * truth)[..., None].astype(np.float32)
  assert not pectoral.find(image, truth).any()
  assert not pectoral.find(image, truth & False).any()


def test_an_unknown_region_is_answered():
  image = np.zeros((4, 4, 1), np.float32)
  with pytest.raises(errors.UsageError, match="Did you mean 'breast'"):
    breast.region(image, np.zeros((4, 4), bool), 'brest')
