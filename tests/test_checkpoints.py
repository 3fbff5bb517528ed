"""Checkpoints: what is restored is what was saved, or it is not restored."""

import json
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import time

import flax.training.train_state
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import numpy as np
import optax
import pytest

from mammojax import errors
from mammojax.training import checkpoints


def _state(seed=0):
  """Every dtype a run has, random and with odd bits."""
  rng = np.random.default_rng(seed)
  return {
    'params': {'kernel': jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)},
    'odd': jnp.asarray([np.nan, -0.0, np.inf, 1e-45], jnp.float32),
    'count': jnp.int32(rng.integers(-9, 9)),
    'key': jax.random.PRNGKey(seed),
    'half': jnp.asarray(rng.normal(size=4), jnp.bfloat16),
    'seen': jnp.asarray(rng.random(7) > 0.5),
    'flag': jnp.asarray(True),
    'margin': (jnp.float32(rng.normal()), None, {}),
    'host': rng.normal(size=2),
  }


def _assert_same_bits(found, wanted):
  assert jax.tree.structure(found) == jax.tree.structure(wanted)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
    a, b = np.asarray(a), np.asarray(b)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert a.tobytes() == b.tobytes()


def _fill(directory, steps=(1, 2, 3), metrics=None):
  with checkpoints.Checkpoints(directory) as saved:
    for step in steps:
      saved.save(step, _state(step), (metrics or {}).get(step), {'at': step})


def _flip(path, bit=0):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1 << bit
  path.write_bytes(bytes(data))


def _biggest(folder):
  files = [path for path in folder.rglob('*') if path.is_file()]
  return max(files, key=lambda path: path.stat().st_size)


def test_round_trip_is_bit_exact_and_gives_extra_back(tmp_path):
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.save(7, _state(), None, {'seed': 3, 'nan': float('nan')})
    state, step, extra = saved.restore(checkpoints.abstract_state(_state(1)))
  _assert_same_bits(state, _state())
  assert (step, extra) == (7, {'seed': 3, 'nan': None})


def test_train_state_of_flax_and_optax_comes_back(tmp_path):
  tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1))
  make = flax.training.train_state.TrainState.create
  state = make(apply_fn=abs, params={'w': jnp.arange(3.0)}, tx=tx)
  state = state.replace(step=jnp.int32(4))
  with checkpoints.Checkpoints(tmp_path) as saved:
    saved.save(4, state)
    found, _, _ = saved.restore(checkpoints.abstract_state(state))
  _assert_same_bits(found, state)
  assert found.apply_fn is abs


@pytest.mark.parametrize('use_async', [True, False], ids=['async', 'sync'])
def test_donated_and_overwritten_arrays_are_saved_as_they_were(
  tmp_path, use_async
):
  step_fn = jax.jit(lambda x: x + 1.0, donate_argnums=0)
  x = step_fn(jnp.zeros((512, 512)))
  host = np.ones(1000)
  with checkpoints.Checkpoints(tmp_path, use_async=use_async) as saved:
    saved.save(1, {'x': x, 'host': host})
    host[:] = 7.0
    for _ in range(20):
      x = step_fn(x)
    state, _, _ = saved.restore({'x': x, 'host': host})
  assert np.all(np.asarray(state['x']) == 1.0)
  assert np.all(np.asarray(state['host']) == 1.0)


def test_latest_two_and_the_best_are_kept(tmp_path):
  metrics = {2: {'map': 0.5}, 3: {'map': 0.2}, 5: {'map': float('nan')}}
  metrics[6] = {'loss': 9.0}
  _fill(tmp_path, [1, 2, 3, 4, 5, 6], metrics)
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.steps() == [2, 5, 6]
    assert (saved.latest(), saved.best()) == (6, 2)
    state, step, extra = saved.restore(_state(), 'best')
    assert (step, extra) == (2, {'at': 2})
    _assert_same_bits(state, _state(2))
    # A better one releases the old best, also after a restart.
    saved.save(7, _state(7), {'map': 0.6})
    saved.wait()
    assert (saved.steps(), saved.best()) == ([6, 7], 7)
  assert sorted(path.name for path in tmp_path.glob('*.json')) == [
    '6.json', '7.json',
  ]  # fmt: skip


def test_of_equally_good_steps_the_later_is_best(tmp_path):
  _fill(tmp_path, [1, 2], {1: {'map': 0.5}, 2: {'map': 0.5}})
  assert checkpoints.Checkpoints(tmp_path).best() == 2


def test_empty_folder_has_nothing(tmp_path):
  with checkpoints.Checkpoints(tmp_path / 'none', read_only=True) as saved:
    assert (saved.latest(), saved.best(), saved.steps()) == (None, None, [])
    with pytest.raises(errors.IntegrityError, match='no whole checkpoint'):
      saved.restore(_state())
    with pytest.raises(errors.UsageError, match='reading'):
      saved.save(1, _state())
  assert not (tmp_path / 'none').exists()


def test_an_unknown_step_is_a_usage_error_with_the_known(tmp_path):
  _fill(tmp_path)
  with (
    checkpoints.Checkpoints(tmp_path) as saved,
    pytest.raises(errors.UsageError, match='Known: 2, 3'),
  ):
    saved.restore(_state(), 17)


def test_keep_latest_below_two_is_refused(tmp_path):
  with pytest.raises(errors.UsageError, match='keep_latest'):
    checkpoints.Checkpoints(tmp_path, keep_latest=1)


def test_saving_a_step_twice_keeps_the_first(tmp_path):
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.save(1, _state(1))
    assert not saved.save(1, _state(2))
    _assert_same_bits(saved.restore(_state())[0], _state(1))


def test_every_flipped_file_is_named_and_passed_over(tmp_path, caplog):
  _fill(tmp_path / 'good', [1, 2])
  files = [p for p in (tmp_path / 'good/2').rglob('*') if p.is_file()]
  assert len(files) > 5
  for number, file in enumerate(p for p in files if p.stat().st_size):
    folder = tmp_path / f'copy{number}'
    shutil.copytree(tmp_path / 'good', folder)
    _flip(folder / file.relative_to(tmp_path / 'good'), number % 8)
    caplog.clear()
    with checkpoints.Checkpoints(folder) as saved:
      state, step, extra = saved.restore(_state())
      assert saved.latest() == 1
    assert (step, extra) == (1, {'at': 1})
    _assert_same_bits(state, _state(1))
    assert file.name in caplog.text


def test_a_flipped_seal_is_no_seal(tmp_path):
  _fill(tmp_path, [1, 2])
  text = (tmp_path / '2.json').read_text()
  (tmp_path / '2.json').write_text(text.replace('"at": 2', '"at": 3'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(_state())[1] == 1


def test_only_broken_seals_are_no_fresh_start(tmp_path):
  _fill(tmp_path, [1])
  _flip(tmp_path / '1.json')
  with (
    checkpoints.Checkpoints(tmp_path) as saved,
    pytest.raises(errors.IntegrityError, match='damaged: 1'),
  ):
    saved.latest()


def test_killed_before_the_first_seal_is_a_fresh_start(tmp_path):
  _fill(tmp_path, [1])
  (tmp_path / '1.json').unlink()
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.latest() is None
    assert saved.save(1, _state(2))
    _assert_same_bits(saved.restore(_state())[0], _state(2))


def test_a_missing_file_is_damage(tmp_path):
  _fill(tmp_path, [1, 2])
  _biggest(tmp_path / '2').unlink()
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(_state())[1] == 1


def test_no_whole_step_left_is_exit_4(tmp_path):
  _fill(tmp_path, [1, 2])
  for step in '12':
    _flip(_biggest(tmp_path / step))
  with checkpoints.Checkpoints(tmp_path) as saved:
    with pytest.raises(errors.IntegrityError, match='damaged: 1, 2') as caught:
      saved.restore(_state())
    assert caught.value.exit_code == 4


def test_a_damaged_best_falls_back_to_the_next_best(tmp_path):
  metrics = {1: {'map': 0.9}, 2: {'map': 0.1}, 3: {'map': 0.2}}
  _fill(tmp_path, [1, 2, 3], metrics)
  _flip(_biggest(tmp_path / '1'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(_state(), 'best')[1] == 3
    assert saved.best() == 3


def test_damaged_steps_neither_block_nor_push_out_new_ones(tmp_path):
  with checkpoints.Checkpoints(tmp_path, keep_latest=3) as saved:
    for step in (5, 20, 30):
      saved.save(step, _state(step))
  _flip(_biggest(tmp_path / '20'))
  _flip(_biggest(tmp_path / '30'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(_state())[1] == 5
    for step in (12, 15, 20):
      assert saved.save(step, _state(step))
    saved.wait()
    assert saved.steps() == [15, 20]
    state, step, _ = saved.restore(_state())
    assert step == 20
    _assert_same_bits(state, _state(20))
  assert (tmp_path / '20.aside1').is_dir()


def test_foreign_folders_are_passed_over_and_left_alone(tmp_path, caplog):
  _fill(tmp_path, [1])
  for name in ('99', 'notes', '007', '5.old'):
    (tmp_path / name).mkdir()
  (tmp_path / '99' / 'letter.txt').write_text('mine')
  (tmp_path / '98.json').write_text('{}')
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert '99' in caplog.text and 'passed over' in caplog.text
    assert saved.latest() == 1
    assert saved.restore(_state())[1] == 1
    for step in (2, 3, 4):
      saved.save(step, _state(step))
    saved.wait()
    assert saved.steps() == [3, 4]
    assert (tmp_path / '99' / 'letter.txt').exists()
    saved.save(99, _state(99))
    saved.wait()
    assert saved.latest() == 99
  assert (tmp_path / '99.aside1' / 'letter.txt').exists()
  assert (tmp_path / 'notes').is_dir()


def test_temporaries_are_removed_by_writers_only(tmp_path):
  _fill(tmp_path, [1])
  left = tmp_path / '2.orbax-checkpoint-tmp-1'
  left.mkdir()
  (tmp_path / '.2.json.abc').write_text('')
  checkpoints.Checkpoints(tmp_path, read_only=True).close()
  assert left.exists()
  checkpoints.Checkpoints(tmp_path).close()
  assert not left.exists()
  assert not (tmp_path / '.2.json.abc').exists()


def test_folders_0700_files_0600(tmp_path):
  _fill(tmp_path / 'c')
  for path in [tmp_path / 'c', *(tmp_path / 'c').rglob('*')]:
    wanted = 0o700 if path.is_dir() else 0o600
    assert stat.S_IMODE(path.stat().st_mode) == wanted, path


@pytest.mark.parametrize(
  'change',
  [
    lambda s: {**s, 'params': {'kernel': jnp.zeros((5, 4))}},
    lambda s: {**s, 'count': jnp.float32(0)},
    lambda s: {**s, 'new': jnp.zeros(2)},
    lambda s: {k: v for k, v in s.items() if k != 'flag'},
  ],
  ids=['shape', 'dtype', 'more', 'fewer'],
)
def test_another_model_is_refused_with_a_table(tmp_path, change):
  _fill(tmp_path, [1])
  with checkpoints.Checkpoints(tmp_path) as saved:
    with pytest.raises(errors.IntegrityError) as caught:
      saved.restore(change(_state()))
    message = str(caught.value)
  names = ['params/kernel', 'count', 'new', 'flag']
  assert sum(f'  {name}: saved' in message for name in names) == 1


@pytest.mark.parametrize('num_devices', [1, 8])
def test_restores_onto_another_number_of_devices(tmp_path, num_devices):
  values = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)

  def place(count):
    mesh = Mesh(np.array(jax.devices()[:count]), ('data',))
    sharded = NamedSharding(mesh, PartitionSpec('data'))
    whole = NamedSharding(mesh, PartitionSpec())
    return {
      'sharded': jax.device_put(values, sharded),
      'whole': jax.device_put(values[0], whole),
    }

  with checkpoints.Checkpoints(tmp_path) as saved:
    saved.save(1, place(4))
  with checkpoints.Checkpoints(tmp_path) as saved:
    target = jax.tree.map(jnp.zeros_like, place(num_devices))
    target = jax.device_put(
      target, jax.tree.map(lambda x: x.sharding, place(num_devices))
    )
    state, _, _ = saved.restore(checkpoints.abstract_state(target))
  assert len(state['sharded'].sharding.device_set) == num_devices
  _assert_same_bits(state, {'sharded': values, 'whole': values[0]})


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
    _assert_same_bits(saved.restore(small)[0], small)
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
      time.sleep(1.0 + rng.random())
      process.send_signal(signal.SIGKILL)
    sealed = [int(p.stem) for p in tmp_path.glob('*.json')]
    sealed = [step for step in sealed if (tmp_path / str(step)).is_dir()]
    with checkpoints.Checkpoints(tmp_path) as saved:
      state, step, _ = saved.restore(target)
    assert step == max(sealed) > before
    assert np.all(np.asarray(state['x']) == step)
    before = step


def test_the_seal_holds_metrics_for_readers(tmp_path):
  _fill(tmp_path, [1], {1: {'map': 0.25, 'loss': float('inf')}})
  seal = json.loads((tmp_path / '1.json').read_text())
  assert seal['metrics'] == {'map': 0.25, 'loss': None}
  assert seal['arrays']['params/kernel'] == 'float32[5, 3]'
