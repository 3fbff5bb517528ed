"""Phantom mammograms: determinism, table, images, refusals."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import small_phantom

from mammojax import errors
from mammojax.data import phantom
from mammojax.data.phantom import anatomy, projection

SMALL = small_phantom.SMALL
TINY = small_phantom.TINY


def _digest(spec, order):
  """SHA-256 of some images, rendered in an order, hashed sorted by name."""
  shots = {
    key: phantom.render(spec, *key).image.tobytes() for key in list(order)
  }
  joined = b''.join(shots[key] for key in sorted(shots))
  return hashlib.sha256(joined).hexdigest()


@pytest.fixture
def small():
  return small_phantom.images()


def test_render_is_equal_in_any_order_and_process():
  keys = small_phantom.keys(TINY)
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


def test_workers_make_the_same_images(small):
  many = phantom.PhantomImages(SMALL, workers=2)
  rows = np.arange(len(many.frame))
  np.testing.assert_array_equal(many.images(rows), small.images(rows))


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
