"""ArcFace, SoftTriple and Proxy-Anchor on eight devices against one."""

import functools

from classwise_cases import DIM, LOSSES, weights_of
import jax
from jax.sharding import AxisType, PartitionSpec
from loss_checks import assert_close, relation_of
import numpy as np
import pytest

DEVICES = 8


# Eight devices. Embeddings are rows times a replicated matrix; both it and
# the class weights are trained.
def _global_batch():
  rng = np.random.default_rng(9)
  label = np.array([0] * 9 + [1] * 4 + [2] * 3 + [7] * 8 + list(range(8)))
  return {
    'x': rng.normal(size=(32, 5)).astype(np.float32),
    'm': rng.normal(size=(5, DIM)).astype(np.float32),
    'label': label.astype(np.int32),
    'valid': (np.arange(32) < 20) | (np.arange(32) > 29),
  }


def _step(name, axis_name):
  def step(params, x, relation):
    def function(params):
      embeddings = x @ params[0]
      return LOSSES[name][0](
        embeddings, relation, params[1], axis_name=axis_name, stats=True
      )

    (value, stats), grads = jax.value_and_grad(function, has_aux=True)(params)
    if axis_name is not None:
      grads = jax.lax.pmean(grads, axis_name)
    return value, stats, grads

  return step


@functools.cache
def _one_device(name):
  return _run(name, 'one', _global_batch())


def _run(name, transform, batch):
  params = (batch['m'], weights_of(name))
  rows = (batch['x'], relation_of(batch))
  if transform == 'one':
    return jax.jit(_step(name, None))(params, *rows)
  if transform == 'pmap':
    split = jax.tree.map(
      lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), rows
    )
    step = jax.pmap(
      _step(name, 'data'),
      axis_name='data',
      in_axes=(None, 0, 0),
      out_axes=None,
    )
    return step(params, *split)
  mesh = jax.make_mesh((DEVICES,), ('data',), axis_types=(AxisType.Auto,))
  split = PartitionSpec('data')
  step = jax.shard_map(
    _step(name, 'data'),
    mesh=mesh,
    in_specs=(PartitionSpec(), split, split),
    out_specs=PartitionSpec(),
  )
  return jax.jit(step)(params, *rows)


@pytest.mark.parametrize(
  'name, transform',
  [
    ('arcface', 'pmap'),
    ('soft_triplet', 'shard_map'),
    ('proxy_anchor', 'shard_map'),
    pytest.param('arcface', 'shard_map', marks=pytest.mark.slow),
    pytest.param('soft_triplet', 'pmap', marks=pytest.mark.slow),
    pytest.param('proxy_anchor', 'pmap', marks=pytest.mark.slow),
  ],
)
def test_eight_devices_equal_one(name, transform):
  batch = _global_batch()
  value, stats, grads = _run(name, transform, batch)
  want, want_stats, want_grads = _one_device(name)
  assert want > 0.1 and all(np.abs(grad).max() > 1e-3 for grad in want_grads)
  np.testing.assert_allclose(value, want, rtol=2e-6)
  np.testing.assert_allclose(stats, want_stats, rtol=1e-5)
  for grad, want_grad in zip(grads, want_grads, strict=True):
    assert_close(grad, want_grad, 3e-6)


@pytest.mark.slow
def test_a_bad_label_on_one_device_stops_all():
  batch = _global_batch()
  batch['label'][2] = 8
  value, _, grads = _run('proxy_anchor', 'shard_map', batch)
  assert np.isnan(value) and all(np.isnan(grad).any() for grad in grads)
