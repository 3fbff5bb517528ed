"""The configs of the melanoma experiment, on a few made-up lesions."""

import importlib
import json

import cv2
import numpy as np
import pytest

from mammojax import __main__ as cli
from mammojax.training import train

LESIONS = 30


@pytest.fixture(scope='module')
def table(tmp_path_factory):
  """Two pictures a lesion; every third lesion is malignant, and red."""
  folder = tmp_path_factory.mktemp('lesions')
  rng = np.random.default_rng(0)
  lines = ['path,subject_id,label,split']
  for number in range(2 * LESIONS):
    lesion = number // 2
    is_bad = lesion % 3 == 0
    picture = rng.integers(60, 120, (24, 24, 3)).astype(np.uint8)
    picture[6:18, 6:18, 2 if is_bad else 0] += 100
    cv2.imwrite(str(folder / f'{number}.png'), picture)
    name = ('mel', 'bcc', 'akiec')[lesion // 3 % 3] if is_bad else 'nv'
    split = ('train', 'train', 'validation', 'test')[lesion // 3 % 4]
    lines.append(f'{number}.png,l{lesion:02d},{name},{split}')
  (folder / 'manifest.csv').write_text('\n'.join(lines) + '\n')
  return folder / 'manifest.csv'


def tiny(name, table, **changes):
  """A config of the folder on the table: two steps of small images."""
  config = importlib.import_module(f'configs.melanoma.{name}').get_config()
  config.data.table = str(table)
  config.data.columns.subject = 'subject_id'
  config.data.columns.diagnosis = 'label'
  config.data.positive = ('mel', 'bcc', 'akiec')
  config.data.image_size = 32
  config.sampler.batch_size = 8
  config.sampler.num_threads = 0
  if config.model.head == 'embedding':
    config.model.embedding_dim = 8
  config.train.steps = 2
  config.train.log_every = 1
  config.train.eval_every = 1
  config.train.checkpoint_every = 2
  config.eval.batch_size = 16
  config.eval.draws = 20
  config.eval.examples = 3
  config.parallel.num_devices = 1
  config.logging.tensorboard = False
  config.logging.progress = False
  config.logging.compile_cache = 'off'
  for field, value in changes.items():
    config.update_from_flattened_dict({field.replace('__', '.'): value})
  return config


@pytest.fixture(scope='module')
def classifier(table, tmp_path_factory):
  """The folder of a classifier's run."""
  folder = tmp_path_factory.mktemp('runs') / 'classifier'
  train.run(
    tiny('classifier', table, model__width=4, model__cut='stage1'), folder
  )
  return folder


@pytest.mark.parametrize(
  'name', ['small', pytest.param('adatriplet', marks=pytest.mark.slow)]
)
def test_the_metric_run_is_validated_by_class(table, tmp_path, name):
  results = train.run(
    tiny(name, table, model__width=4, model__cut='stage1'), tmp_path / 'run'
  )
  # Three lesions in a group, two images each; six groups train, two test.
  assert results['counts'] == {
    'subjects': 18 + 6,
    'gallery': 36,
    'queries': 12,
    'queries_without_mate': 0,
  }
  assert results['test']['all']['cmc@1']['n_used'] == 12
  # A cut network maps noise to nearly one point; nothing else may be amiss.
  assert all('collapsed' in warning for warning in results['warnings'])
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  found = [json.loads(line) for line in lines]
  assert [r['step'] for r in found if r['split'] == 'validation'] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize('name', ['full', 'light'])
def test_heavy_configs_take_two_steps(table, tmp_path, name):
  config = tiny(name, table, data__image_size=75)
  results = train.run(config, tmp_path / 'run')
  assert results['baselines']['pixel'] is None
  # Without weights of ImageNet the results say so.
  assert any('from scratch' in warning for warning in results['warnings'])


def test_own_head_says_what_the_run_measured(
  classifier, table, tmp_path, capsys
):
  out = tmp_path / 'malignant'
  command = ['classify', f'--workdir={classifier}', '--head=own', '--draws=20']
  positive = '--positive=mel,bcc,akiec'
  assert cli.main([*command, positive, f'--out={out}']) == 0
  own = json.loads((classifier / 'metrics.json').read_text())['test']['all']
  found = json.loads((out / 'classification.json').read_text())
  assert found['test']['metrics']['auc']['value'] == pytest.approx(
    own['auc']['value']
  )
  assert cli.main([*command, positive, '--balanced', f'--out={out}']) == 0
  found = json.loads((out / 'classification.json').read_text())
  # Four of twelve test images are malignant, and as many of the others stay.
  assert found['images']['test'] | {'subjects': 0} == {
    'positive': 4, 'negative': 4, 'left_out': 0, 'thinned_out': 4,
    'subjects': 0,
  }  # fmt: skip
  assert found['images']['train']['thinned_out'] == 0
  assert found['test']['metrics']['accuracy']['n_used'] == 8
  picture = str(table.with_name('0.png'))
  assert cli.main(['predict', f'--model={out}', picture]) == 0
  said = capsys.readouterr().out.splitlines()[-1]
  assert 0.0 <= float(said.split()[0]) <= 1.0
  assert cli.main([*command, '--positive=mel', f'--out={out}']) == 2
  assert 'another question' in capsys.readouterr().err
  fitted = ['classify', f'--workdir={classifier}', positive, f'--out={out}']
  assert cli.main(fitted) == 2
  assert 'take --head=own' in capsys.readouterr().err
