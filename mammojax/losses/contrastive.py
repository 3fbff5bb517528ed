"""Contrastive loss over all pairs of a batch."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import numerics, pairs
from mammojax.losses import checks

REDUCTIONS = ('mean', 'mean_active', 'sum')


class PairStats(NamedTuple):
  """What a batch holds, over all devices; float32[] each.

  Attributes:
    num_positive_pairs: ordered positive pairs.
    num_negative_pairs: ordered negative pairs.
    num_active: ordered pairs with a hinge above 0.
    mean_gap: mean negative distance minus mean positive distance.
  """

  num_positive_pairs: jax.Array
  num_negative_pairs: jax.Array
  num_active: jax.Array
  mean_gap: jax.Array


def contrastive(
  embeddings,
  labels,
  *,
  positive_margin=0.0,
  margin=1.0,
  squared=False,
  distance='euclidean',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Pulls positives within one margin, pushes negatives beyond another.

      positives  max(0, d - positive_margin)
      negatives  max(0, margin - d)

  and the squares of both with squared=True (TensorFlow's and Keras'
  version).

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    positive_margin: float, at least 0.
    margin: float, at least 0.
    squared: bool.
    distance: see there; margins are in its unit.
    reduction: 'mean' over all ordered pairs, 'mean_active' over those with a
      hinge above 0, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are PairStats.

  Returns:
    float32[], or (float32[], PairStats). At a hinge of 0 the gradient is 0.

  Source: Hadsell et al. 2006, which squares; over all pairs of the batch
  instead of drawn ones.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  positive_margin = checks.number('positive_margin', positive_margin)
  margin = checks.number('margin', margin)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def weigh(dist, positive, negative, extras):
    del extras
    hinge = jnp.where(positive, dist - positive_margin, margin - dist)
    hinge = jnp.where(positive | negative, jnp.maximum(hinge, 0.0), 0.0)
    is_active = hinge > 0
    slope = 2.0 * hinge if squared else is_active.astype(jnp.float32)
    weights = jnp.where(positive, slope, -slope)
    value = jnp.sum(hinge * hinge if squared else hinge)
    return (weights,), (value,), _sums(dist, positive, negative, is_active)

  (total,), sums = pairs.scan(weigh, of, block=block)
  count = {
    'mean': sums['positive'] + sums['negative'],
    'mean_active': sums['active'],
    'sum': jnp.ones_like(total),
  }[reduction]
  loss = numerics.divide(total, count)
  return (loss, _as_stats(sums)) if stats else loss


def _sums(dist, positive, negative, is_active):
  def count(mask):
    return jnp.sum(mask, dtype=jnp.int32).astype(jnp.float32)

  return {
    'positive': count(positive),
    'negative': count(negative),
    'active': count(is_active),
    'dist_ap': jnp.sum(jnp.where(positive, dist, 0.0)),
    'dist_an': jnp.sum(jnp.where(negative, dist, 0.0)),
  }


def _as_stats(sums):
  mean_ap = numerics.divide(sums['dist_ap'], sums['positive'])
  mean_an = numerics.divide(sums['dist_an'], sums['negative'])
  return PairStats(
    sums['positive'], sums['negative'], sums['active'], mean_an - mean_ap
  )
