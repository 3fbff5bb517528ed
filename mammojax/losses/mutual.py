"""Hinges over all triplets of a batch with few positives, both ends at once.

A pair of rows i, j is met twice: i as the anchor of j, and j as the anchor of
i. Where the distance is symmetric, the gradient of row i is

    sum_j (W_ij + W_ji) d' (i, j),

and where i and j are a negative pair, W_ij is how many of i's positives lie
beyond d_ij - margin. With the bounds d_ip + margin of all rows at hand, which
a few positives a row make cheap, both weights are known as soon as d_ij is:
two products of the batch in place of three, and none of them transposed.

    if mutual.serves(of):
      terms, sums = mutual.scan(of, margin, by_rows)

The bounds come from `distances.paired`, the other distances from
`distances.between`, which differ in the last bits. A hinge that is 0 within
rounding may fall on either side: its value is 0 all the same, and the value
and the counts of an anchor always agree, but the two ends of a pair may
disagree about its gradient. With a margin of 0 such hinges are common (an
image twice, under two labels), so there `by_rows` is called.
"""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mammojax import distances, pairs, relations

# Rows of one label up to which a batch is scored here.
SLOTS = 4


class Slots(NamedTuple):
  """Each row's fellows of one label, itself among them, in one order for all.

  Attributes:
    column: int32[SLOTS, n], the fellow; any row where there is none.
    positive: bool[SLOTS, n], the fellow exists and is a positive.
    own: int32[n], the slot that holds the row itself.
    longest: int32[], rows of the most frequent label.
  """

  column: jax.Array
  positive: jax.Array
  own: jax.Array
  longest: jax.Array


def serves(of: pairs.Batch) -> bool:
  """Whether a batch is its own gallery, on one device, and symmetric."""
  is_symmetric = of.distance not in distances.ASYMMETRIC
  return of.is_self and of.axis_name is None and is_symmetric


def scan(
  of: pairs.Batch,
  margin: jax.Array,
  by_rows: Callable[[pairs.Batch], tuple[tuple, dict]],
  *,
  ceiling: tuple[jax.Array, jax.Array] | None = None,
  stats: bool = False,
  block: int = pairs.BLOCK,
) -> tuple[tuple[jax.Array], dict[str, Any]]:
  """Sums the hinges of all triplets, as `pairs.scan` does.

  Args:
    of: a batch that `serves` accepts.
    margin: float32[], at least 0.
    by_rows: the same sums by `pairs.scan` with one term; called where a label
      has more than SLOTS rows, or the margin is 0.
    ceiling: (bound float32[], weight float32[]): adds weight times
      max(0, bound - d_an), once for each triplet.
    stats: also the sums of `triplet.batch_sums`.
    block: anchors at a time, at least 1.

  Returns:
    ((total,), sums): float32[], whose gradient by the embeddings is exact,
    and float32[] sums by name. Time O(n^2 d) in two products; memory
    O(block n + n d).
  """
  fixed = pairs.fixed(of)
  slots = _find_slots(fixed)

  def by_both_ends():
    return _scan(fixed, slots, margin, ceiling, stats, block)

  def otherwise():
    def function(x):
      (total,), sums = by_rows(of._replace(anchors=x, gallery=x))
      return total, sums

    (total, sums), grad = jax.value_and_grad(function, has_aux=True)(
      fixed.anchors
    )
    return total, sums, grad

  total, sums, grad = jax.lax.cond(
    (slots.longest <= SLOTS) & (margin > 0), by_both_ends, otherwise
  )
  return (total + pairs.only_gradient(of.anchors, grad),), sums


def closed_form(num_p, num_n, sum_p, sum_n):
  """Sums over the valid triplets of each anchor; all float32[n].

  Args:
    num_p: positives of the anchor.
    num_n: negatives.
    sum_p: sum of the distances of its positives.
    sum_n: of its negatives.
  """
  return {
    'triplets': jnp.sum(num_p * num_n),
    'anchors': jnp.sum((num_p * num_n > 0).astype(jnp.float32)),
    'gap': jnp.sum(num_p * sum_n - num_n * sum_p),
    'an': jnp.sum(num_p * (num_n - sum_n)),
  }


def _find_slots(of):
  """Sorts the rows by label, padding last, and reads runs of labels."""
  # Rows are looked up by traced columns, which NumPy's arrays do not allow.
  relation = jax.tree.map(jnp.asarray, of.anchor_relation)
  rows = jnp.arange(relation.label.shape[0], dtype=jnp.int32)
  is_padding, label, order = jax.lax.sort(
    ((~relation.valid).astype(jnp.int32), relation.label, rows), num_keys=2
  )
  is_new = (label != jnp.roll(label, 1)) | (
    is_padding != jnp.roll(is_padding, 1)
  )
  start = jax.lax.cummax(jnp.where(is_new, rows, 0))
  place = jnp.argsort(order).astype(jnp.int32)
  longest = jnp.max(jnp.where(is_padding == 0, rows - start + 1, 0))
  first = start[place]

  def fellow(slot):
    at = first + slot
    column = order[jnp.minimum(at, rows.shape[0] - 1)]
    other = jax.tree.map(lambda leaf: leaf[column], relation)
    positive, _ = relations.paired(relation, other, column == rows)
    return column, positive & (at < rows.shape[0])

  column, positive = jax.vmap(fellow)(jnp.arange(SLOTS, dtype=jnp.int32))
  return Slots(column, positive, place - first, longest)


def _scan(of, slots, margin, ceiling, stats, block):
  """(total, sums, gradient by the rows), without gradient themselves."""
  x = of.anchors
  dist_p, pull_back = jax.vjp(functools.partial(_to_fellows, of, slots), x)
  bound = jnp.where(slots.positive, dist_p + margin, -jnp.inf)
  num_p = jnp.sum(slots.positive.astype(x.dtype), axis=0)
  per_row = (x, of.anchor_relation, of.anchor_row, bound.T, num_p)
  blocks = jax.tree.map(functools.partial(pairs.split, block=block), per_row)
  visit = functools.partial(_visit, of, (bound, num_p), ceiling, stats)
  # [blocks, block, ...] -> [n, ...]
  of_row, grad = jax.tree.map(
    lambda leaf: leaf.reshape((-1,) + leaf.shape[2:])[: x.shape[0]],
    jax.lax.map(visit, blocks),
  )
  counts = of_row['counts'].T
  # A fellow's count for this row stands in the slot of this row.
  of_fellow = counts[slots.own[None, :], slots.column]
  both = jnp.where(slots.positive, counts + of_fellow, 0.0)
  grad += pull_back(both)[0]
  hinges = jnp.sum(jnp.where(slots.positive, counts * bound, 0.0), axis=0)
  total = jnp.sum(jnp.maximum(hinges - of_row['near'], 0.0))
  if ceiling is not None:
    total += ceiling[1] * jnp.sum(num_p * of_row['room'])
  sums = {
    'positives': jnp.sum(num_p),
    'selected': jnp.sum(num_p * of_row['negatives']),
    'active': jnp.sum(counts),
  }
  if stats:
    sum_p = jnp.sum(jnp.where(slots.positive, dist_p, 0.0), axis=0)
    sums |= closed_form(num_p, of_row['negatives'], sum_p, of_row['dist'])
    has_positive = (num_p > 0).astype(x.dtype)
    sums['pairs'] = jnp.sum(has_positive * of_row['once'])
    sums['an_pairs'] = jnp.sum(has_positive * of_row['once_an'])
  return total, sums, grad


def _to_fellows(of, slots, x):
  """Distances from rows to their fellows, float32[SLOTS, n]."""
  return jnp.stack(
    [
      distances.paired_between(x, of.gallery[column], of.distance)
      for column in slots.column
    ]
  )


def _visit(of, gallery_side, ceiling, stats, rows):
  """One block of anchors: sums over its negatives, gradient of its rows.

  Args:
    of: Batch.
    gallery_side: (bound [SLOTS, n], num_p [n]) of all rows.
    ceiling: see `scan`.
    stats: see `scan`.
    rows: the block's share of what `_scan` splits.
  """
  bound, num_p = gallery_side
  x, relation, row, own_bound, own_num_p = rows
  _, negative = relations.masks(relation, of.gallery_relation, anchor_row=row)
  dist, pull_back = jax.vjp(
    lambda x: distances.between(x, of.gallery, of.distance), x
  )
  as_one = functools.partial(jnp.asarray, dtype=x.dtype)
  near = [
    as_one(negative & (dist < own_bound[:, k : k + 1])) for k in range(SLOTS)
  ]
  weights = sum(near)
  sums = {
    'counts': jnp.stack([jnp.sum(each, axis=1) for each in near], axis=1),
    'negatives': jnp.sum(as_one(negative), axis=1),
    'near': jnp.sum(weights * dist, axis=1),
  }
  for each in bound:
    weights += as_one(negative & (dist < each[None, :]))
  if ceiling is not None:
    room = jnp.where(negative, jnp.maximum(ceiling[0] - dist, 0.0), 0.0)
    sums['room'] = jnp.sum(room, axis=1)
    times = ceiling[1] * (own_num_p[:, None] + num_p[None, :])
    weights += jnp.where(room > 0, times, 0.0)
  if stats:
    # A pair of two anchors is met twice and counts one half each time.
    once = jnp.where(negative, 1.0 - 0.5 * as_one(num_p > 0)[None, :], 0.0)
    sums['dist'] = jnp.sum(jnp.where(negative, dist, 0.0), axis=1)
    sums['once'] = jnp.sum(once, axis=1)
    sums['once_an'] = jnp.sum(once * (1.0 - dist), axis=1)
  return sums, pull_back(-weights)[0]
