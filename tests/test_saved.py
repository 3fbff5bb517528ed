"""The saved config of a run, and runs of other versions."""

import json

import pytest

from mammojax import errors
from mammojax.training import saved


def test_a_field_that_another_version_lacked_is_named(tmp_path):
  (tmp_path / 'config.json').write_text(
    json.dumps({'data': {'image_size': 32}, 'seed': 3})
  )
  with saved.understood(tmp_path):
    config = saved.config(tmp_path)
    assert config.data.image_size == 32
  with (
    pytest.raises(errors.DataError, match=r"config\.json.*'positive'"),
    saved.understood(tmp_path),
  ):
    config.data.positive  # noqa: B018


def test_faults_of_the_code_are_not_called_another_version(tmp_path):
  with (
    pytest.raises(AttributeError, match='no_such_method'),
    saved.understood(tmp_path),
  ):
    [].no_such_method()


def test_a_folder_without_a_run_is_named(tmp_path):
  with pytest.raises(
    errors.UsageError, match=r'no folder of a run.*config\.json'
  ):
    saved.config(tmp_path)
  (tmp_path / 'config.json').write_text('[1]')
  with pytest.raises(errors.DataError, match='no config'):
    saved.config(tmp_path)
