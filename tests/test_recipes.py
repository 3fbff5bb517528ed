"""Named steps: their order, their record, and what they refuse."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import recipes, steps

_ALL = (
  'orient', 'pectoral', 'breast_crop', 'window', 'clahe', 'contrast', 'fit',
)  # fmt: skip


@pytest.fixture
def mammogram(rng):
  """A left breast on the left, its muscle, a label; 12 bit."""
  down, across = np.mgrid[:120, :80]
  breast = (down - 60) ** 2 + across**2 <= 50**2
  muscle = breast & (across / 25 + (down - 10) / 60 < 1)
  image = 0.02 * rng.random((120, 80)) + 0.4 * breast + 0.3 * muscle
  image[4:14, 60:76] = 1.0
  return (np.round(image * 4095) / 4095).astype(np.float32)[..., None]


def test_steps_run_in_their_order(mammogram):
  recipe = recipes.Recipe(_ALL, image_size=64)
  seen = dict(recipe.walk(mammogram, 'R', 'MLO'))
  assert tuple(seen) == ('read', *_ALL)
  np.testing.assert_array_equal(seen['read'].image, mammogram)
  np.testing.assert_array_equal(seen['orient'].image, mammogram[:, ::-1])
  assert seen['pectoral'].image[30, -4] == 0.0 < seen['orient'].image[30, -4]
  # The breast spans 101 rows and 51 columns, and 2 of a hundred around it.
  height, width = seen['breast_crop'].image.shape[:2]
  assert abs(height - 105) <= 6 and abs(width - 53) <= 4
  # The label and the noise of the background are gone.
  assert seen['breast_crop'].image.max() < 0.85
  outside = seen['breast_crop'].image[~seen['breast_crop'].mask]
  assert not outside.any() and len(outside)
  assert seen['fit'].image.shape == (64, 64, 1)
  assert seen['fit'].mask.shape == (64, 64)
  assert recipe.run(mammogram, 'R', 'MLO').doubts == ()
  # Another order is another picture.
  other = recipes.Recipe(('contrast', 'fit', 'clahe'), image_size=64)
  assert tuple(dict(other.walk(mammogram))) == (
    'read', 'contrast', 'fit', 'clahe',
  )  # fmt: skip


def test_a_muscle_is_looked_for_on_oblique_views_only(mammogram):
  recipe = recipes.Recipe(('pectoral', 'fit'), image_size=64)
  cranial = recipe.run(mammogram, 'L', 'CC').image
  oblique = recipe.run(mammogram, 'L', 'mlo').image
  plain = recipes.Recipe(('fit',), image_size=64).run(mammogram).image
  np.testing.assert_array_equal(cranial, plain)
  assert (oblique == 0).sum() > (plain == 0).sum() + 20


def test_asking_for_a_mask_changes_no_pixel(mammogram):
  for names in (('window', 'fit'), ('breast_crop', 'window', 'fit')):
    recipe = recipes.Recipe(names, image_size=48)
    plain, asked = (
      recipe.run(mammogram, with_mask=with_mask) for with_mask in (False, True)
    )
    np.testing.assert_array_equal(plain.image, asked.image)
    assert plain.doubts == asked.doubts
    assert asked.mask.any() and not asked.mask.all()


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('from_channels', [1, 3])
@pytest.mark.parametrize('value', [0.0, 1.0])
def test_black_and_white_pass_every_step(channels, from_channels, value):
  image = np.full((40, 30, from_channels), value, np.float32)
  recipe = recipes.Recipe(_ALL, image_size=32, channels=channels)
  done = recipe.run(image, 'R', 'MLO')
  assert done.image.shape == (32, 32, channels)
  assert done.image.dtype == np.float32 and np.isfinite(done.image).all()
  assert 'empty' in done.doubts and set(done.doubts) <= set(steps.DOUBTS)
  if value == 0.0:
    assert 'no_muscle' in done.doubts


def test_the_record_holds_every_step_and_its_options():
  recipe = recipes.Recipe(
    ('breast_crop', 'clahe', 'fit'), image_size=64, margin=0.5, mirror='L'
  )
  assert recipe.record() == [
    {'step': 'read', 'version': recipes.VERSION, 'voi': 'none'},
    {'step': 'channels', 'channels': 1},
    {'step': 'breast_crop', 'margin': 0.5},
    {'step': 'clahe', 'clahe_clip': 2.0, 'clahe_tiles': 8},
    {'step': 'fit', 'image_size': 64, 'fit': 'pad', 'resample': 'area'},
  ]
  text = json.dumps(recipe.record(), sort_keys=True, separators=(',', ':'))
  want = hashlib.sha256(text.encode()).hexdigest()
  assert recipe.identity == want
  # An option of a step that does not run changes no pixel, and no identity.
  same = recipes.Recipe(
    ('breast_crop', 'clahe', 'fit'), image_size=64, margin=0.5,
    contrast_factor=9.0,
  )  # fmt: skip
  assert same.identity == want


@pytest.mark.parametrize(
  'change',
  [
    dict(image_size=32),
    dict(channels=3),
    dict(voi='auto'),
    dict(mirror='L'),
    dict(fit='crop'),
    dict(resample='lanczos'),
    dict(margin=0.1),
    dict(window_low=1.0),
    dict(window_high=99.0),
    dict(clahe_clip=3.0),
    dict(clahe_tiles=4),
    dict(contrast_factor=2.0),
  ],
  ids=lambda change: next(iter(change)),
)
def test_the_identity_changes_with_every_option(change):
  base = recipes.Recipe(_ALL, image_size=64)
  assert recipes.Recipe(_ALL, **{'image_size': 64} | change).identity != (
    base.identity
  )
  assert recipes.Recipe(_ALL, image_size=64).identity == base.identity
  swapped = (*_ALL[:3], 'clahe', 'window', *_ALL[5:])
  assert recipes.Recipe(swapped, image_size=64).identity != base.identity


@pytest.mark.parametrize(
  'names, options, message',
  [
    (('ortient', 'fit'), {}, "Did you mean 'orient'"),
    (('orient',), {}, "lacks 'fit'"),
    ((), {}, "lacks 'fit'"),
    (('fit', 'clahe', 'fit'), {}, r"\['fit'\] twice"),
    (('orient', 'fit'), dict(mirror=''), "Unknown data.mirror ''"),
    (('fit',), dict(fit='crp'), "Did you mean 'crop'"),
    (('fit',), dict(voi='windo'), "Did you mean 'window'"),
    (('fit',), dict(resample='aera'), "Did you mean 'area'"),
    (('fit',), dict(channels=2), 'channels is 2; it must be 1 or 3'),
    (('fit',), dict(image_size=0), 'image_size is 0'),
    (('fit',), dict(margin=-0.1), 'margin is -0.1'),
    (('clahe', 'fit'), dict(clahe_clip=0.0), 'clahe_clip is 0.0.*above 0'),
    (('clahe', 'fit'), dict(clahe_clip=float('nan')), 'clahe_clip is nan'),
    (('clahe', 'fit'), dict(clahe_tiles=0), 'clahe_tiles is 0.*1 to 64'),
    (('clahe', 'fit'), dict(clahe_tiles=65), 'clahe_tiles is 65'),
    (('window', 'fit'), dict(window_low=99.9), 'window_high is 99.5'),
    (('window', 'fit'), dict(window_low=-1.0), 'window_low is -1.0'),
    (('contrast', 'fit'), dict(contrast_factor=-1.0), 'contrast_factor is -1'),
  ],
)
def test_wrong_steps_and_options_are_refused(names, options, message):
  with pytest.raises(errors.UsageError, match=message):
    recipes.Recipe(names, **{'image_size': 32} | options)


@pytest.mark.parametrize(
  'name, column', [('orient', 'laterality'), ('pectoral', 'view')]
)
def test_rows_without_what_a_step_needs_are_listed(name, column):
  recipe = recipes.Recipe((name, 'fit'), image_size=32)
  frame = pd.DataFrame({'item': ['a', 'b\x1b', 'c'], 'row': [2, 3, 4]})
  with pytest.raises(errors.DataError, match='3 of 3 images lack'):
    recipe.check(frame)
  frame[column] = ['L', '', 'R']
  with pytest.raises(errors.DataError) as caught:
    recipe.check(frame)
  text = str(caught.value)
  assert f'goes by the {column}, which 1 of 3' in text
  assert r"row 3: 'b\x1b'" in text and "data.steps=('fit',)" in text
  recipe.check(frame[frame[column] != ''])
  recipes.Recipe(('fit',), image_size=32).check(frame)
