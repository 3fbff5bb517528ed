"""Every loss on eight devices against one: value and raw gradients.

Embeddings are rows times a replicated matrix, so that the gradient crosses
the gather and both places a row is used in. Each device differentiates the
loss of the global batch and gradients are averaged once, as in
`training.steps`; a wrong factor shows, as no optimiser hides it.
"""

import functools

import every_loss
import every_loss_devices as shares
import jax
import numpy as np
import on_devices
import pytest

from mammojax import relations

# Losses that have no tests on devices of their own, each way to compute once.
FAST = (
  ('batch_hard_triplet', 'shard_map'),
  ('semihard_triplet', 'pmap'),
  ('supcon', 'shard_map'),
  ('norm_spread', 'pmap'),
)


def _run(name, transform):
  case, rows = every_loss.CASES[name], shares.global_batch()
  parameters = shares.parameters_of(case)
  relation = every_loss.relation_of(rows, case)
  args = (rows['x'], relation)
  if transform == 'one':
    return jax.jit(shares.step_of(case, None))(parameters, *args)
  step = shares.step_of(case, on_devices.AXIS)
  return on_devices.run(step, transform, (parameters,), args)


@functools.cache
def _one_device(name):
  return _run(name, 'one')


def test_the_devices_have_unequal_shares():
  rows = shares.global_batch()
  positive, negative = relations.masks(*[every_loss.relation_of(rows)] * 2)
  triplets = positive.sum(1) * negative.sum(1)
  share = np.asarray(triplets).reshape(shares.DEVICES, -1).sum(1)
  assert len(set(share[:4].tolist())) == 4 and not share[4:].any()
  valid = rows['valid'].reshape(shares.DEVICES, -1).sum(1)
  assert set(valid.tolist()) == {0, 2, 3, 4}


@pytest.mark.parametrize(
  'name, transform',
  [
    pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow)
    for case in (
      (name, transform)
      for name in every_loss.CASES
      for transform in on_devices.TRANSFORMS
    )
  ],
)
def test_eight_devices_equal_one(name, transform):
  value, grads = _run(name, transform)
  want, want_grads = _one_device(name)
  assert want > 0
  np.testing.assert_allclose(value, want, rtol=3e-6)
  for key, grad in grads.items():
    scale = np.abs(want_grads[key]).max()
    assert scale > 1e-3
    np.testing.assert_allclose(
      grad, want_grads[key], rtol=0, atol=1e-5 * scale, err_msg=key
    )
