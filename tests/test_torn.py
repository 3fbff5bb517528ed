"""Published splits that are torn: refused, or gone on with and stamped."""

import json

import cv2
import numpy as np
import pytest
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import classify
from mammojax.data import torn
from mammojax.training import inputs


@pytest.fixture
def table(tmp_path, rng):
  """Two pictures of each of 40 subjects; s1 has one in train, one in test."""
  lines = ['path,subject,diagnosis,split']
  for number in range(80):
    subject = number // 2
    picture = rng.integers(0, 256, (32, 32)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / f'{number}.png'), picture)
    split = ('train', 'train', 'validation', 'test')[subject % 4]
    split = 'test' if number == 3 else split
    diagnosis = 'mel' if subject % 8 < 4 else 'nv'
    lines.append(f'{number}.png,s{subject},{diagnosis},{split}')
  path = tmp_path / 'table.csv'
  path.write_text('\n'.join(lines) + '\n')
  return path


def config(cache, table, **fields):
  return tiny.config(
    cache,
    data__source='table',
    data__table=str(table),
    data__steps=('fit',),
    eval__gallery='first_image',
    eval__masked_baseline=False,
    sampler__images_per_subject=2,
    train__steps=2,
    train__eval_every=2,
    **fields,
  )


def test_a_torn_split_is_refused_unless_it_is_to_be_stamped(table, cache):
  with pytest.raises(errors.IntegrityError, match="'s1' is in train"):
    inputs.image_set(config(cache, table))
  frame = inputs.image_set(config(cache, table, data__on_leak='stamp')).frame
  assert len(frame) == 80
  assert torn.leaks(frame) == {'s1': {'train': [4], 'test': [5]}}
  (remark,) = torn.remarks(frame)
  assert remark.startswith('LEAK: 1 subjects') and "'s1'" in remark
  assert torn.remarks(frame[frame['subject'] != 's1']) == []
  with pytest.raises(errors.UsageError, match="mean 'stamp'"):
    inputs.image_set(config(cache, table, data__on_leak='stamps'))


def test_what_else_is_wrong_is_refused_all_the_same(table, cache):
  table.write_text(table.read_text().replace('s3,mel,test', ',mel,test'))
  with pytest.raises(errors.DataError, match='subject is empty') as caught:
    inputs.image_set(config(cache, table, data__on_leak='stamp'))
  assert 'more than one split' not in str(caught.value)


def test_no_classifier_is_measured_on_a_torn_split(rng):
  subjects = np.array(['a', 'b', 'a', 'c'])
  splits = np.array(['train', 'train', 'test', 'validation'])
  with pytest.raises(errors.IntegrityError, match="two splits, as 'a'"):
    classify.run(rng.normal(size=(4, 2)), subjects == 'a', subjects, splits)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:the load_module')
def test_everything_that_such_a_run_writes_is_stamped(
  table, cache, tmp_path, capsys, caplog
):
  file = tmp_path / 'config.py'
  text = json.dumps(config(cache, table).to_dict())
  file.write_text(
    'import json\nimport ml_collections\n\n\ndef get_config():\n'
    f'  return ml_collections.ConfigDict(json.loads({text!r}))\n'
  )
  run = tmp_path / 'run'
  given = ['train', f'--config={file}', f'--workdir={run}']
  assert cli.main(given) == 4
  assert not (run / 'metrics.json').exists()
  assert cli.main([*given, '--config.data.on_leak=stamp']) == 0
  assert 'LEAK  Test results' in capsys.readouterr().out
  # Already when the run begins.
  assert 'LEAK: 1 subjects' in caplog.text
  assert 'LEAK: ' in (run / 'report.html').read_text('utf-8')
  figures = list((run / 'figures').glob('*.svg'))
  assert figures
  assert all('<!-- LEAK -->' in file.read_text() for file in figures)
  assert cli.main(['examine', f'--workdir={run}', f'--out={run}_e']) == 4
  assert "'s1' is in train" in capsys.readouterr().err
