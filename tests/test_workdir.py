"""The folder of a run: one run at a time, one config for good."""

import json
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys

import numpy as np
import pytest

from mammojax import errors
from mammojax.training import environment, workdir

CONFIG = {
  'seed': 0,
  'optim': {'learning_rate': 0.1, 'name': 'adam'},
  'model': {'width': 16, 'stages': (2, 2)},
  'train': {'steps': 100, 'allow_config_change': False},
  'logging': {'tensorboard': True},
}

HOLDER = """
import sys, time
from mammojax.training import workdir
workdir.prepare(sys.argv[1], {'seed': 0}, ['hold'])
print('held', flush=True)
time.sleep(60)
"""


def _config(**changes):
  """CONFIG with 'a__b'=value set in it."""
  config = json.loads(json.dumps(CONFIG))
  for name, value in changes.items():
    section, _, field = name.partition('__')
    config[section][field] = value
  return config


def _run(folder, config):
  workdir.prepare(folder, config, ['main.py']).release()


@pytest.fixture
def holder(tmp_path):
  """A process that holds the lock of tmp_path / 'run'."""
  process = subprocess.Popen(
    [sys.executable, '-c', HOLDER, str(tmp_path / 'run')],
    stdout=subprocess.PIPE,
    cwd=pathlib.Path(__file__).parents[1],
  )
  with process:
    process.stdout.readline()
    yield process
    process.kill()


def test_second_process_leaves_and_names_the_holder(holder, tmp_path):
  with pytest.raises(errors.UsageError) as caught:
    workdir.prepare(tmp_path / 'run', {'seed': 0}, [])
  assert f'process {holder.pid} on {socket.gethostname()}' in str(caught.value)
  assert holder.poll() is None


def test_dead_holder_is_taken_over_with_a_note(holder, tmp_path, caplog):
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  with workdir.prepare(tmp_path / 'run', {'seed': 0}, []):
    assert f'taking over from process {holder.pid}' in caplog.text


def test_released_lock_is_taken_without_a_note(tmp_path, caplog):
  _run(tmp_path / 'run', CONFIG)
  lock = workdir.prepare(tmp_path / 'run', CONFIG, [])
  assert caplog.text == ''
  lock.release()
  lock.release()


def test_a_refused_config_gives_the_lock_back(tmp_path):
  _run(tmp_path / 'run', CONFIG)
  with pytest.raises(errors.UsageError, match='another config'):
    _run(tmp_path / 'run', _config(model__width=32))
  _run(tmp_path / 'run', CONFIG)


def test_first_run_writes_private_files(tmp_path):
  _run(tmp_path / 'run', CONFIG)
  assert stat.S_IMODE((tmp_path / 'run').stat().st_mode) == 0o700
  for path in (tmp_path / 'run').iterdir():
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  saved = workdir.read_json(tmp_path / 'run' / 'config.json')
  assert saved == json.loads(json.dumps(CONFIG))


def test_a_folder_with_content_keeps_its_mode(tmp_path):
  folder = tmp_path / 'run'
  folder.mkdir()
  folder.chmod(0o755)
  (folder / 'notes.txt').write_text('mine')
  _run(folder, CONFIG)
  assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_other_config_is_refused_with_a_table(tmp_path):
  _run(tmp_path / 'run', CONFIG)
  with pytest.raises(errors.UsageError) as caught:
    _run(tmp_path / 'run', _config(model__width=32, optim__learning_rate=0.2))
  rows = [line.split() for line in str(caught.value).splitlines()[1:4]]
  assert rows == [
    ['field', 'saved', 'given'],
    ['model.width', '16', '32'],
    ['optim.learning_rate', '0.1', '0.2'],
  ]
  assert '--workdir' in str(caught.value)
  assert 'allow_config_change' not in str(caught.value)


def test_rates_and_lengths_change_on_request_only(tmp_path, caplog):
  folder = tmp_path / 'run'
  _run(folder, CONFIG)
  changed = _config(train__steps=200, optim__learning_rate=0.2)
  with pytest.raises(errors.UsageError, match='allow_config_change=True'):
    _run(folder, changed)
  changed['train']['allow_config_change'] = True
  _run(folder, changed)
  assert 'train.steps' in caplog.text and 'optim.learning_rate' in caplog.text
  assert workdir.read_json(folder / 'config.json')['train']['steps'] == 200
  # From now on these are the values to compare with.
  _run(folder, _config(train__steps=200, optim__learning_rate=0.2))
  changed['model']['width'] = 32
  with pytest.raises(errors.UsageError) as caught:
    _run(folder, changed)
  assert 'model.width' in str(caught.value)


def test_logging_and_parallel_are_free(tmp_path):
  _run(tmp_path / 'run', CONFIG)
  other = _config(logging__tensorboard=False)
  other['parallel'] = {'transform': 'pmap'}
  _run(tmp_path / 'run', other)


def test_differences_name_absent_fields_and_empty_sections():
  rows = workdir.differences({'a': {'b': 1}, 'c': {}}, {'a': {'d': None}})
  assert rows == [
    ('a.b', '1', '(absent)'),
    ('a.d', '(absent)', 'null'),
    ('c', '{}', '(absent)'),
  ]


def test_a_prefix_frees_whole_names_only():
  assert workdir.differences({'ab': {'c': 1}}, {}, ['a']) != []
  assert workdir.differences({'ab': {'c': 1}}, {}, ['ab']) == []


def test_other_processes_compare_but_neither_lock_nor_write(tmp_path):
  folder = tmp_path / 'run'
  assert workdir.prepare(folder, CONFIG, [], process_index=1) is None
  assert not folder.exists()
  with workdir.prepare(folder, CONFIG, []):
    assert workdir.prepare(folder, CONFIG, [], process_index=1) is None
    with pytest.raises(errors.UsageError):
      workdir.prepare(folder, _config(model__width=1), [], process_index=1)


def test_a_file_in_place_of_the_folder_is_a_usage_error(tmp_path):
  (tmp_path / 'run').write_text('')
  with pytest.raises(errors.UsageError, match='another --workdir'):
    workdir.prepare(tmp_path / 'run', CONFIG, [])


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path):
  with pytest.raises(errors.UsageError, match='another --workdir'):
    workdir.prepare(tmp_path / ('x' * 300), CONFIG, [])
  (tmp_path / 'run' / 'lock').mkdir(parents=True)
  with pytest.raises(errors.UsageError, match=r'lock cannot be written'):
    workdir.prepare(tmp_path / 'run', CONFIG, [])


def test_a_file_that_cannot_be_written_is_named(tmp_path):
  with pytest.raises(errors.ResourceError, match=r'x\.json cannot be written'):
    workdir.atomic_write_json(tmp_path / 'none' / 'x.json', {})
  (tmp_path / 'y.json').mkdir()
  with pytest.raises(errors.ResourceError, match=r'y\.json cannot be written'):
    workdir.atomic_write_json(tmp_path / 'y.json', {})
  assert [path.name for path in tmp_path.iterdir()] == ['y.json']


def test_a_damaged_config_is_a_data_error_with_its_path(tmp_path):
  _run(tmp_path / 'run', CONFIG)
  (tmp_path / 'run' / 'config.json').write_text('{"seed": ')
  with pytest.raises(errors.DataError, match=r'config\.json'):
    _run(tmp_path / 'run', CONFIG)


@pytest.mark.parametrize('data', [b'', b'\xff\xfe', b'[1,'])
def test_read_json_of_rubbish_is_a_data_error(tmp_path, data):
  (tmp_path / 'x.json').write_bytes(data)
  with pytest.raises(errors.DataError, match=r'x\.json'):
    workdir.read_json(tmp_path / 'x.json')
  with pytest.raises(errors.DataError, match='does not exist'):
    workdir.read_json(tmp_path / 'y.json')


def test_atomic_write_leaves_the_old_file_when_the_disk_is_full(
  tmp_path, monkeypatch
):
  path = tmp_path / 'x.json'
  workdir.atomic_write_json(path, {'a': 1})

  def full(handle):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(errors.ResourceError, match='bytes needed'):
    workdir.atomic_write_json(path, {'a': 2})
  assert workdir.read_json(path) == {'a': 1}
  assert list(tmp_path.iterdir()) == [path]


def test_finite_gives_strict_json_of_plain_numbers():
  value = {1: (np.float32(0.5), float('nan')), 'b': np.array(3), 'c': True}
  text = json.dumps(workdir.finite(value), allow_nan=False)
  assert text == '{"1": [0.5, null], "b": 3, "c": true}'


def test_environment_hides_the_home_folder(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', '/home/someone')
  command = ['main.py', '--workdir=/home/someone/runs/a', '/home/someoneelse']
  with workdir.prepare(tmp_path / 'run', CONFIG, command, devices=['cpu:0']):
    pass
  record = workdir.read_json(tmp_path / 'run' / 'environment.json')
  assert record['command'] == [
    'main.py', '--workdir=~/runs/a', '/home/someoneelse',
  ]  # fmt: skip
  assert record['devices'] == ['cpu:0']
  assert record['packages']['numpy'] == np.__version__
  assert record['started_utc'].endswith('+00:00')


def test_git_state_tells_commit_and_dirt(tmp_path):
  assert environment.git_state(tmp_path) is None
  git = ['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=b']
  (tmp_path / 'f').write_text('1')
  subprocess.run([*git, 'init', '-q'], check=True)
  subprocess.run([*git, 'add', 'f'], check=True)
  subprocess.run([*git, 'commit', '-qm', 'x'], check=True)
  state = environment.git_state(tmp_path)
  assert len(state['commit']) == 40 and state['dirty'] is False
  (tmp_path / 'f').write_text('2')
  assert environment.git_state(tmp_path)['dirty'] is True
  (tmp_path / 'installed').mkdir()
  assert environment.git_state(tmp_path / 'installed') is None
