"""The scripts of launch/: what the processes get, and how they end."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import pytest

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_LAUNCH = _ROOT / 'launch'
_SHELL_SCRIPTS = ('slurm.sbatch', 'tpu_vm.sh')


def _start(script, *flags, arguments=()):
  command = [sys.executable, str(_LAUNCH / 'local_processes.py')]
  return subprocess.Popen(
    [*command, f'--script={script}', *flags, '--', *arguments],
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def _finish(process, seconds=60):
  """The exit code, and the lines of each process without their prefix."""
  text, _ = process.communicate(timeout=seconds)
  lines = {}
  for line in text.splitlines():
    index, _, rest = line.partition('] ')
    lines.setdefault(index.removeprefix('['), []).append(rest)
  return process.returncode, lines


def _script(folder, text):
  path = folder / 'stand in.py'
  path.write_text(text)
  return path


def test_each_process_learns_who_it_is_and_gets_the_arguments(tmp_path):
  script = _script(
    tmp_path,
    'import json, os, sys\n'
    'keys = ["MAMMOJAX_COORDINATOR", "MAMMOJAX_NUM_PROCESSES",\n'
    '        "MAMMOJAX_PROCESS_ID", "JAX_PLATFORMS", "JAX_NUM_CPU_DEVICES"]\n'
    'print(json.dumps([[os.environ[k] for k in keys], sys.argv[1:]]))\n',
  )
  arguments = ['--config=a b.py', '--', '$HOME', '--processes=9']
  code, lines = _finish(
    _start(
      script,
      '--processes=3',
      '--devices_per_process=2',
      arguments=arguments,
    )
  )
  assert code == 0
  assert sorted(lines) == ['0', '1', '2']
  coordinators = set()
  for index, (line,) in lines.items():
    values, got = json.loads(line)
    coordinators.add(values[0])
    assert values[1:] == ['3', index, 'cpu', '2']
    assert got == arguments
  (coordinator,) = coordinators
  host, port = coordinator.split(':')
  assert host == '127.0.0.1'
  assert 1024 <= int(port) < 65536


def test_gpus_are_dealt_out_without_sharing(tmp_path):
  script = _script(
    tmp_path, 'import os; print(os.environ["CUDA_VISIBLE_DEVICES"])'
  )
  code, lines = _finish(
    _start(script, '--processes=2', '--devices_per_process=2', '--platform=gpu')
  )
  assert code == 0
  assert lines == {'0': ['0,1'], '1': ['2,3']}


def test_the_first_failure_ends_the_others_and_gives_its_code(tmp_path):
  script = _script(
    tmp_path,
    'import os, sys, time\n'
    'if os.environ["MAMMOJAX_PROCESS_ID"] == "1":\n'
    '  sys.exit(6)\n'
    'time.sleep(60)\n',
  )
  begin = time.monotonic()
  code, _ = _finish(_start(script, '--processes=2'))
  assert code == 6
  assert time.monotonic() - begin < 30


def test_a_process_that_ignores_the_end_of_the_others_is_killed(tmp_path):
  script = _script(
    tmp_path,
    'import os, pathlib, signal, sys, time\n'
    'ready = pathlib.Path(sys.argv[1])\n'
    'if os.environ["MAMMOJAX_PROCESS_ID"] == "1":\n'
    '  while not ready.exists():\n'
    '    time.sleep(0.01)\n'
    '  sys.exit(4)\n'
    'signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
    'ready.touch()\n'
    'time.sleep(60)\n',
  )
  code, _ = _finish(
    _start(script, '--grace_seconds=0.5', arguments=[str(tmp_path / 'ready')]),
    seconds=30,
  )
  assert code == 4


def test_a_process_ended_by_a_signal_gives_128_and_the_signal(tmp_path):
  script = _script(
    tmp_path, 'import os, signal; os.kill(os.getpid(), signal.SIGKILL)'
  )
  code, _ = _finish(_start(script))
  assert code == 128 + 9


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_every_process_once_and_75_comes_back(
  tmp_path, number
):
  script = _script(
    tmp_path,
    'import os, signal, sys, time\n'
    'got = []\n'
    'note = lambda number, frame: got.append(number)\n'
    'signal.signal(signal.SIGTERM, note)\n'
    'signal.signal(signal.SIGINT, note)\n'
    'print("ready")\n'
    'while not got:\n'
    '  time.sleep(0.01)\n'
    'time.sleep(0.3 + float(os.environ["MAMMOJAX_PROCESS_ID"]))\n'
    'print(*map(int, got))\n'
    'sys.exit(75)\n',
  )
  process = _start(script, '--processes=2')
  ready = {process.stdout.readline().strip() for _ in range(2)}
  assert ready == {'[0] ready', '[1] ready'}
  process.send_signal(number)
  code, lines = _finish(process)
  assert code == 75
  assert lines == {'0': [str(int(number))], '1': [str(int(number))]}


def test_no_process_at_all_is_a_usage_error(tmp_path):
  script = _script(tmp_path, '')
  process = _start(script, '--processes=0')
  text, _ = process.communicate(timeout=30)
  assert process.returncode == 2
  assert 'at least 1' in text


def test_two_processes_add_over_loopback(tmp_path):
  """Devices 1, 1 and 2, 2: each sees the sum 6 of all four."""
  script = _script(
    tmp_path,
    'import sys\n'
    f'sys.path.insert(0, {str(_ROOT)!r})\n'
    'import jax, numpy as np\n'
    'from jax.sharding import PartitionSpec as P\n'
    'from mammojax.training import parallel\n'
    'parallel.initialize()\n'
    'mesh = jax.sharding.Mesh(np.asarray(jax.devices()), ("data",),\n'
    '    axis_types=(jax.sharding.AxisType.Auto,))\n'
    'mine = np.full(2, jax.process_index() + 1.0, np.float32)\n'
    'rows = jax.make_array_from_process_local_data(\n'
    '    jax.sharding.NamedSharding(mesh, P("data")), mine)\n'
    'add = jax.shard_map(lambda x: jax.lax.psum(x, "data"), mesh=mesh,\n'
    '    in_specs=P("data"), out_specs=P())\n'
    'total = jax.jit(add)(rows)\n'
    'print("sum", float(total.addressable_data(0)[0]), jax.device_count())\n',
  )
  process = _start(script, '--processes=2', '--devices_per_process=2')
  code, lines = _finish(process, seconds=120)
  assert code == 0, lines
  for index in ('0', '1'):
    assert 'sum 6.0 4' in lines[index]


@pytest.mark.parametrize('name', _SHELL_SCRIPTS)
def test_a_shell_script_parses_and_starts_main(name):
  path = _LAUNCH / name
  subprocess.run(['bash', '-n', path], check=True)
  text = path.read_text()
  assert 'main.py' in text
  assert 'MAMMOJAX_COORDINATOR=auto' in text
  assert '--config.' not in text, 'a hyperparameter in a launch script'


def _stand_in_commands(folder, **texts):
  for name, text in texts.items():
    path = folder / name
    path.write_text(f'#!/bin/bash\n{text}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
  return {**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}'}


@pytest.mark.parametrize('code, requeued', [(0, False), (3, False), (75, True)])
def test_slurm_requeues_a_run_that_was_saved_and_no_other(
  tmp_path, code, requeued
):
  environment = _stand_in_commands(
    tmp_path,
    srun=f'echo "$MAMMOJAX_COORDINATOR $@"; exit {code}',
    scontrol='echo scontrol "$@"',
  )
  environment |= {'SLURM_JOB_ID': '41', 'PYTHON': 'python'}
  done = subprocess.run(
    ['bash', _LAUNCH / 'slurm.sbatch', '--config=a b.py'],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == code
  first, *rest = done.stdout.splitlines()
  assert first == 'auto --kill-on-bad-exit=1 python main.py --config=a b.py'
  assert rest == (['scontrol requeue 41'] if requeued else [])


def test_tpu_arguments_arrive_as_they_stand(tmp_path):
  """The stand-in runs what it is asked to, as the worker's shell would."""
  clone = tmp_path / 'a clone'
  (clone / '.venv/bin').mkdir(parents=True)
  environment = _stand_in_commands(
    tmp_path, gcloud='for last; do :; done; eval "${last#--command=}"'
  )
  _stand_in_commands(
    clone / '.venv/bin',
    python='printf "%s\\n" "$MAMMOJAX_COORDINATOR" "$@"',
  )
  environment |= {'TPU': 'one', 'ZONE': 'here', 'DIRECTORY': str(clone)}
  arguments = ['--config=a b.py', '--workdir=$HOME/"x"']
  done = subprocess.run(
    ['bash', _LAUNCH / 'tpu_vm.sh', *arguments],
    env=environment,
    capture_output=True,
    text=True,
    check=True,
  )
  assert done.stdout.splitlines() == ['auto', 'main.py', *arguments]


def test_tpu_says_what_is_not_named():
  bare = {'PATH': os.environ['PATH']}
  done = subprocess.run(
    ['bash', _LAUNCH / 'tpu_vm.sh'], env=bare, capture_output=True, text=True
  )
  assert done.returncode != 0
  assert 'TPU=my-tpu' in done.stderr
