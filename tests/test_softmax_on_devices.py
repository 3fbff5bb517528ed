"""Softmax and pair-weighting losses on eight devices against one."""

import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
from weighting_cases import EVERY

from mammojax import relations


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
  return {'w': rng.normal(size=(5, 3)).astype(np.float32), 'x': x}, relation


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
  got, want = (
    on_devices.loss_and_gradient(EVERY[name], where, *_global_batch())
    for where in (transform, 'one')
  )
  scale = np.abs(want[2]).max()
  assert want[0] > 0 and scale > 1e-3
  np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
  np.testing.assert_allclose(got[2], want[2], rtol=0, atol=1e-5 * scale)
  for one, other in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(one, other, rtol=5e-5)
