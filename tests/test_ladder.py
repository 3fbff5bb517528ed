"""The rungs of the ladder on made-up idx files, from the table to the page."""

import importlib
import json
import stat

import idx_files
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from configs.sweeps import ladder
from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import sweep_plan
from mammojax.data import splits
from mammojax.training import networks, objectives, train

RUNGS = (
  'classifier', 'siamese', 'contrastive', 'triplet_random', 'triplet_mined',
)  # fmt: skip


@pytest.fixture(scope='module')
def table(tmp_path_factory):
  """The table of made-up idx files in the layout of MNIST."""
  root = tmp_path_factory.mktemp('idx')
  rng = np.random.default_rng(3)
  idx_files.write(root, rng, counts=(1000, 120), shape=(28, 28))
  out = root / 'digits.csv'
  command = ['catalog', 'mnist', f'--root={root}', '--identity=class']
  assert cli.main([*command, f'--out={out}']) == 0
  return out


def _config(name, table, **changes):
  """A rung with a narrow network and two steps."""
  config = importlib.import_module(f'configs.ladder.{name}').get_config()
  config.data.table = str(table)
  config.model.width = 2
  config.sampler.batch_size = 24
  config.sampler.num_threads = 0
  config.optim.warmup_steps = 1
  config.train.steps = 2
  config.train.log_every = 1
  config.train.eval_every = 2
  config.train.checkpoint_every = 2
  config.eval.gallery_images = 2
  config.eval.draws = 20
  config.eval.examples = 2
  config.parallel.num_devices = 1
  config.logging.tensorboard = False
  config.logging.progress = False
  config.logging.compile_cache = 'off'
  for field, value in changes.items():
    node, _, last = field.partition('__')
    config[node][last] = value
  return config


@pytest.fixture(scope='module')
def siamese(table, tmp_path_factory):
  """A Siamese run that has not seen two digits."""
  folder = tmp_path_factory.mktemp('siamese') / 'run'
  train.run(_config('siamese', table, data__held_out=('2', '7')), folder)
  return folder


@pytest.mark.parametrize(
  'name',
  [
    'classifier',
    'triplet_mined',
    pytest.param('contrastive', marks=pytest.mark.slow),
    pytest.param('triplet_random', marks=pytest.mark.slow),
  ],
)
def test_two_steps_of_a_rung(name, table, tmp_path):
  results = train.run(_config(name, table), tmp_path / 'run')
  lines = (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  records = [json.loads(line) for line in lines]
  losses = [record.get('loss') for record in records]
  # A loss that follows no margin logs none.
  trained = [record for record in records if record.get('split') == 'train']
  assert trained
  for record in trained:
    assert ('margin' in record) == name.startswith('triplet')
    assert 'beta' not in record
  assert all(np.isfinite(loss) for loss in losses if loss is not None)
  assert results['steps'] == 2
  # Of the test images of ten classes, two each are the gallery.
  assert results['counts']['gallery'] == 20
  assert results['counts']['queries'] == 100


@pytest.mark.parametrize('name', RUNGS)
@pytest.mark.parametrize('size', [2, 32, 128])
def test_a_rung_has_the_backbone_of_the_source(name, size):
  config = importlib.import_module(f'configs.ladder.{name}').get_config()
  config.model.embedding_dim = size
  model = networks.model(config, mean=(0.5,), std=(0.2,), axis_name=None)
  images = jnp.zeros((1, 28, 28, 1))
  networks.check_length(model, config, images.shape[1:])
  found = jax.eval_shape(
    lambda key: model.init(key, images, False), jax.random.key(0)
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(found))
  # 429,176 with 32 values, each of which has 256 weights and a bias.
  assert count == 429_176 + 257 * (size - 32)
  assert callable(objectives.build(config).score)


def test_held_out_classes_neither_train_nor_choose(siamese, table):
  frame = pd.read_csv(table, dtype=str, keep_default_na=False)
  after = splits.hold_out(frame, ('2', '7'))
  held = frame['diagnosis'].isin(['2', '7'])
  for part in ('train', 'validation'):
    assert not (held & (after['split'] == part)).any()
    assert ((frame['split'] == part) & ~held).equals(after['split'] == part)
  assert (after['split'] == 'test').equals(frame['split'] == 'test')
  with pytest.raises(errors.UsageError, match="mean '7'"):
    splits.hold_out(frame, ('77',))
  lines = (siamese / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) >= 3


def test_phantoms_hold_nobody_out(table):
  config = _config('siamese', table, data__held_out=('2',))
  config.data.source = 'phantom'
  with pytest.raises(errors.UsageError, match='not for phantoms'):
    train.Trainer(config, table.parent)


@pytest.fixture(scope='module')
def examined(siamese):
  """The folder of a sweep of which one run is finished, examined."""
  record = {'row': 'Siamese', 'setting': '', 'seed': 0}
  runs = [
    record | {'folder': 'run', 'state': 'finished'},
    record | {'folder': 'other', 'state': 'failed'},
  ]
  folder = siamese.parent
  (folder / 'sweep.json').write_text(json.dumps({'runs': runs}))
  command = ['examine', f'--workdir={folder}', '--draws=20', '--galleries=3']
  assert cli.main(command) == 0
  return folder


def test_a_sweep_has_a_row_for_each_finished_run(examined):
  found = json.loads(
    (examined / 'run' / 'examine' / 'examine.json').read_text()
  )
  lines = (examined / 'examine.md').read_text().splitlines()
  rows = [line for line in lines if line.startswith(('| Siamese', '| Raw'))]
  assert len(rows) == 2
  for row, name in zip(rows, ('network', 'pixels'), strict=True):
    near = found[name]['neighbours']['test']['all']['value']
    assert row.split(' | ')[1:3] == ['1', f'{100 * near:.1f}']
  assert 'Siamese, seed 0: 2, 7.' in lines
  table = pd.read_csv(examined / 'examine.csv')
  eer = table[(table['row'] == 'Siamese') & (table['number'] == 'EER')]
  cells = found['network']['verification']['test']['all']['metrics']
  assert eer['percent'].item() == pytest.approx(100 * cells['eer']['value'])
  for name in ('examined_distances', 'examined_planes'):
    for kind in ('svg', 'png'):
      assert (examined / 'figures' / f'{name}.{kind}').stat().st_size > 5000


def test_examine_writes_numbers_page_and_figures(examined, siamese):
  folder = siamese / 'examine'
  found = json.loads((folder / 'examine.json').read_text())
  assert found['held_out'] == ['2', '7'] and len(found['classes']) == 10
  groups = found['network']['neighbours']['test']
  assert groups['all']['n_used'] == 120
  assert (
    groups['known']['n_used'] + groups['held_out']['n_used']
    == groups['all']['n_used']
  )
  # Two steps learn little, but the spot shows in the pixels.
  assert found['pixels']['neighbours']['test']['all']['value'] > 0.9
  assert 'verification' in found['own_head']
  page = (folder / 'examine.html').read_text()
  assert 'Held-out classes' in page and '<script' not in page
  names = {path.name for path in (folder / 'figures').iterdir()}
  assert names == {
    f'{name}.{kind}'
    for name in ('plane', 'by_class', 'distances', 'roc', 'pairs', 'triplets')
    for kind in ('svg', 'png')
  }
  for path in [folder, *folder.rglob('*')]:
    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    ([], '--workdir='),
    (['--workdir=nowhere'], 'does not exist'),
    (['--workdir=.', '--distance=cosin'], 'cosin'),
    (['--workdir=.', '--pixel=1'], 'pixel'),
    (['--workdir=tests', '--out=tests'], 'is no folder of a run'),
  ],
  ids=['workdir', 'missing', 'distance', 'misspelt', 'no run'],
)
def test_flags_that_do_not_fit_are_refused(flags, words, capsys):
  assert cli.main(['examine', *flags]) == 2
  assert words in capsys.readouterr().err


def test_the_sweep_has_the_rungs_of_the_configs():
  config = ladder.get_config()
  rows = ladder.get_sweep()['rows']
  for name, row in zip(RUNGS, list(rows)[:5], strict=True):
    want = importlib.import_module(f'configs.ladder.{name}').get_config()
    got = sweep_plan.resolved(config, rows[row], row)
    assert got.to_dict() == want.to_dict()
