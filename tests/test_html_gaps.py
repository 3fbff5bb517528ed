"""The page is there in spite of missing and damaged files."""

import json

import made_up_run
import numpy as np
import pytest
import report_page

from mammojax import errors
from mammojax.report import html, reading


@pytest.fixture
def bare(tmp_path):
  """A workdir with metrics.json alone, and no years in it."""
  (tmp_path / 'metrics.json').write_text(
    json.dumps(report_page.without_years())
  )
  return tmp_path


def test_gaps_are_said_in_sentences(bare):
  text = report_page.Page(html.write(bare)).text
  for sentence in (
    'metrics.jsonl is not in the workdir, so there are no curves.',
    'evaluation.npz is not in the workdir',
    'There are no results by year',
    'breast masked out was not measured',
    'The command was not recorded.',
    'config.json is not in the workdir.',
    'environment.json is not in the workdir.',
  ):
    assert sentence in text
  assert not (bare / 'figures').exists()


def test_damaged_side_files_are_said_in_sentences(bare):
  (bare / 'evaluation.npz').write_bytes(b'PK\x03\x04 cut')
  (bare / 'config.json').write_text('{"a": ')
  (bare / 'environment.json').write_text('[]')
  (bare / 'metrics.jsonl').write_bytes(b'\xff\xfe')
  text = report_page.Page(html.write(bare)).text
  for name in ('evaluation.npz', 'config.json', 'metrics.jsonl'):
    assert f'{name} cannot be read' in text
  assert 'environment.json does not hold a table' in text


def test_arrays_of_objects_are_not_unpickled(bare):
  array = np.array([{'a': 1}], object)
  np.savez(bare / 'evaluation.npz', distance_edges=array)
  assert (
    'evaluation.npz cannot be read' in report_page.Page(html.write(bare)).text
  )


@pytest.mark.parametrize(
  'argv, want',
  [
    (['main.py', '--config=a b.py'], "python main.py '--config=a b.py'"),
    (['/x/mammojax/__main__.py', 'train'], 'python -m mammojax train'),
    (['bin/mammojax', 'train'], 'bin/mammojax train'),
  ],
)
def test_command_is_shown_as_it_was_typed(bare, argv, want):
  (bare / 'environment.json').write_text(json.dumps({'command': argv}))
  assert want in report_page.Page(html.write(bare)).text


@pytest.mark.parametrize('name', ['mated_counts', 'example_hit_names'])
def test_arrays_of_unlike_lengths_are_said_in_a_sentence(bare, rng, name):
  arrays = made_up_run.evaluation(rng)
  arrays[name] = arrays[name][:-1]
  np.savez(bare / 'evaluation.npz', **arrays)
  assert 'arrays of unlike lengths' in report_page.Page(html.write(bare)).text


def test_figure_of_an_earlier_report_is_removed(bare):
  old = bare / 'figures' / 'loss.svg'
  old.parent.mkdir()
  old.write_text('old')
  html.write(bare)
  assert not old.exists()


def test_history_keeps_the_later_of_two_records_and_counts_torn_lines(bare):
  lines = [
    '{"step": 20, "split": "train", "loss": 3}',
    '{"step": 10, "split": "train", "loss": 1}',
    '{"step": 10, "split": "train", "loss": 2}',
    '{"step": "x", "split": "train"}',
    '{"step": 30, "spl',
  ]
  (bare / 'metrics.jsonl').write_text('\n'.join(lines))
  history, note = reading.history(bare)
  assert [r['loss'] for r in history['train']] == [2, 3]
  assert note.startswith('2 lines')
  assert note in report_page.Page(html.write(bare)).text


def test_missing_metrics_name_the_file_and_what_to_do(tmp_path):
  with pytest.raises(errors.DataError, match=r'metrics.json.*Let the training'):
    html.write(tmp_path)


@pytest.mark.parametrize(
  'content, why',
  [
    ('{"test": ', 'cannot be read as JSON'),
    ('[]', "no table 'test'"),
    ('{"test": {"all": {}}}', 'test / all / map / value is missing'),
    ('{"test": {"all": {"map": {"value": NaN}}}}', 'value is missing'),
    ('{"test": {"all": {"map": {"value": 84.3}}}}', '84.3, not a fraction'),
    ('{"test": {"all": {"map": 0.8}}}', "'map' is not a table"),
    ('{"test": {}, "warnings": [1]}', "'warnings' is not a list"),
    ('{"test": {}, "baselines": [1]}', "'baselines' is not a table"),
  ],
)
def test_damaged_metrics_name_the_file_and_the_fault(tmp_path, content, why):
  (tmp_path / 'metrics.json').write_text(content)
  with pytest.raises(errors.DataError) as caught:
    html.write(tmp_path)
  message = str(caught.value)
  assert why in message and 'metrics.json' in message
  assert 'run the training command again' in message
  assert not (tmp_path / 'report.html').exists()
