"""What is inside a phantom: breast, muscle, gland, weight and lesions."""

import numpy as np
import pytest
import small_phantom

from mammojax.data import phantom
from mammojax.data.phantom import anatomy, lesions, projection

SMALL = small_phantom.SMALL


@pytest.fixture
def small():
  return small_phantom.images()


def test_breast_hangs_on_the_chest_wall_and_is_brighter_than_air(small):
  rows = np.arange(len(small.frame))
  breast, lesion = small.masks(rows)
  pixels = small.images(rows)[..., 0]
  share = breast.mean(axis=(1, 2))
  assert np.all((share > 0.15) & (share < 0.7))
  # Mirrored, every breast touches the left edge and never the right one.
  assert np.all(breast[:, 32, 0]) and not np.any(breast[:, :, -1])
  for picture, mask in zip(pixels, breast, strict=True):
    assert np.median(picture[mask]) > 1.5 * np.median(picture[~mask])
  assert not np.any(lesion & ~breast)


def test_muscle_is_seen_in_the_oblique_view_only():
  oblique = projection.maps(SMALL, 0, 'L', 'MLO').muscle
  assert oblique.max() > 0.9
  assert projection.maps(SMALL, 0, 'L', 'CC').muscle.max() == 0.0


def test_gland_turns_to_fat_with_the_years():
  for woman in range(4):
    for side in SMALL.sides:
      share = [
        projection.gland_share(SMALL, woman, side, 'CC', months).mean()
        for months in (0, 24, 96)
      ]
      assert share[0] > share[1] > share[2]
      assert share[2] < 0.95 * share[0]


def test_weight_moves_within_bounds():
  shapes = [anatomy.breast(SMALL, woman, 'L').shape for woman in range(6)]
  sizes = np.array(
    [
      [anatomy.size_at(shape, months) for months in (0, 48, 96)]
      for shape in shapes
    ]
  )
  np.testing.assert_array_equal(sizes[:, 0], 1.0)
  assert np.all(np.abs(sizes - 1.0) < 0.1201)
  assert len(np.unique(sizes[:, 2])) > 1


def test_views_share_depth_and_sides_differ():
  body = anatomy.breast(SMALL, 0, 'L')
  places = [
    projection.Frame(SMALL, body.shape, view).place(body.nodules[:, :3])
    for view in SMALL.views
  ]
  np.testing.assert_array_equal(places[0][:, 0], places[1][:, 0])
  other = anatomy.breast(SMALL, 0, 'R')
  assert not np.isin(body.nodules[:, 0], other.nodules[:, 0]).any()
  # Only the mirrored share of the lobules is common to both sides.
  common = np.isin(body.lobules[0][:, 0], other.lobules[0][:, 0])
  assert common.sum() == round(0.25 * len(common))


def test_lesions_appear_once_and_stay(small):
  table = small.frame
  _, lesion = small.masks(np.arange(len(table)))
  named = (table['diagnosis'] != '').to_numpy()
  assert named.any() and not named.all()
  np.testing.assert_array_equal(lesion.any(axis=(1, 2)), named)
  for _, rows in table.groupby(['subject', 'view']):
    seen = (rows['diagnosis'] != '').to_numpy()
    assert np.all(np.diff(seen.astype(int)) >= 0)
    assert len(set(rows['diagnosis']) - {''}) <= 1
  assert set(table['diagnosis']) <= {'', *lesions.DIAGNOSES}


def test_lesion_rate_is_kept():
  plans = [lesions.plan(0, 0.3, woman, 'L') for woman in range(600)]
  count = sum(plan is not None for plan in plans)
  # Binomial with mean 180 and standard deviation 11.2.
  assert abs(count - 180) < 45
  assert all(lesions.plan(0, 0.0, woman, 'L') is None for woman in range(20))
  kinds = {plan.diagnosis for plan in plans if plan is not None}
  assert kinds == set(lesions.DIAGNOSES)


def test_malignant_masses_have_the_longer_rim():
  grid = projection.Frame(
    phantom.PhantomSpec(), anatomy.breast(SMALL, 0, 'L').shape, 'CC'
  ).grid
  rim = {}
  for name in ('benign_mass', 'malignant_mass'):
    lesion = lesions.Lesion(name, 0.0, (0.5, 0.0, 0.0), 0.04, 0.1, 3)
    _, mark = lesions.draw(lesion, 0.0, np.array([0.4, 0.5]), grid)
    inside = mark > 0.5
    rim[name] = np.abs(np.diff(inside.astype(int))).sum() / inside.sum()
  assert rim['malignant_mass'] > 1.3 * rim['benign_mass']
