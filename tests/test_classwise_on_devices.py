"""ArcFace, SoftTriple and Proxy-Anchor on eight devices against one."""

import functools

from classwise_cases import DIM, LOSSES, weights_of
from loss_checks import assert_close, relation_of
import numpy as np
import on_devices
import pytest


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


@functools.cache
def _one_device(name):
  return _run(name, 'one', _global_batch())


def _run(name, transform, batch):
  def function(params, x, relation, **options):
    matrix, class_weights = params
    return LOSSES[name][0](x @ matrix, relation, class_weights, **options)

  params = (batch['m'], weights_of(name))
  rows = (batch['x'], relation_of(batch))
  return on_devices.value_and_gradient(function, transform, params, rows)


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
