"""Sweeps: what their files may say, and how their runs are run."""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import made_up_sweep
import ml_collections
import pytest

from configs import base
from mammojax import __main__ as command_line
from mammojax import errors
from mammojax.apps import sweep, sweep_plan
from mammojax.training import networks, objectives

# ml_collections loads a config file in a way that Python 3.12 gives up.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')

ROOT = pathlib.Path(__file__).parents[1]
# Settings of the tables of AdaTriplet.
SIZES = {
  'table1a': [1, 1, 1, 1],
  'table1b': [1, 1, 16, 4],
  'losses': [1] * 9,
  'losses_nih': [1] * 9,
  'losses_oai': [1] * 9,
}
SWEEPS = [ROOT / 'configs' / 'sweeps' / f'{name}.py' for name in SIZES]


def spoilt(folder, old, new):
  assert old in made_up_sweep.FILE
  return made_up_sweep.write(folder, made_up_sweep.FILE.replace(old, new))


@pytest.mark.parametrize('path', SWEEPS, ids=lambda path: path.stem)
def test_sweeps_have_the_settings_of_their_tables(path):
  plan, runs = made_up_sweep.runs(path)
  sizes = [len(row.settings) for row in plan.rows]
  assert sizes == SIZES[path.stem]
  assert plan.seeds == (0, 1, 2, 3, 4)
  assert len({run.folder for run in runs}) == 5 * sum(sizes) == len(runs)


@pytest.mark.parametrize(
  'name', ['matching', 'losses', 'losses_ham10000', 'table1a', 'table1b']
)
def test_every_row_of_matching_builds_and_is_another(name):
  _, runs = made_up_sweep.runs(
    ROOT / 'configs/sweeps' / f'{name}.py', of=f'sweeps.{name}', seeds=1
  )
  for run in runs:
    config = ml_collections.ConfigDict(run.config)
    assert callable(objectives.build(config).score)
    networks.check_head(config)
    networks.model(config, mean=(0.5,), std=(0.2,), axis_name=None)
  assert len({str(run.config) for run in runs}) == len(runs)


@pytest.mark.parametrize('row', ['Triplet', 'Contrastive', 'SCT', 'WAT'])
def test_rows_of_losses_are_the_configs_of_their_names(row):
  module = importlib.import_module(f'configs.forensic.{row.lower()}')
  _, runs = made_up_sweep.runs(ROOT / 'configs/sweeps/losses.py', seeds=1)
  config = next(run.config for run in runs if run.row == row)
  wanted = module.get_config()
  wanted.logging.progress = False
  assert config == wanted.to_dict()


def test_a_list_is_scanned_and_runs_differ_in_their_flags_alone(tmp_path):
  plan, runs = made_up_sweep.runs(made_up_sweep.write(tmp_path))
  assert [setting.name for setting in plan.rows[0].settings] == [
    f'k_gap={gap}, k_an={an}' for gap in (2.0, 4.0) for an in (2.0, 4.0)
  ]
  assert len(runs) == 3 * (4 + 1)
  last = runs[-1]
  assert last.folder == pathlib.Path('Triplet,_fixed/seed_2')
  assert last.config['loss']['name'] == 'triplet'
  assert sorted(last.flags) == [
    '--config.automargin.mode=fixed',
    '--config.logging.progress=False',
    '--config.loss.name=triplet',
    '--config.seed=2',
  ]
  # A row does not see what another one changed.
  assert runs[0].config['loss']['name'] == 'adatriplet'
  assert '--config.automargin.k_gap=4.0' in runs[3].flags


@pytest.mark.parametrize(
  'old, new, message',
  [
    ('loss.name', 'loss.nam', "'loss.nam'.*mean 'loss.name'"),
    ('automargin.mode', 'autmargin.mode', "mean 'automargin'"),
    ("'triplet'", '3', 'another type'),
    ("'seeds'", "'seed'", "mean 'seeds'"),
    ("'published': {'Ada'", "'published': {'Adam'", "mean 'Ada'"),
    ('Triplet, fixed', '../up', 'is also a folder'),
    ('[2.0, 4.0],', '[],', 'empty list'),
    ('[2.0, 4.0],', '[2.0, 2.0],', 'twice'),
    ('def get_sweep', 'def get_swep', 'no get_sweep'),
    ("'seeds': 3", "'seeds': 0", '1 seed or more'),
    ("mode': 'fixed'", "mode': 'fixed', 'seed': [3, 4]", 'sets seed'),
    ("{'loss.name': 'triplet', 'automargin.mode': 'fixed'}", '3', 'be a dict'),
    ("'Triplet, fixed'", '5', 'Row 5 is also'),
    ('(96.9, 0.1)', '96.9', 'published / Ada / all / map is 96.9'),
    ("{'map': (96.9, 0.1)}", '(96.9, 0.1)', 'published / Ada / all is'),
  ],
)
def test_a_wrong_sweep_file_is_told_before_any_run(tmp_path, old, new, message):
  with pytest.raises(errors.UsageError, match=message):
    made_up_sweep.runs(spoilt(tmp_path, old, new))


def test_an_unknown_row_is_named_with_the_nearest(tmp_path):
  path = made_up_sweep.write(tmp_path)
  with pytest.raises(errors.UsageError, match=r"mean 'Triplet, fixed'"):
    made_up_sweep.runs(path, rows=['Triplet fixed'])
  plan, runs = made_up_sweep.runs(path, rows=['Triplet, fixed'], seeds=2)
  assert [run.seed for run in runs] == [0, 1] == list(plan.seeds)


def test_seeds_count_from_that_of_the_config(tmp_path):
  config = base.get_config()
  config.seed = 7
  plan = sweep_plan.read(made_up_sweep.write(tmp_path), config)
  assert plan.seeds == (7, 8, 9)


def test_finished_runs_are_not_run_again(tmp_path):
  path = made_up_sweep.write(tmp_path)
  _, runs = made_up_sweep.runs(path)
  for run in runs:
    made_up_sweep.finish(tmp_path / run.folder, run.config, 0.8, 0.8)
  outcomes = sweep.run(path, runs, tmp_path)
  assert {outcome.state for outcome in outcomes} == {'finished'}
  assert {outcome.exit_code for outcome in outcomes} == {None}
  assert sweep.failure(outcomes, tmp_path) is None


def test_a_finished_run_of_another_config_is_refused(tmp_path):
  path = made_up_sweep.write(tmp_path)
  _, runs = made_up_sweep.runs(path, rows=['Triplet, fixed'], seeds=1)
  other = json.loads(json.dumps(runs[0].config))
  other['optim']['learning_rate'] = 0.5
  made_up_sweep.finish(tmp_path / runs[0].folder, other, 0.8, 0.8)
  with pytest.raises(errors.UsageError, match=r'optim\.learning_rate'):
    sweep.run(path, runs, tmp_path)


def test_a_failed_run_leaves_the_others_alone_and_is_told(tmp_path, capsys):
  path = spoilt(tmp_path, "'fixed'}", "'fixed', 'loss.reduction': 'men'}")
  workdir = tmp_path / 'out'
  _, runs = made_up_sweep.runs(path, seeds=1)
  for run in runs[:-1]:
    made_up_sweep.finish(workdir / run.folder, run.config, 0.8, 0.8)
  code = command_line.main(
    ['sweep', f'--config={path}', f'--workdir={workdir}', '--seeds=1']
  )
  assert code == errors.UsageError.exit_code
  assert '1 of 5 runs failed' in capsys.readouterr().err
  page = (workdir / 'sweep.md').read_text()
  assert '| Triplet, fixed | 1 | **0 of 1** |' in page
  assert 'Triplet,_fixed/seed_0: failed, exit 2' in page
  assert "'men'" in page
  log = workdir / 'Triplet,_fixed/seed_0/train.log'
  assert log.stat().st_mode & 0o777 == 0o600
  assert log.parent.stat().st_mode & 0o777 == 0o700


def test_a_signal_stops_the_child_and_the_rest_waits(tmp_path):
  path, workdir = made_up_sweep.write(tmp_path), tmp_path / 'out'
  child = subprocess.Popen(
    [sys.executable, '-m', 'mammojax', 'sweep', f'--config={path}']
    + [f'--workdir={workdir}', '--seeds=1'],
    cwd=ROOT,
    stderr=subprocess.PIPE,
    text=True,
  )
  with child:
    while 'begins' not in child.stderr.readline():
      assert child.poll() is None
    os.kill(child.pid, signal.SIGTERM)
    rest = child.stderr.read()
  assert child.returncode == errors.Stopped.exit_code
  assert '0 of 5 runs failed, 5 are left' in rest
  record = json.loads((workdir / 'sweep.json').read_text())
  assert [run['state'] for run in record['runs']] == ['stopped'] + (
    ['waiting'] * 4
  )


@pytest.mark.parametrize(
  'states, codes, wanted',
  [
    (['finished'], [0], None),
    (['failed', 'finished'], [6, 0], 6),
    (['failed', 'failed'], [-9, 6], 1),
    (['failed', 'stopped', 'waiting'], [6, 75, None], 75),
  ],
)
def test_the_exit_code_tells_what_happened(states, codes, wanted):
  outcomes = [
    sweep.Outcome(state, code)
    for state, code in zip(states, codes, strict=True)
  ]
  error = sweep.failure(outcomes, 'sweep.md')
  assert (None if error is None else error.exit_code) == wanted


@pytest.mark.slow
def test_a_sweep_trains_and_goes_on(tmp_path, cache):
  path = made_up_sweep.write(
    tmp_path,
    f"""
from tests import tiny

def get_config():
  return tiny.config({str(cache)!r})

def get_sweep():
  rows = {{'a': {{}}, 'b': {{'loss.negative_weight': 0.5}}}}
  return {{'rows': rows, 'seeds': 1}}
""",
  )
  workdir = tmp_path / 'out'
  command = ['sweep', f'--config={path}', f'--workdir={workdir}']
  assert command_line.main([*command, '--rows=a']) == 0
  first = (workdir / 'a/seed_0/metrics.json').stat().st_mtime_ns
  assert command_line.main([*command, '--config.eval.draws=50']) == 0
  assert (workdir / 'a/seed_0/metrics.json').stat().st_mtime_ns == first
  saved = json.loads((workdir / 'b/seed_0/config.json').read_text())
  assert saved['loss']['negative_weight'] == 0.5
