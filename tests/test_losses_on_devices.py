"""The losses over triplets and pairs on eight devices against one."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
from loss_checks import assert_close, masks_of, relation_of
import numpy as np
import on_devices
import pytest
import reference

from mammojax import losses, relations

SHARDED = {
  'all': functools.partial(losses.batch_all_triplet, margin=0.3),
  'semihard active': functools.partial(
    losses.batch_all_triplet,
    margin=0.3,
    selection='semihard_region',
    reduction='mean_active',
  ),
  'paper': functools.partial(losses.adatriplet, margin=0.3, beta=0.1),
  'code': functools.partial(
    losses.adatriplet, margin=0.3, beta=0.1, form='code'
  ),
  'contrastive': functools.partial(losses.contrastive, margin=2.0),
}


def _run(loss, transform, relation):
  return on_devices.loss_and_gradient(
    loss, transform, on_devices.global_batch(), relation
  )


@functools.cache
def _one_device(name):
  return _run(SHARDED[name], 'one', relation_of(on_devices.global_batch()))


def test_active_triplets_are_unequal_between_the_devices():
  batch = on_devices.global_batch()
  dist = reference.distances(*[batch['x'] @ batch['w']] * 2)
  weights = reference.batch_all_triplet(dist, *masks_of(batch), 0.3)[1]
  share = np.maximum(weights, 0).sum(1).reshape(on_devices.DEVICES, -1).sum(1)
  assert len(set(share[:4])) == 4 and not share[4:].any()


@pytest.mark.parametrize(
  'name, transform',
  [
    ('semihard active', 'shard_map'),
    ('paper', 'shard_map'),
    ('paper', 'pmap'),
    ('code', 'shard_map'),
    ('contrastive', 'pmap'),
    pytest.param('all', 'shard_map', marks=pytest.mark.slow),
    pytest.param('all', 'pmap', marks=pytest.mark.slow),
    pytest.param('semihard active', 'pmap', marks=pytest.mark.slow),
    pytest.param('code', 'pmap', marks=pytest.mark.slow),
    pytest.param('contrastive', 'shard_map', marks=pytest.mark.slow),
  ],
)
def test_eight_devices_equal_one(name, transform):
  value, stats, grad = _run(
    SHARDED[name], transform, relation_of(on_devices.global_batch())
  )
  want, want_stats, want_grad = _one_device(name)
  assert want > 0 and np.abs(want_grad).max() > 1e-3
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-6)
  for one, other in zip(stats, want_stats, strict=True):
    # A gap is a difference of means, so its rounding is larger than its own.
    np.testing.assert_allclose(one, other, rtol=5e-5)


@pytest.mark.parametrize('name', ['all', 'contrastive'])
def test_one_device_equals_the_loop(name):
  batch = on_devices.global_batch()
  kind = 'euclidean' if name == 'contrastive' else 'cosine'
  x = np.asarray(batch['x'], np.float64) @ batch['w']
  dist, masks = reference.distances(x, x, kind), masks_of(batch)
  if name == 'all':
    want, weights = reference.batch_all_triplet(dist, *masks, 0.3)[:2]
  else:
    want, weights = reference.contrastive(dist, *masks, margin=2.0)
  value, _, grad = _one_device(name)
  np.testing.assert_allclose(value, want, rtol=2e-5)
  rows = reference.gradient(x, weights, kind)
  assert_close(grad, batch['x'].T.astype(np.float64) @ rows, 1e-4)


@pytest.mark.slow
def test_without_items_a_row_is_still_not_its_own_positive_on_devices():
  label = relations.Relation(jnp.asarray(on_devices.global_batch()['label']))
  value, _, grad = _run(SHARDED['all'], 'shard_map', label)
  want, _, want_grad = _run(SHARDED['all'], 'one', label)
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-6)


def test_a_gallery_of_its_own_equals_the_loop_on_devices(rng):
  x = rng.normal(size=(2 * on_devices.DEVICES, 5)).astype(np.float32)
  others = rng.normal(size=(11, 5)).astype(np.float32)
  label = (np.arange(len(x)) % 3).astype(np.int32)
  other_label = (np.arange(len(others)) % 4).astype(np.int32)
  # Images 3 to 6 are on both sides, so they are no pairs.
  item = np.arange(len(x), dtype=np.int32)
  other_item = np.arange(3, 3 + len(others), dtype=np.int32)
  other_item[4:] += 100

  def function(x, others, label, item):
    return losses.batch_all_triplet(
      x,
      relations.Relation(label, item=item),
      margin=0.2,
      distance='euclidean',
      gallery=(others, relations.Relation(other_label, item=other_item)),
      axis_name=on_devices.AXIS,
    )

  mesh = jax.make_mesh(
    (on_devices.DEVICES,), (on_devices.AXIS,), axis_types=(AxisType.Auto,)
  )
  rows = PartitionSpec(on_devices.AXIS)
  sharded = jax.shard_map(
    function,
    mesh=mesh,
    in_specs=(rows, PartitionSpec(), rows, rows),
    out_specs=PartitionSpec(),
  )
  value, grads = jax.jit(jax.value_and_grad(sharded, (0, 1)))(
    x, others, label, item
  )
  masks = reference.masks(label, other_label, item, other_item)
  dist = reference.distances(x, others, 'euclidean')
  want, weights = reference.batch_all_triplet(dist, *masks, 0.2)[:2]
  np.testing.assert_allclose(value, want, rtol=2e-5)
  wanted = reference.pull_back(x, others, weights, 'euclidean')
  for got, wanted_grad in zip(grads, wanted, strict=True):
    assert_close(got, wanted_grad)
