"""Phantom mammograms: determinism, anatomy, regions, cache, refusals."""

import hashlib
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import phantom
from mammojax.data.phantom import anatomy, cache, exposure, lesions, projection

SMALL = phantom.PhantomSpec(
  train_women=3,
  validation_women=1,
  test_women=2,
  image_size=64,
  visits_months=(0, 48, 96),
  lesion_rate=1.0,
)
TINY = phantom.PhantomSpec(
  train_women=1,
  validation_women=0,
  test_women=1,
  image_size=32,
  visits_months=(0, 12),
)


def _digest(spec, order):
  """SHA-256 of some images, rendered in an order, hashed sorted by name."""
  shots = {
    key: phantom.render(spec, *key).image.tobytes() for key in list(order)
  }
  joined = b''.join(shots[key] for key in sorted(shots))
  return hashlib.sha256(joined).hexdigest()


def _keys(spec):
  return [
    (woman, side, view, months)
    for woman in range(2)
    for side in spec.sides
    for view in spec.views
    for months in spec.visits_months
  ]


@pytest.fixture(scope='module')
def small():
  return phantom.PhantomImages(SMALL, workers=1)


def test_render_is_equal_in_any_order_and_process():
  keys = _keys(TINY)
  want = _digest(TINY, keys)
  projection.maps.cache_clear()
  anatomy.breast.cache_clear()
  assert _digest(TINY, reversed(keys)) == want
  code = (
    'import hashlib\n'
    'from mammojax.data import phantom\n'
    'spec = phantom.PhantomSpec(1, 0, 1, 32, visits_months=(0, 12))\n'
    'keys = [(w, s, v, m) for w in range(2) for s in spec.sides\n'
    '        for v in spec.views for m in spec.visits_months]\n'
    'raw = b"".join(phantom.render(spec, *k).image.tobytes()\n'
    '               for k in sorted(keys))\n'
    'print(hashlib.sha256(raw).hexdigest())\n'
  )
  path = os.pathsep.join(filter(None, sys.path))
  done = subprocess.run(
    [sys.executable, '-c', code],
    env={**os.environ, 'PYTHONPATH': path},
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.strip() == want


def test_seed_side_view_visit_and_woman_change_the_image():
  base = (0, 'L', 'CC', 0)
  others = [(1, 'L', 'CC', 0), (0, 'R', 'CC', 0), (0, 'L', 'MLO', 0)]
  others.append((0, 'L', 'CC', 12))
  first = phantom.render(TINY, *base).image
  for other in others:
    assert np.any(phantom.render(TINY, *other).image != first)
  reseeded = phantom.PhantomSpec(1, 0, 1, 32, visits_months=(0, 12), seed=1)
  assert np.any(phantom.render(reseeded, *base).image != first)


def test_more_training_women_leave_test_women_alone():
  larger = phantom.PhantomSpec(9, 0, 1, 32, visits_months=(0, 12))
  key = (0, 'L', 'MLO', 12)
  same = phantom.render(larger, *key).image == phantom.render(TINY, *key).image
  assert np.all(same)


def test_images_use_sixteen_bits(small):
  shot = phantom.render(SMALL, 0, 'L', 'CC', 0)
  assert shot.image.dtype == np.uint16
  assert shot.image.shape == (64, 64)
  pixels = small.images(np.arange(len(small.frame)))
  assert pixels.dtype == np.float32
  assert pixels.shape == (len(small.frame), 64, 64, 1)
  assert 0.0 <= pixels.min() < 0.02 and 0.9 < pixels.max() <= 1.0
  # Far more grey levels than 8 bits could give.
  assert len(np.unique(shot.image)) > 1000


def test_render_and_images_agree(small):
  for row in (0, 7, 11):
    line = small.frame.iloc[row]
    shot = phantom.render(
      SMALL, line.woman, line.laterality, line['view'], line.visit_months
    )
    want = shot.image.astype(np.float64) / 65535
    want = want[:, ::-1] if line.laterality == 'R' else want
    got = small.images(np.array([row]))[0, :, :, 0]
    np.testing.assert_allclose(got, want, atol=1e-6)


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


def test_exposure_is_drawn_without_the_woman():
  """Shots of one identity are as far apart as shots of two."""
  shots = np.array(
    [
      [
        (lambda s: [*s.shift, s.angle, s.gain, s.gamma, s.veil, s.noise])(
          exposure.draw(
            TINY, exposure.generator(TINY, woman, side, view, months)
          )
        )
        for side in 'LR'
        for view in ('CC', 'MLO')
        for months in range(0, 120, 12)
      ]
      for woman in range(30)
    ]
  )
  spread = shots.reshape(-1, 7).std(axis=0)
  shots = shots / spread
  # One-way analysis: variance of the women's means is 1 / 40 by chance alone.
  between = shots.mean(axis=1).var(axis=0, ddof=1) * shots.shape[1]
  assert np.all((between > 0.4) & (between < 1.9))


def test_every_image_has_its_own_exposure():
  shifts = {
    tuple(
      exposure.draw(
        TINY, exposure.generator(TINY, woman, side, view, months)
      ).shift
    )
    for woman, side, view, months in _keys(TINY)
  }
  assert len(shifts) == len(_keys(TINY)) == 16


def test_breast_is_cut_off_at_its_reach(monkeypatch):
  """The reach holds by force, not by luck: here it is drawn far too near."""
  monkeypatch.setattr(exposure, 'REACH', 0.3)
  # A size of its own, as the reach of a size is computed once.
  spec = phantom.PhantomSpec(0, 0, 1, 48)
  away = exposure.outside_reach(48)
  for view in spec.views:
    shot = phantom.render(spec, 0, 'L', view, 0)
    assert shot.breast_mask.any()
    assert not np.any(shot.breast_mask & away)


def test_background_of_an_image_is_a_function_of_the_exposure_alone(small):
  """Another woman under the same exposure leaves the background as it is."""
  away = exposure.outside_reach(64)
  spec = SMALL
  films = []
  for woman in range(3):
    rng = exposure.generator(spec, 0, 'L', 'CC', 0)
    shot = exposure.draw(spec, rng)
    lasting = projection.maps(spec, woman, 'L', 'CC')
    points = exposure.sample_points(spec, shot, 1.0)
    breast = exposure.cut(lasting.breast, points) * ~away
    bright = exposure.cut(projection.tissue(spec, woman, 'L', 'CC', 0), points)
    films.append(exposure.develop(spec, shot, bright, breast, rng))
  assert np.any(films[0] != films[1])
  for film in films[1:]:
    np.testing.assert_array_equal(film[away], films[0][away])


def test_regions(small):
  rows = np.arange(len(small.frame))
  everything = small.images(rows)
  breast, _ = small.masks(rows)
  inner = small.images(rows, 'breast')[..., 0]
  np.testing.assert_array_equal(inner, everything[..., 0] * breast)
  outer = small.images(rows, 'background')[..., 0]
  away = exposure.outside_reach(64)
  np.testing.assert_array_equal(outer, everything[..., 0] * away)
  # One region for all images: no silhouette, and no breast in it.
  assert 0.1 < away.mean() < 0.4
  assert not np.any(breast & away)
  with pytest.raises(errors.DataError, match='region'):
    small.images(rows, 'nipple')


def test_mirror_turns_one_side_only():
  plain = phantom.PhantomImages(TINY, mirror='', workers=1)
  turned = phantom.PhantomImages(TINY, mirror='R', workers=1)
  right = (plain.frame['laterality'] == 'R').to_numpy()
  rows = np.arange(len(right))
  for region in ('all', 'breast', 'background'):
    a, b = plain.images(rows, region), turned.images(rows, region)
    np.testing.assert_array_equal(a[~right], b[~right])
    np.testing.assert_array_equal(a[right], b[right][:, :, ::-1])


def test_frame_columns_and_splits():
  table = phantom.frame(SMALL)
  assert len(table) == 6 * 2 * 2 * 3
  assert table['item'].is_unique
  assert table.groupby('woman')['split'].nunique().eq(1).all()
  assert table.groupby('subject')['split'].nunique().eq(1).all()
  women = table.groupby('split')['woman'].nunique().to_dict()
  assert women == {'train': 3, 'validation': 1, 'test': 2}
  assert table['subject'].iloc[0] == 'woman0000-L'
  assert set(table['visit_months']) == {0.0, 48.0, 96.0}
  assert table['subject'].nunique() == 12
  whole = phantom.frame(
    phantom.PhantomSpec(3, 1, 2, 64, identity='woman', lesion_rate=1.0)
  )
  assert whole['subject'].nunique() == 6


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


def test_workers_make_the_same_images(small):
  many = phantom.PhantomImages(SMALL, workers=2)
  rows = np.arange(len(many.frame))
  np.testing.assert_array_equal(many.images(rows), small.images(rows))


def _only(folder):
  (found,) = list(folder.iterdir())
  return found


def test_cache_is_private_reused_and_named_by_spec(tmp_path, monkeypatch):
  root = tmp_path / 'a b'
  first = phantom.PhantomImages(TINY, root, workers=1)
  folder = _only(root)
  assert folder.name == cache.folder_name(TINY)
  assert stat.S_IMODE(folder.stat().st_mode) == 0o700
  assert {p.name for p in folder.iterdir()} == {*cache.FILES, 'sums.json'}
  for path in folder.iterdir():
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
  second = phantom.PhantomImages(TINY, root, workers=1)
  assert {p: p.stat().st_mtime_ns for p in folder.iterdir()} == stamps
  rows = np.arange(len(first.frame))
  memory = phantom.PhantomImages(TINY, workers=1)
  for other in (first, second):
    np.testing.assert_array_equal(other.images(rows), memory.images(rows))
    for got, want in zip(other.masks(rows), memory.masks(rows), strict=True):
      np.testing.assert_array_equal(got, want)
  before = cache.folder_name(TINY)
  monkeypatch.setattr(phantom.spec, 'PHANTOM_VERSION', 999)
  assert cache.folder_name(TINY) != before


def _flip_bit(folder):
  path = folder / 'images.npy'
  raw = bytearray(path.read_bytes())
  raw[-100] ^= 1
  path.write_bytes(raw)


def _cut_short(folder):
  path = folder / 'masks.npy'
  path.write_bytes(path.read_bytes()[:-50])


def _lose_sums(folder):
  (folder / 'sums.json').unlink()


def _foreign_sums(folder):
  (folder / 'sums.json').write_text(json.dumps([1]))


@pytest.mark.parametrize(
  'damage', [_flip_bit, _cut_short, _lose_sums, _foreign_sums]
)
def test_damaged_cache_is_rendered_again(tmp_path, caplog, damage):
  whole = phantom.PhantomImages(TINY, tmp_path, workers=1)
  rows = np.arange(len(whole.frame))
  want = whole.images(rows)
  damage(_only(tmp_path))
  again = phantom.PhantomImages(TINY, tmp_path, workers=1)
  assert 'rendering it again' in caplog.text
  np.testing.assert_array_equal(again.images(rows), want)
  assert _only(tmp_path).name == cache.folder_name(TINY)
  caplog.clear()
  phantom.PhantomImages(TINY, tmp_path, workers=1)
  assert not caplog.text


def test_interrupted_cache_leaves_nothing(tmp_path):
  def fill(images, masks):
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    cache.open_or_make(TINY, tmp_path, ((2, 4, 4), (2, 2, 2)), fill)
  assert not list(tmp_path.iterdir())


def test_cache_that_cannot_be_written_is_a_resource_error(tmp_path):
  blocked = tmp_path / 'file'
  blocked.write_text('x')
  with pytest.raises(errors.ResourceError, match='cache'):
    phantom.PhantomImages(TINY, blocked / 'cache', workers=1)


def test_rows_out_of_range_are_refused(small):
  for rows in ([-1], [len(small.frame)]):
    with pytest.raises(errors.DataError, match='rows'):
      small.images(np.array(rows))
    with pytest.raises(errors.DataError, match='rows'):
      small.masks(np.array(rows))
  assert small.images(np.array([], np.int64)).shape == (0, 64, 64, 1)


@pytest.mark.parametrize(
  'fields',
  [
    {'train_women': -1},
    {'train_women': 1.5},
    {'train_women': 0, 'validation_women': 0, 'test_women': 0},
    {'image_size': 8},
    {'seed': -1},
    {'seed': True},
    {'sides': ()},
    {'sides': ('L', 'L')},
    {'sides': ('left',)},
    {'views': ('CC', 'ML0')},
    {'visits_months': ()},
    {'visits_months': (12, 0)},
    {'visits_months': (-1, 0)},
    {'visits_months': (0, float('nan'))},
    {'visits_months': ('0',)},
    {'identity': 'person'},
    {'lesion_rate': 1.1},
    {'lesion_rate': float('nan')},
    {'noise': -0.1},
    {'warp': 'much'},
    {'view_agreement': 2.0},
  ],
  ids=str,
)
def test_bad_spec_is_a_usage_error(fields):
  with pytest.raises(errors.UsageError, match=next(iter(fields))[:5]):
    phantom.PhantomSpec(**fields)


def test_bad_render_request_is_a_usage_error():
  for key in (
    (2, 'L', 'CC', 0),
    (-1, 'L', 'CC', 0),
    (0, 'X', 'CC', 0),
    (0, 'L', 'LM', 0),
    (0, 'L', 'CC', 13),
  ):
    with pytest.raises(errors.UsageError):
      phantom.render(TINY, *key)
  with pytest.raises(errors.UsageError, match='mirror'):
    phantom.PhantomImages(TINY, mirror='left', workers=1)
