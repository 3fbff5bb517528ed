"""Checkpoints: what is restored is what was saved, and what is kept."""

import json
import stat

import flax.training.train_state
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import made_up_state
import numpy as np
import optax
import pytest

from mammojax import errors
from mammojax.training import checkpoints


def test_round_trip_is_bit_exact_and_gives_extra_back(tmp_path):
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.save(
      7, made_up_state.state(), None, {'seed': 3, 'nan': float('nan')}
    )
    state, step, extra = saved.restore(
      checkpoints.abstract_state(made_up_state.state(1))
    )
  made_up_state.assert_same_bits(state, made_up_state.state())
  assert (step, extra) == (7, {'seed': 3, 'nan': None})


def test_train_state_of_flax_and_optax_comes_back(tmp_path):
  tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1))
  make = flax.training.train_state.TrainState.create
  state = make(apply_fn=abs, params={'w': jnp.arange(3.0)}, tx=tx)
  state = state.replace(step=jnp.int32(4))
  with checkpoints.Checkpoints(tmp_path) as saved:
    saved.save(4, state)
    found, _, _ = saved.restore(checkpoints.abstract_state(state))
  made_up_state.assert_same_bits(found, state)
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
  made_up_state.fill(tmp_path, [1, 2, 3, 4, 5, 6], metrics)
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.steps() == [2, 5, 6]
    assert (saved.latest(), saved.best()) == (6, 2)
    state, step, extra = saved.restore(made_up_state.state(), 'best')
    assert (step, extra) == (2, {'at': 2})
    made_up_state.assert_same_bits(state, made_up_state.state(2))
    # A better one releases the old best, also after a restart.
    saved.save(7, made_up_state.state(7), {'map': 0.6})
    saved.wait()
    assert (saved.steps(), saved.best()) == ([6, 7], 7)
  assert sorted(path.name for path in tmp_path.glob('*.json')) == [
    '6.json', '7.json',
  ]  # fmt: skip


def test_of_equally_good_steps_the_later_is_best(tmp_path):
  made_up_state.fill(tmp_path, [1, 2], {1: {'map': 0.5}, 2: {'map': 0.5}})
  assert checkpoints.Checkpoints(tmp_path).best() == 2


def test_empty_folder_has_nothing(tmp_path):
  with checkpoints.Checkpoints(tmp_path / 'none', read_only=True) as saved:
    assert (saved.latest(), saved.best(), saved.steps()) == (None, None, [])
    with pytest.raises(errors.IntegrityError, match='no whole checkpoint'):
      saved.restore(made_up_state.state())
    with pytest.raises(errors.UsageError, match='reading'):
      saved.save(1, made_up_state.state())
  assert not (tmp_path / 'none').exists()


def test_an_unknown_step_is_a_usage_error_with_the_known(tmp_path):
  made_up_state.fill(tmp_path)
  with (
    checkpoints.Checkpoints(tmp_path) as saved,
    pytest.raises(errors.UsageError, match='Known: 2, 3'),
  ):
    saved.restore(made_up_state.state(), 17)


def test_keep_latest_below_two_is_refused(tmp_path):
  with pytest.raises(errors.UsageError, match='keep_latest'):
    checkpoints.Checkpoints(tmp_path, keep_latest=1)


def test_saving_a_step_twice_keeps_the_first(tmp_path):
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.save(1, made_up_state.state(1))
    assert not saved.save(1, made_up_state.state(2))
    made_up_state.assert_same_bits(
      saved.restore(made_up_state.state())[0], made_up_state.state(1)
    )


def test_folders_0700_files_0600(tmp_path):
  made_up_state.fill(tmp_path / 'c')
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
  made_up_state.fill(tmp_path, [1])
  with checkpoints.Checkpoints(tmp_path) as saved:
    with pytest.raises(errors.IntegrityError) as caught:
      saved.restore(change(made_up_state.state()))
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
  made_up_state.assert_same_bits(state, {'sharded': values, 'whole': values[0]})


def test_the_seal_holds_metrics_for_readers(tmp_path):
  made_up_state.fill(tmp_path, [1], {1: {'map': 0.25, 'loss': float('inf')}})
  seal = json.loads((tmp_path / '1.json').read_text())
  assert seal['metrics'] == {'map': 0.25, 'loss': None}
  assert seal['arrays']['params/kernel'] == 'float32[5, 3]'
