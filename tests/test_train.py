"""Runs from config to report: resumed, stopped, refused."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from mammojax import errors
from mammojax.report import html
from mammojax.training import checkpoints, inputs, train, transfer
from tests import tiny

ROOT = pathlib.Path(__file__).parents[1]


def final_arrays(config, workdir):
  """Every array of the newest checkpoint."""
  trainer = train.Trainer(config, workdir)
  with checkpoints.Checkpoints(
    workdir / 'checkpoints', read_only=True
  ) as saved:
    state, step, extra = saved.restore(trainer.state)
  assert step == config.train.steps
  return [np.asarray(leaf) for leaf in jax.tree.leaves(state)], extra


def test_a_run_writes_what_the_report_reads(tmp_path, cache):
  config = tiny.config(cache)
  results = train.run(config, tmp_path / 'run')
  written = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
  assert written['test'] == results['test']
  assert set(written['test']) == {'all'} | {
    f'year_{n}' for n in (1, 2, 3, 4, 6, 8)
  }
  cell = written['test']['all']['map']
  # 3 women, 2 sides, 6 later visits, 2 views.
  assert cell['n_used'] == cell['n_total'] == 72
  assert 0 <= cell['low'] <= cell['value'] <= cell['high'] <= 1
  assert set(written['baselines']) == {'pixel', 'masked', 'chance'}
  for field in ('seed', 'steps', 'seconds', 'input_wait_fraction'):
    assert np.isfinite(written[field])
  lines = [
    json.loads(line)
    for line in (tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()
  ]
  assert [r['step'] for r in lines if r.get('split') == 'train'] == [2, 4, 6]
  assert [r['step'] for r in lines if r.get('split') == 'validation'] == [3, 6]
  page = html.write(tmp_path / 'run').read_text()
  assert 'mAP' in page


def test_the_same_command_again_changes_no_number(tmp_path, cache):
  config = tiny.config(cache)
  first = train.run(config, tmp_path / 'run')
  again = train.run(config, tmp_path / 'run')
  assert first == again


class StopAt:
  """A stop signal that comes after a given number of looks."""

  name = 'SIGTERM'

  def __init__(self, looks):
    self.left = looks

  @property
  def requested(self):
    self.left -= 1
    return self.left < 0


@pytest.mark.parametrize(
  'looks',
  [3, *(pytest.param(looks, marks=pytest.mark.slow) for looks in (1, 6, 11))],
)
def test_a_stopped_run_ends_as_an_uninterrupted_one(tmp_path, cache, looks):
  config = tiny.config(cache)
  (tmp_path / 'whole').mkdir()
  (tmp_path / 'parts').mkdir()
  whole = train.Trainer(config, tmp_path / 'whole').run(StopAt(10**9))
  with pytest.raises(errors.Stopped, match=r'goes on from there|nothing'):
    train.Trainer(config, tmp_path / 'parts').run(StopAt(looks))
  parts = train.Trainer(config, tmp_path / 'parts').run(StopAt(10**9))
  assert parts['test'] == whole['test']
  assert parts['best_step'] == whole['best_step']
  want, _ = final_arrays(config, tmp_path / 'whole')
  got, _ = final_arrays(config, tmp_path / 'parts')
  assert len(want) == len(got)
  for a, b in zip(want, got, strict=True):
    np.testing.assert_array_equal(a, b)


def test_a_run_with_pmap_goes_on_under_shard_map(tmp_path, cache):
  first = tiny.config(cache, parallel__transform='pmap')
  (tmp_path / 'run').mkdir()
  with pytest.raises(errors.Stopped):
    train.Trainer(first, tmp_path / 'run').run(StopAt(2))
  second = tiny.config(cache, parallel__num_devices=8)
  results = train.Trainer(second, tmp_path / 'run').run(StopAt(10**9))
  assert results['steps'] == 6


def test_diverged_numbers_end_the_run_and_name_the_images(
  tmp_path, cache, monkeypatch
):
  config = tiny.config(cache, train__max_bad_steps=2)
  (tmp_path / 'run').mkdir()
  trainer = train.Trainer(config, tmp_path / 'run')
  place = trainer.devices.place

  def spoil(batch):
    batch['image'][0] = np.nan
    return place(batch)

  monkeypatch.setattr(trainer.devices, 'place', spoil)
  with pytest.raises(errors.NumericsError, match='2 updates in a row'):
    trainer.run(StopAt(10**9))
  record = json.loads((tmp_path / 'run' / 'diverged.json').read_text())
  items = next(iter(record['steps'].values()))
  assert len(items) == 16
  assert set(items) <= set(trainer.images.frame['item'])


def test_images_without_contrast_are_refused(tmp_path, cache):
  trainer = train.Trainer(tiny.config(cache), tmp_path / 'run')
  blank = np.zeros((1, 32, 32, 1), np.float32)
  trainer.images.images = lambda rows, region='all': np.repeat(
    blank, len(rows), axis=0
  )
  with pytest.raises(errors.DataError, match=r'no contrast.*data\.region'):
    inputs.scaling(trainer.config, trainer.images, trainer.rows)


def test_a_network_that_sees_no_breast_finds_nobody(tmp_path, cache):
  config = tiny.config(cache, data__region='background')
  results = train.run(config, tmp_path / 'run')
  chance = results['baselines']['chance']['all']['map']['value']
  cell = results['test']['all']['map']
  assert cell['low'] <= chance * 1.5
  assert cell['value'] < 2 * chance


def test_another_config_in_the_same_workdir_is_refused(tmp_path, cache):
  train.run(tiny.config(cache), tmp_path / 'run')
  with pytest.raises(errors.UsageError, match=r'model\.width.*4.*8'):
    train.run(tiny.config(cache, model__width=8), tmp_path / 'run')


def test_a_run_starts_from_the_network_of_another(tmp_path, cache):
  train.run(tiny.config(cache), tmp_path / 'first')
  later = tiny.config(cache, model__init_from=str(tmp_path / 'first'))
  trainer = train.Trainer(later, tmp_path / 'second')
  first = train.Trainer(tiny.config(cache), tmp_path / 'first')
  with checkpoints.Checkpoints(
    tmp_path / 'first' / 'checkpoints', read_only=True
  ) as saved:
    state, _, _ = saved.restore(first.state, 'best')
  for a, b in zip(
    jax.tree.leaves((state.params, state.batch_stats)),
    jax.tree.leaves((trainer.state.params, trainer.state.batch_stats)),
    strict=True,
  ):
    np.testing.assert_array_equal(a, b)
  assert int(trainer.state.step) == 0
  wider = tiny.config(
    cache, model__init_from=str(tmp_path / 'first'), model__width=8
  )
  with pytest.raises(errors.IntegrityError, match='is another one'):
    train.Trainer(wider, tmp_path / 'third')
  nothing = tiny.config(cache, model__init_from=str(tmp_path))
  with pytest.raises(errors.UsageError, match='no folder of a run'):
    train.Trainer(nothing, tmp_path / 'fourth')


def test_what_a_loss_learnt_stays_with_its_subjects(tmp_path, cache):
  fields = {'loss__name': 'arcface', 'automargin__mode': 'fixed'}
  first = tiny.config(cache, train__steps=3, **fields)
  train.run(first, tmp_path / 'first')
  later = tiny.config(
    cache,
    data__phantom__train_women=12,
    model__init_from=str(tmp_path / 'first'),
    **fields,
  )
  params = train.Trainer(later, tmp_path / 'second').state.params
  of_first, _ = transfer.best(tmp_path / 'first', '--workdir')
  np.testing.assert_array_equal(
    params['head']['dense']['kernel'],
    of_first['params']['head']['dense']['kernel'],
  )
  sizes = [
    jax.tree.leaves(jax.tree.map(np.shape, p['loss']))
    for p in (of_first['params'], params)
  ]
  assert sizes[0] != sizes[1]


BAD = {
  'loss': ({'loss__name': 'triplett'}, "Did you mean 'triplet'"),
  'selection': ({'loss__selection': 'seminard'}, 'Unknown selection'),
  'model': ({'model__name': 'resnet19'}, "Did you mean 'resnet1"),
  'mode': ({'automargin__mode': 'setp'}, "Did you mean 'step'"),
  'source': ({'data__source': 'tabel'}, "Did you mean 'table'"),
  'table': ({'data__source': 'table'}, 'needs data.table'),
  'gallery': ({'eval__gallery': 'first'}, 'Did you mean'),
  'one image': ({'sampler__images_per_subject': 1}, 'images_per_subject is 1'),
  'devices': ({'parallel__num_devices': 3}, 'cannot be shared'),
  'optimiser': ({'optim__name': 'adm'}, "Did you mean 'adam"),
  'schedule': ({'optim__schedule': 'cosin'}, "Did you mean 'cosine'"),
  'dtype': ({'model__dtype': 'float16'}, 'Unknown model.dtype'),
  'contrastive with AutoMargin': (
    {'loss__name': 'contrastive'},
    "automargin.mode='fixed'",
  ),
  'margin': (
    {'automargin__mode': 'fixed', 'loss__margin': -0.5},
    r'margin must lie in \[0, 2\]',
  ),
}


@pytest.mark.parametrize('name', BAD)
def test_a_bad_field_is_named_before_training(tmp_path, cache, name):
  changes, message = BAD[name]
  with pytest.raises(errors.UsageError, match=message):
    train.Trainer(tiny.config(cache, **changes), tmp_path / 'run')


def test_a_corrected_field_is_taken_in_the_same_workdir(tmp_path, cache):
  with pytest.raises(errors.UsageError, match="Did you mean 'arcface'"):
    train.run(
      tiny.config(cache, loss__name='arcfase', automargin__mode='fixed'),
      tmp_path,
    )
  assert not (tmp_path / 'config.json').exists()


def test_bfloat16_trains_and_keeps_float32_parameters(tmp_path, cache):
  config = tiny.config(cache, model__dtype='bfloat16', train__steps=3)
  trainer = train.Trainer(config, tmp_path / 'run')
  assert {x.dtype for x in jax.tree.leaves(trainer.state.params)} == {
    np.dtype('float32')
  }
  (tmp_path / 'run').mkdir()
  results = trainer.run(StopAt(10**9))
  assert np.isfinite(results['test']['all']['map']['value'])


def write_config(tmp_path, cache, **changes):
  """A config file that `main.py` takes, equal to the tiny one."""
  path = tmp_path / 'tiny_config.py'
  path.write_text(
    'import pathlib, sys\n'
    f'sys.path.insert(0, {str(ROOT)!r})\n'
    'from tests import tiny\n'
    'def get_config():\n'
    f'  return tiny.config(pathlib.Path({str(cache)!r}), **{changes!r})\n'
  )
  return path


@pytest.mark.slow
def test_sigterm_saves_and_the_same_command_goes_on(tmp_path, cache):
  path = write_config(tmp_path, cache, train__steps=400, train__eval_every=0)
  command = [
    sys.executable,
    'main.py',
    f'--config={path}',
    f'--workdir={tmp_path / "run"}',
  ]
  environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
  process = subprocess.Popen(command, cwd=ROOT, env=environment)
  log = tmp_path / 'run' / 'metrics.jsonl'
  for _ in range(1200):
    if log.exists() and log.stat().st_size:
      break
    time.sleep(0.1)
  process.send_signal(signal.SIGTERM)
  assert process.wait(120) == 75
  assert subprocess.run(command, cwd=ROOT, env=environment).returncode == 0
  assert (tmp_path / 'run' / 'report.html').exists()
