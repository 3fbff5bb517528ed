"""Triplet loss over all triplets of a region, exact and without a cube."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import gaps, mining, numerics, pairs
from mammojax.losses import checks, mutual

REDUCTIONS = ('mean', 'mean_active', 'mean_pairs', 'sum')


class TripletStats(NamedTuple):
  """What a batch holds, over all devices; float32[] each.

  Attributes:
    num_triplets: valid triplets.
    num_selected: triplets of the selection.
    num_active: selected triplets with a hinge above 0.
    num_anchors: anchors with a positive and a negative.
    num_negative_pairs: unordered negative pairs that occur in a triplet.
    mean_gap: mean of d_an - d_ap over valid triplets.
    mean_an: mean of 1 - d_an over valid triplets; a pair counts once for
      each positive of its anchor.
    mean_an_pairs: mean of 1 - d over those unordered negative pairs.
  """

  num_triplets: jax.Array
  num_selected: jax.Array
  num_active: jax.Array
  num_anchors: jax.Array
  num_negative_pairs: jax.Array
  mean_gap: jax.Array
  mean_an: jax.Array
  mean_an_pairs: jax.Array


def batch_all_triplet(
  embeddings,
  labels,
  *,
  margin,
  selection='all',
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Triplet loss summed exactly over every selected triplet.

      sum over selected (a, p, n) of max(0, d_ap - d_an + margin)
      = margin |A| + sum_ij W_ij d_ij

  with A the active triplets, W_ap the active triplets of a positive pair and
  -W_an those of a negative pair. W is constant under small changes, so the
  gradient is exact wherever it exists; at a hinge of 0 it is taken as 0.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    margin: float, at least 0, in the unit of the distance.
    selection: key of `mining.SELECTIONS`: 'all', 'semihard_region'
      (0 < gap <= margin), 'hard_region' (gap <= 0), or a choice such as
      'semihard'.
    distance: see there.
    reduction: 'mean' over selected triplets, 'mean_active' over those with a
      hinge above 0, 'mean_pairs' over all positive pairs, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are TripletStats.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Schroff et al. 2015, arXiv:1503.03832, with every distance by name;
  the counting form is derived in docs/losses.md.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  mining.check_name(selection)
  margin = checks.number('margin', margin)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def weigh(dist, positive, negative, extras):
    chosen = mining.select(selection, dist, positive, negative, margin)
    weights = mining.pair_weights(chosen, positive)
    value = hinge_sum(weights, dist, chosen, positive, margin)
    sums = selection_sums(positive, chosen)
    if stats:
      sums |= batch_sums(dist, positive, negative, extras)
    return (weights,), (value,), sums

  def by_rows(of):
    has_positive = (
      gaps.positives_exist(of, jnp.float32) if stats else no_extras(of)
    )
    return pairs.scan(weigh, of, has_positive, block=block)

  if selection == 'all' and mutual.serves(of):
    (total,), sums = mutual.scan(of, margin, by_rows, stats=stats, block=block)
  else:
    (total,), sums = by_rows(of)
  loss = numerics.divide(total, denominator(sums, reduction))
  return (loss, as_stats(sums)) if stats else loss


def denominator(sums, reduction):
  """What the sum of hinges is divided by; see REDUCTIONS."""
  names = {
    'mean': 'selected',
    'mean_active': 'active',
    'mean_pairs': 'positives',
  }
  if reduction == 'sum':
    return jnp.ones_like(sums['selected'])
  return sums[names[reduction]]


def hinge_sum(weights, dist, chosen, positive, margin):
  """Margin |A| + sum W d, float32[], row by row so that no total rounds."""
  active = jnp.where(positive, chosen.active, 0)
  num_active = jnp.sum(active, axis=1, dtype=jnp.int32)
  rows = margin * num_active.astype(jnp.float32) + jnp.sum(
    weights * dist, axis=1
  )
  return jnp.sum(jnp.maximum(rows, 0.0))


def hinge(excess, soft):
  """Value and derivative of the hinge or of the soft margin.

  Args:
    excess: float32[...], d_ap - d_an + margin.
    soft: log(1 + exp(excess)) in place of max(0, excess).

  Returns:
    (float32[...], float32[...]); at a hinge of 0 the derivative is 0.
  """
  if soft:
    return jax.nn.softplus(excess), jax.nn.sigmoid(excess)
  return jnp.maximum(excess, 0.0), (excess > 0).astype(excess.dtype)


def no_extras(of):
  """Extras for `batch_sums` where no one asked for unordered pairs."""
  return (
    jnp.zeros_like(of.anchor_relation.valid, jnp.float32),
    jnp.zeros_like(of.gallery_relation.valid, jnp.float32),
  )


def unordered_weights(negative, extras):
  """Weight of each ordered negative pair so that {i, j} counts once.

  A pair counts if one end has a positive; if both have, it is met twice and
  weighs one half each time.
  """
  anchor_has, gallery_has = extras
  weights = anchor_has[:, None] * (1.0 - 0.5 * gallery_has[None, :])
  return jnp.where(negative, weights, 0.0)


def selection_sums(positive, chosen):
  """Sums of one block that reductions divide by; `chosen` is a Selection."""

  def on_positives(counts):
    rows = jnp.sum(jnp.where(positive, counts, 0), axis=1, dtype=jnp.int32)
    return jnp.sum(rows.astype(jnp.float32))

  return {
    'positives': jnp.sum(positive, dtype=jnp.int32).astype(jnp.float32),
    'selected': on_positives(chosen.selected),
    'active': on_positives(chosen.active),
  }


def batch_sums(dist, positive, negative, extras):
  """Sums over the valid triplets of one block, in closed form; O(n m)."""
  num_p = jnp.sum(positive, axis=1, dtype=jnp.int32).astype(jnp.float32)
  num_n = jnp.sum(negative, axis=1, dtype=jnp.int32).astype(jnp.float32)
  sum_p = jnp.sum(jnp.where(positive, dist, 0.0), axis=1)
  sum_n = jnp.sum(jnp.where(negative, dist, 0.0), axis=1)
  pair_weight = unordered_weights(negative, extras)
  return mutual.closed_form(num_p, num_n, sum_p, sum_n) | {
    'pairs': jnp.sum(pair_weight),
    'an_pairs': jnp.sum(pair_weight * (1.0 - dist)),
  }


def as_stats(sums) -> TripletStats:
  """Divides the sums of all blocks and devices."""
  return TripletStats(
    num_triplets=sums['triplets'],
    num_selected=sums['selected'],
    num_active=sums['active'],
    num_anchors=sums['anchors'],
    num_negative_pairs=sums['pairs'],
    mean_gap=numerics.divide(sums['gap'], sums['triplets']),
    mean_an=numerics.divide(sums['an'], sums['triplets']),
    mean_an_pairs=numerics.divide(sums['an_pairs'], sums['pairs']),
  )
