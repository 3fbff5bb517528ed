"""SCT and WAT on eight devices against one."""

import functools

from loss_checks import assert_close, relation_of
import numpy as np
import on_devices
import pytest

from mammojax.losses import adaptive

LOSSES = {'sct': adaptive.sct, 'wat': adaptive.wat}


def _run(name, transform):
  batch = on_devices.global_batch()
  return on_devices.loss_and_gradient(
    LOSSES[name], transform, batch, relation_of(batch)
  )


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
