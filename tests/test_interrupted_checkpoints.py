"""Saves that a full disk or a kill interrupts cost no earlier checkpoint."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import made_up_state
import numpy as np
import pytest

from mammojax import errors
from mammojax.training import checkpoints


def test_too_little_room_is_seen_before_saving(tmp_path, monkeypatch):
  state = {'x': jnp.zeros(1000)}
  with checkpoints.Checkpoints(tmp_path) as saved:
    saved.save(1, state)
    saved.wait()
    usage = shutil.disk_usage(tmp_path)._replace(free=4399)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    # 1.1 times 4 bytes times 1000.
    with pytest.raises(errors.ResourceError, match=r'4400 bytes, 4399'):
      saved.save(2, state)
    assert saved.latest() == 1
  assert sorted(path.name for path in tmp_path.iterdir()) == ['1', '1.json']


@pytest.fixture
def small_disk(tmp_path):
  """A disk of 4 MiB; skips where mounting is not allowed."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(folder)]
  if os.geteuid() or not shutil.which('mount'):
    pytest.skip('needs root to mount a small disk')
  if subprocess.run(mount, capture_output=True, check=False).returncode:
    pytest.skip('mounting is not allowed here')
  yield folder
  subprocess.run(['umount', '-l', str(folder)], check=True)


def test_a_disk_that_fills_while_saving_is_exit_5(small_disk, monkeypatch):
  small = {'x': jnp.asarray(np.random.default_rng(0).random(1000))}
  # Noise, as the arrays are compressed.
  noise = np.random.default_rng(1).bytes(8 << 20)
  large = {'x': jnp.asarray(np.frombuffer(noise, np.uint32))}
  with checkpoints.Checkpoints(small_disk) as saved:
    saved.save(1, small)
    saved.wait()
    usage = shutil.disk_usage(small_disk)._replace(free=1 << 40)
    with monkeypatch.context() as patch:
      patch.setattr(shutil, 'disk_usage', lambda path: usage)
      with pytest.raises(errors.ResourceError, match='bytes') as caught:
        saved.save(2, large)
        saved.wait()
    assert caught.value.exit_code == 5
    assert sorted(p.name for p in small_disk.iterdir()) == ['1', '1.json']
    made_up_state.assert_same_bits(saved.restore(small)[0], small)
    # And it goes on as soon as there is room.
    assert saved.save(3, small)
    saved.wait()
    assert saved.latest() == 3


SAVER = """
import sys
import jax.numpy as jnp
from mammojax.training import checkpoints
saved = checkpoints.Checkpoints(sys.argv[1])
step = saved.latest() or 0
print('ready', flush=True)
while True:
  step += 1
  saved.save(step, {'x': jnp.full((1500, 1000), step, jnp.float32)})
"""


def _newest(folder):
  return max((int(path.stem) for path in folder.glob('*.json')), default=0)


@pytest.mark.slow
def test_kill_while_saving_leaves_a_whole_newest_step(tmp_path):
  rng = random.Random(0)
  target = {'x': jnp.zeros((1500, 1000))}
  before = 0
  for _ in range(5):
    process = subprocess.Popen(
      [sys.executable, '-c', SAVER, str(tmp_path)],
      stdout=subprocess.PIPE,
      cwd=pathlib.Path(__file__).parents[1],
    )
    with process:
      process.stdout.readline()
      # One step more is sealed before the kill, however slow the machine.
      while _newest(tmp_path) <= before and process.poll() is None:
        time.sleep(0.02)
      time.sleep(rng.random())
      process.send_signal(signal.SIGKILL)
    sealed = [int(p.stem) for p in tmp_path.glob('*.json')]
    sealed = [step for step in sealed if (tmp_path / str(step)).is_dir()]
    with checkpoints.Checkpoints(tmp_path) as saved:
      state, step, _ = saved.restore(target)
    assert step == max(sealed) > before
    assert np.all(np.asarray(state['x']) == step)
    before = step
