"""The record of what a network saw, and what happens when it differs."""

import json
import logging

import pytest
import tiny

from mammojax import errors
from mammojax.data import recipes
from mammojax.models import conventions
from mammojax.training import inputs, preparation


def _record(names=('fit',), mean=0.5, **options):
  recipe = recipes.Recipe(names, image_size=32, **options)
  return preparation.record(recipe, conventions.Scaling((mean,), (0.25,), ()))


def test_a_record_is_kept_and_compared(tmp_path):
  preparation.keep(tmp_path, _record(), writes=False)
  assert not (tmp_path / preparation.FILE).exists()
  preparation.keep(tmp_path, _record())
  saved = json.loads((tmp_path / preparation.FILE).read_text())
  recipe = recipes.Recipe(('fit',), image_size=32)
  assert saved['preprocess_id'] == recipe.identity
  assert saved['steps'] == recipe.record()
  assert saved['input'] == {'mean': [0.5], 'std': [0.25], 'order': []}
  preparation.keep(tmp_path, _record())
  for other, field in (
    (_record(('clahe', 'fit')), 'clahe.clahe_clip'),
    (_record(fit='crop'), 'fit.fit'),
    (_record(mean=0.4), 'input.mean'),
  ):
    with pytest.raises(errors.IntegrityError) as caught:
      preparation.keep(tmp_path, other)
    assert field in str(caught.value) and 'otherwise' in str(caught.value)


def test_a_network_of_other_images_is_refused(tmp_path, caplog):
  preparation.keep(tmp_path, _record(('contrast', 'fit'), mean=0.1))
  theirs = preparation.of_run(tmp_path)
  recipe = recipes.Recipe(('fit',), image_size=32)
  for fitting in ({}, preparation.of_run(tmp_path / 'none'), _record(mean=0.1)):
    # Means are measured on each run's own images.
    preparation.check_origin(fitting, recipe, 'x', allow=False)
  with pytest.raises(errors.IntegrityError) as caught:
    preparation.check_origin(theirs, recipe, 'runs/x', allow=False)
  assert 'contrast.contrast_factor' in str(caught.value)
  assert 'input.mean' not in str(caught.value)
  assert not caplog.text
  with caplog.at_level(logging.WARNING):
    preparation.check_origin(theirs, recipe, 'runs/x', allow=True)
  assert 'contrast.contrast_factor' in caplog.text


@pytest.mark.parametrize(
  'damaged', [{'a': 1}, {'preprocess_id': 3}, [1]], ids=str
)
def test_a_damaged_record_is_told(damaged):
  recipe = recipes.Recipe(('fit',), image_size=32)
  with pytest.raises(errors.DataError, match=r'runs/x.*damaged'):
    preparation.check_origin(damaged, recipe, 'runs/x', allow=False)


def test_phantoms_take_no_other_steps(tmp_path):
  config = tiny.config(tmp_path)
  assert inputs.recipe(config).names == ('orient', 'fit')
  config.data.steps = ('orient', 'clahe', 'fit')
  with pytest.raises(errors.UsageError, match=r"\['clahe'\], and phantoms"):
    inputs.recipe(config)


@pytest.mark.parametrize('name', sorted(conventions.PUBLISHED))
def test_a_published_input_is_not_measured(tmp_path, name):
  config = tiny.config(tmp_path, data__input=name, data__channels=3)
  got = inputs.scaling(config, None, [])
  assert got == conventions.PUBLISHED[name]
  config.data.channels = 1
  with pytest.raises(errors.UsageError, match=r'data\.channels'):
    inputs.scaling(config, None, [])
