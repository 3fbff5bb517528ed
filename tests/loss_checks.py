"""What tests of losses have in common."""

import jax.numpy as jnp
import numpy as np
import reference

from mammojax import relations


def relation_of(batch, **rules):
  """Relation of a dict of rows; a group only if it has one."""
  fields = {
    field: jnp.asarray(batch[field])
    for field in ('label', 'item', 'valid', 'group')
    if field in batch
  }
  return relations.Relation(**fields, **rules)


def masks_of(batch, **rules):
  """The masks of the same rows by the reference."""
  return reference.masks(
    batch['label'],
    item=batch['item'],
    valid=batch['valid'],
    group=batch.get('group'),
    **rules,
  )


def assert_close(got, want, tolerance=2e-5):
  """To a share of the largest entry; gradients have no other scale."""
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def assert_triplet_stats(stats, batch):
  """The fields of TripletStats that do not depend on the selection."""
  masks = masks_of(batch)
  dist = reference.distances(batch['x'], batch['x'])
  means = reference.margin_means(dist, *masks)
  assert stats.num_triplets == means['num_triplets']
  assert stats.num_negative_pairs == means['num_pairs']
  assert stats.num_anchors == (masks[0].any(1) & masks[1].any(1)).sum()
  for got, mean in (
    (stats.mean_gap, 'gap'),
    (stats.mean_an, 'an'),
    (stats.mean_an_pairs, 'an_pairs'),
  ):
    np.testing.assert_allclose(got, means[mean] or 0.0, atol=2e-6)


def gallery_case(one, other):
  """13 rows of another batch, three of them images of the first.

  Returns:
    (rows, (positive, negative)) for `one` against the rows.
  """
  rows = {field: value[:13].copy() for field, value in other.items()}
  rows['item'] += 1000
  rows['item'][:3], rows['label'][:3] = one['item'][:3], one['label'][:3]
  masks = reference.masks(
    one['label'], rows['label'], one['item'], rows['item'],
    one['valid'], rows['valid'],
  )  # fmt: skip
  return rows, masks


def ruled_case(batch):
  """A batch with padding and groups, and rules that are not the default."""
  group = (np.arange(20) // 3).astype(np.int32)
  ruled = dict(batch, valid=np.arange(20) % 7 != 3, group=group)
  return ruled, {'same_item': 'positive', 'same_group': 'ignored'}
