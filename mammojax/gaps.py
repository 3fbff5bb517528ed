"""Triplets of a block of anchors, counted by their gap d_an - d_ap.

Rows are anchors; `dist`, `positive` and `negative` are [k, m] as `pairs`
hands them out. Nothing here is larger than a block.
"""

import jax
import jax.numpy as jnp

from mammojax import numerics, orderstats, pairs

# Positives looked up side by side.
_LANES = 8


def positives_exist(of: pairs.Batch, dtype):
  """Which anchors, and which gallery rows as anchors, have a positive.

  Args:
    of: what `pairs.batch` returned.
    dtype: of the result.

  Returns:
    (dtype[n], dtype[m]) of 0 and 1. Rows of an explicit gallery are never
    anchors. Time O(n m) without a product.
  """

  def any_positive(positive, negative):
    del negative
    return jnp.any(positive, axis=1).astype(dtype)

  has_positive = pairs.per_anchor(any_positive, of)
  if of.is_self:
    return has_positive, pairs.gather(has_positive, of.axis_name)
  return has_positive, jnp.zeros(of.gallery.shape[0], dtype)


def sim_weights(positive, negative, extra):
  """How often each negative pair counts for the quantile of phi_an.

  Args:
    positive: bool[k, m].
    negative: bool[k, m].
    extra: (None, None): once for each positive of its anchor. Else
      (int32[k], int32[m]) of 0 and 1, rows that are anchors with a positive:
      each unordered pair twice.

  Returns:
    int32[k, m].
  """
  own, other = extra
  if own is None:
    weight = jnp.sum(positive, axis=1, keepdims=True, dtype=jnp.int32)
  else:
    # A pair of two anchors is met from either end; any other only once.
    weight = own[:, None] * (2 - other[None, :])
  return jnp.where(negative, weight, 0)


def sorted_rows(dist, positive, negative, extra):
  """What `gaps_upto` and `sims_upto` read, [k, ...] each; see `sim_weights`."""
  dist = dist.astype(jnp.float32)
  return {
    'ap': _to_the_left(dist, positive),
    'an': jnp.sort(jnp.where(negative, dist, jnp.inf), axis=1),
    'num_p': jnp.sum(positive, axis=1, dtype=jnp.int32),
    'num_n': jnp.sum(negative, axis=1, dtype=jnp.int32),
    'sim': 1.0 - dist,
    'weight': sim_weights(positive, negative, extra),
  }


def _to_the_left(dist, where):
  """The kept entries of each row in its first columns, then -inf."""
  column = jnp.cumsum(where, axis=1, dtype=jnp.int32) - 1
  column = jnp.where(where, column, dist.shape[1])
  return jax.vmap(
    lambda row, to: jnp.full_like(row, -jnp.inf).at[to].set(row, mode='drop')
  )(dist, column)


def sims_upto(rows, bound):
  """Per anchor: weight of phi_an at most `bound`, and the next phi_an."""
  is_above = rows['sim'] > bound
  counts = jnp.sum(
    jnp.where(is_above, 0, rows['weight']), axis=1, dtype=jnp.int32
  )
  is_above &= rows['weight'] > 0
  return counts, jnp.min(jnp.where(is_above, rows['sim'], jnp.inf), axis=1)


def gaps_upto(rows, bound):
  """Per anchor: triplets with d_an <= d_ap + bound, and the next gap."""
  num_rows, num_columns = rows['an'].shape
  num_n = rows['num_n'][:, None]
  padding = ((0, 0), (0, -num_columns % _LANES))
  dist_ap = jnp.pad(rows['ap'], padding, constant_values=-jnp.inf)
  look_up = jax.vmap(lambda row, x: jnp.searchsorted(row, x, side='right'))

  def visit(turn, so_far):
    counts, least = so_far
    lane = jax.lax.dynamic_slice_in_dim(dist_ap, turn * _LANES, _LANES, axis=1)
    exists = lane > -jnp.inf
    found = look_up(rows['an'], jnp.where(exists, lane, 0.0) + bound)
    found = jnp.where(exists, jnp.minimum(found.astype(jnp.int32), num_n), 0)
    column = jnp.minimum(found, num_columns - 1)
    gap = jnp.take_along_axis(rows['an'], column, axis=1) - lane
    gap = jnp.where(exists & (found < num_n), gap, jnp.inf)
    counts += jnp.sum(found, axis=1, dtype=jnp.int32)
    return counts, jnp.minimum(least, jnp.min(gap, axis=1))

  start = (
    jnp.zeros(num_rows, jnp.int32),
    jnp.full(num_rows, jnp.inf, jnp.float32),
  )
  start = numerics.vary_like(start, rows['an'])
  turns = (jnp.max(rows['num_p'], initial=0) + _LANES - 1) // _LANES
  return jax.lax.fori_loop(0, turns, visit, start)


def gap_histogram(dist, positive, negative):
  """Bins of all gaps of a block, one positive of every row at a time."""
  dist_ap = _to_the_left(dist, positive)

  def visit(turn, counts):
    bound = jax.lax.dynamic_slice_in_dim(dist_ap, turn, 1, axis=1)
    counted = negative & (bound > -jnp.inf)
    gap = jnp.where(counted, dist - bound, 0.0)
    more = orderstats.histogram(
      orderstats.bin_of(gap), counted.astype(jnp.int32)
    )
    return orderstats.carry(counts + more)

  start = numerics.vary_like(jnp.zeros((2, orderstats.BINS), jnp.int32), dist)
  most = jnp.max(jnp.sum(positive, axis=1, dtype=jnp.int32), initial=0)
  return jax.lax.fori_loop(0, most, visit, start)
