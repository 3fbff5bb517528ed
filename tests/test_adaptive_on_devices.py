"""SCT and WAT on eight devices against one."""

import functools

import jax
from jax.sharding import AxisType, PartitionSpec
from loss_checks import assert_close, relation_of
import numpy as np
import pytest

from mammojax.losses import adaptive

DEVICES = 8
LOSSES = {'sct': adaptive.sct, 'wat': adaptive.wat}


# Eight devices, as in test_losses_on_devices.py.
@functools.cache
def _global_batch():
  rng = np.random.default_rng(9)
  label = [0] * 9 + [1] * 4 + [2] * 3 + list(range(10, 26))
  return {
    'x': rng.normal(size=(32, 7)).astype(np.float32),
    'w': rng.normal(size=(7, 5)).astype(np.float32),
    'label': np.array(label, np.int32),
    'item': np.arange(32, dtype=np.int32),
    'valid': np.arange(32) != 11,
  }


def _step(name, axis_name):
  def step(w, x, relation):
    def function(w):
      return LOSSES[name](x @ w, relation, axis_name=axis_name, stats=True)

    (value, stats), grad = jax.value_and_grad(function, has_aux=True)(w)
    if axis_name is not None:
      grad = jax.lax.pmean(grad, axis_name)
    return value, stats, grad

  return step


def _run(name, transform):
  batch = _global_batch()
  args = (batch['w'], batch['x'], relation_of(batch))
  if transform == 'one':
    return jax.jit(_step(name, None))(*args)
  if transform == 'pmap':
    split = jax.tree.map(
      lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), args[1:]
    )
    step = jax.pmap(
      _step(name, 'data'),
      axis_name='data',
      in_axes=(None, 0, 0),
      out_axes=None,
    )
    return step(args[0], *split)
  mesh = jax.make_mesh((DEVICES,), ('data',), axis_types=(AxisType.Auto,))
  rows = PartitionSpec('data')
  step = jax.shard_map(
    _step(name, 'data'),
    mesh=mesh,
    in_specs=(PartitionSpec(), rows, rows),
    out_specs=PartitionSpec(),
  )
  return jax.jit(step)(*args)


@functools.cache
def _one_device(name):
  return _run(name, 'one')


@pytest.mark.parametrize(
  'name, transform',
  [
    ('sct', 'shard_map'),
    ('wat', 'pmap'),
    pytest.param('sct', 'pmap', marks=pytest.mark.slow),
    pytest.param('wat', 'shard_map', marks=pytest.mark.slow),
  ],
)
def test_eight_devices_equal_one(name, transform):
  value, stats, grad = _run(name, transform)
  want, want_stats, want_grad = _one_device(name)
  assert want > 0 and np.abs(want_grad).max() > 1e-3
  np.testing.assert_allclose(value, want, rtol=1e-6)
  assert_close(grad, want_grad, 2e-6)
  for one, other in zip(stats, want_stats, strict=True):
    # A gap is a difference of means, so its rounding is larger than its own.
    np.testing.assert_allclose(one, other, rtol=5e-5)
