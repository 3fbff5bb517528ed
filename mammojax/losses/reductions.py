"""From values per anchor to one number, over all devices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import numerics

ANCHOR_REDUCTIONS = ('mean', 'mean_active', 'sum')


class AnchorStats(NamedTuple):
  """What a loss over anchors saw, over all devices; float32[] each.

  Attributes:
    num_selected: anchors (or terms) that count.
    num_active: those of them with a value above 0.
    mean_gap: mean of d_an - d_ap over valid triplets.
  """

  num_selected: jax.Array
  num_active: jax.Array
  mean_gap: jax.Array


def over_anchors(of, values, where, reduction):
  """Reduces values per anchor to the loss of the global batch.

  Args:
    of: `pairs.Batch`.
    values: float32[n], of this device's anchors.
    where: bool[n], anchors that count; elsewhere values are not read.
    reduction: 'mean' over anchors that count, 'mean_active' over those with a
      value above 0, 'sum'.

  Returns:
    (float32[] loss, float32[] number that count, float32[] number active).
    Nothing that counts gives 0 with zero gradient.
  """
  values = jnp.where(where, values, 0.0)
  is_active = jax.lax.stop_gradient(values) > 0
  total, selected, active = of.total(
    (jnp.sum(values), count(where), count(is_active))
  )
  return reduced(total, selected, active, reduction), selected, active


def reduced(total, selected, active, reduction):
  """A sum over all devices, divided as a reduction says.

  Args:
    total: float32[], sum of the values that count.
    selected: float32[], how many count.
    active: float32[], how many of them are above 0.
    reduction: one of ANCHOR_REDUCTIONS.

  Returns:
    float32[]; 0 with zero gradient where nothing counts.
  """
  count_of = {'mean': selected, 'mean_active': active, 'sum': 1.0}[reduction]
  return numerics.divide(total, jnp.asarray(count_of, total.dtype))


def count(mask):
  """Number of True entries, float32[], exact up to 2^31."""
  return jnp.sum(mask, dtype=jnp.int32).astype(jnp.float32)


def row_gap(dist, positive, negative):
  """Per anchor: the sum of d_an - d_ap over its triplets, and their number.

  Args:
    dist: float32[k, m].
    positive: bool[k, m].
    negative: bool[k, m].

  Returns:
    (float32[k], float32[k]), without gradient.
  """
  dist = jax.lax.stop_gradient(dist)
  num_p = jnp.sum(positive, axis=1, dtype=jnp.int32).astype(jnp.float32)
  num_n = jnp.sum(negative, axis=1, dtype=jnp.int32).astype(jnp.float32)
  sum_p = jnp.sum(jnp.where(positive, dist, 0.0), axis=1)
  sum_n = jnp.sum(jnp.where(negative, dist, 0.0), axis=1)
  return num_p * sum_n - num_n * sum_p, num_p * num_n


def anchor_stats(of, selected, active, gap, num_triplets) -> AnchorStats:
  """AnchorStats from the counts of `over_anchors` and rows of `row_gap`."""
  gap, num_triplets = of.total((jnp.sum(gap), jnp.sum(num_triplets)))
  return AnchorStats(selected, active, numerics.divide(gap, num_triplets))
