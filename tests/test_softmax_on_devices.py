"""Softmax and pair-weighting losses on eight devices against one."""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
import numpy as np
import pytest
from weighting_cases import EVERY

from mammojax import relations

# Eight devices. Embeddings are rows times a replicated matrix, so that the
# gradient crosses the gather and both places a row is used in.
DEVICES = 8


def _global_batch():
  """24 rows: two labels crowd the first devices, the last have no pair."""
  rng = np.random.default_rng(9)
  label = [0] * 7 + [1] * 4 + [2] * 2 + list(range(10, 21))
  x = rng.normal(size=(24, 5)).astype(np.float32)
  item = np.arange(24, dtype=np.int32)
  item[5], x[5] = item[2], x[2]
  relation = relations.Relation(
    jnp.asarray(label, jnp.int32),
    item=jnp.asarray(item),
    valid=jnp.arange(24) != 9,
  )
  return rng.normal(size=(5, 3)).astype(np.float32), x, relation


def _step(loss, axis_name):
  def step(w, x, relation):
    def function(w):
      return loss(x @ w, relation, axis_name=axis_name, stats=True)

    (value, stats), grad = jax.value_and_grad(function, has_aux=True)(w)
    if axis_name is not None:
      grad = jax.lax.pmean(grad, axis_name)
    return value, stats, grad

  return step


def _on_devices(loss, transform, w, x, relation):
  step = _step(loss, 'data')
  if transform == 'pmap':
    split = jax.tree.map(
      lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), (x, relation)
    )
    mapped = jax.pmap(
      step, axis_name='data', in_axes=(None, 0, 0), out_axes=None
    )
    return mapped(w, *split)
  mesh = jax.make_mesh((DEVICES,), ('data',), axis_types=(AxisType.Auto,))
  rows = PartitionSpec('data')
  mapped = jax.shard_map(
    step,
    mesh=mesh,
    in_specs=(PartitionSpec(), rows, rows),
    out_specs=PartitionSpec(),
  )
  return jax.jit(mapped)(w, x, relation)


FAST = (
  ('nt_xent', 'shard_map'),
  ('original', 'shard_map'),
  ('original', 'pmap'),
)


@pytest.mark.parametrize(
  'name, transform',
  [
    pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow)
    for case in (
      (name, transform) for name in EVERY for transform in ('shard_map', 'pmap')
    )
  ],
)
def test_eight_devices_equal_one(name, transform):
  w, x, relation = _global_batch()
  got = _on_devices(EVERY[name], transform, w, x, relation)
  want = jax.jit(_step(EVERY[name], None))(w, x, relation)
  scale = np.abs(want[2]).max()
  assert want[0] > 0 and scale > 1e-3
  np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
  np.testing.assert_allclose(got[2], want[2], rtol=0, atol=1e-5 * scale)
  for one, other in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(one, other, rtol=5e-5)
