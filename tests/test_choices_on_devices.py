"""Losses that choose their triplets, on eight devices against one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
import reference
import reference_mining

from mammojax import losses, relations

LOSSES = {
  'semihard': losses.semihard_triplet,
  'facenet': functools.partial(
    losses.semihard_triplet, variant='facenet', reduction='mean_pairs'
  ),
  'hard': functools.partial(losses.hard_triplet, reduction='mean_active'),
  'distance_weighted': functools.partial(
    losses.distance_weighted_triplet,
    key=jax.random.key(4),
    distance='cosine',
  ),
  'batch_hard': losses.batch_hard_triplet,
  'batch_easy_positive_hard_negative': functools.partial(
    losses.batch_easy_positive_hard_negative_triplet, reduction='mean_active'
  ),
  'batch_easy_positive_semihard': functools.partial(
    losses.batch_easy_positive_semihard_triplet, soft=True
  ),
}
# A subset in every run, the rest where there is time.
OFTEN = {
  ('semihard', 'shard_map'),
  ('facenet', 'pmap'),
  ('distance_weighted', 'shard_map'),
  ('batch_hard', 'shard_map'),
  ('batch_hard', 'pmap'),
  ('batch_easy_positive_semihard', 'pmap'),
}
MARGIN = 0.3


def _relation():
  batch = on_devices.global_batch()
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def _run(name, transform):
  loss = functools.partial(LOSSES[name], margin=MARGIN)
  return on_devices.loss_and_gradient(
    loss, transform, on_devices.global_batch(), _relation()
  )


_one_device = functools.cache(functools.partial(_run, transform='one'))


@pytest.mark.parametrize(
  'name, transform',
  [
    pytest.param(
      name,
      transform,
      marks=() if (name, transform) in OFTEN else pytest.mark.slow,
    )
    for name in LOSSES
    for transform in on_devices.TRANSFORMS
  ],
)
def test_eight_devices_equal_one(name, transform):
  value, stats, grad = _run(name, transform)
  want, want_stats, want_grad = _one_device(name)
  assert want > 0 and np.abs(want_grad).max() > 1e-3
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-6)
  for one, other in zip(stats, want_stats, strict=True):
    # A gap is a difference of means, so its rounding is larger than its own.
    np.testing.assert_allclose(one, other, rtol=5e-5)


@pytest.mark.parametrize('name', ['semihard', 'batch_hard'])
def test_one_device_equals_the_loop_and_the_devices_hold_unequal_shares(name):
  batch = on_devices.global_batch()
  x = np.asarray(batch['x'], np.float64) @ batch['w']
  dist = reference.distances(x, x)
  masks = reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )
  chosen = reference_mining.triplets(name, dist, *masks, MARGIN)
  want, weights, _, _ = reference_mining.triplet_loss(dist, chosen, MARGIN)
  shares = np.bincount([a // 4 for a, _, _ in chosen], minlength=8)
  assert len(set(shares[:4])) > 1 and not shares[4:].any()
  value, _, grad = _one_device(name)
  np.testing.assert_allclose(value, want, rtol=2e-5)
  rows = reference.gradient(x, weights)
  scale = np.abs(grad).max()
  np.testing.assert_allclose(
    grad, batch['x'].T.astype(np.float64) @ rows, rtol=0, atol=1e-4 * scale
  )
