"""The experiments of 2021 on patches: every config and row takes two steps."""

import importlib
import pathlib

import numpy as np
import patches
import pytest

from configs import published
from mammojax.apps import sweep_plan
from mammojax.training import folds, networks

FOLDER = pathlib.Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(
  path.stem for path in (FOLDER / 'cbis').glob('*.py') if path.stem[0] != '_'
)
SWEEPS = sorted(path.stem for path in (FOLDER / 'sweeps').glob('cbis_*.py'))
# The smallest sides that networks take.
SIDES = {'patch_net': 46, 'vgg16': 32, 'inception_v3': 75}


def get(name):
  return importlib.import_module(f'configs.{name}').get_config()


def shrunk(config, tmp_path, cache):
  """The config on a few small patches, for two steps."""
  task = 'pairs' if config.model.head == 'siamese' else 'mass_calcification'
  if 'malignant' in config.data.positive:
    task = 'benign_malignant'
  side = SIDES[config.model.name]
  config.data.table = str(patches.table(tmp_path / 'arrays', task, side=20))
  config.data.image_size = side
  config.sampler.batch_size = 4
  config.sampler.num_threads = 0
  if config.model.name != 'inception_v3':
    config.model.width = 2
  config.model.hidden = tuple(4 for _ in config.model.hidden)
  config.train.steps = 2
  config.train.eval_every = config.train.checkpoint_every = 2
  config.train.log_every = 1
  config.eval.batch_size = 8
  config.eval.draws = 10
  config.parallel.num_devices = 1
  if config.data.num_folds:
    config.data.num_folds = 2
  config.logging.tensorboard = config.logging.progress = False
  config.logging.compile_cache = 'off'
  return config


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(
      name,
      marks=[pytest.mark.slow] if 'inception' in name or 'vgg' in name else [],
    )
    for name in CONFIGS
  ],
)
def test_a_config_takes_two_steps(name, tmp_path, cache):
  config = shrunk(get(f'cbis.{name}'), tmp_path, cache)
  found = folds.run(config, tmp_path / 'run')
  assert found['kind'] == 'classification'
  assert np.isfinite(found['test']['all']['log_loss']['value'])
  # Without weights nothing stands still, and the results say so.
  assert networks.frozen(config) == ()
  is_said = any('from scratch' in text for text in found['warnings'])
  assert is_said == bool(config.optim.freeze_pretrained)


@pytest.mark.parametrize('name', SWEEPS)
def test_every_row_is_a_config_that_fits(name):
  path = FOLDER / 'sweeps' / f'{name}.py'
  config = get(f'sweeps.{name}')
  plan = sweep_plan.read(path, config)
  runs = sweep_plan.runs(plan, config, get(f'sweeps.{name}'))
  seen = [
    str({k: v for k, v in run.config.items() if k != 'seed'})
    for run in runs
    if run.seed == 0
  ]
  assert len(set(seen)) == len(plan.rows), 'two rows are the same'
  for row in plan.rows:
    one = sweep_plan.resolved(config, row.settings[0].overrides, row.name)
    networks.check_head(one)
    networks.model(one, mean=(0.5,), std=(0.2,), axis_name=None)
  if plan.published:
    best = max(cells['all']['accuracy'][0] for cells in plan.published.values())
    assert 50 < best < 100


def test_every_published_table_has_its_sweep():
  used = [
    importlib.import_module(f'configs.sweeps.{name}')
    .get_sweep()
    .get('published')
    for name in SWEEPS
  ]
  for table in published.CBIS.values():
    assert any(found is table for found in used)
  # Of 43 rows in eight tables the source leaves two empty.
  assert sum(len(table) for table in published.CBIS.values()) == 43 - 2


def test_best_rows_are_the_configs():
  for sweep, row, config in (
    ('cbis_scratch', 'SCRATCH_6', 'scratch'),
    ('cbis_vgg16', 'VGG16_V5', 'vgg16'),
    ('cbis_inception', 'INCEPTION_3', 'inception'),
    ('cbis_siamese', 'SIAMESE_5', 'siamese'),
    ('cbis_benign_malignant', 'SCRATCH_BM_V6', 'benign_malignant'),
  ):
    module = importlib.import_module(f'configs.sweeps.{sweep}')
    assert module.get_sweep()['rows'][row] == {}
    assert module.get_config() == get(f'cbis.{config}')
