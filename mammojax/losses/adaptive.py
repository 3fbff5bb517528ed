"""Triplet losses that adapt to the triplet they see: SCT and WAT.

Both are defined on cosine similarity, phi = 1 - d, and take no other
distance: their thresholds are numbers of that scale.
"""

import numbers

import jax
import jax.numpy as jnp

from mammojax import errors, gaps, mining, numerics, pairs, ranking
from mammojax.losses import checks, reductions, triplet

REDUCTIONS = ('mean', 'sum')
SMALLEST = 1e-6


def sct(
  embeddings,
  labels,
  *,
  negative_weight=1.0,
  threshold=0.8,
  temperature=0.1,
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Selectively contrastive triplet loss: hard negatives are only pushed.

  For each anchor the easiest positive (largest phi_ap) and the hardest
  negative (largest phi_an):

      negative_weight phi_an                      if phi_an > phi_ap
                                                  or phi_an > threshold
      log(1 + e^((phi_an - phi_ap)/temperature))  otherwise

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there. Copies of one image are no positives if item ids say
      so; without ids an exact copy is the easiest positive of its anchor.
    negative_weight: float, lambda of the paper, at least 0.
    threshold: float, in [-1, 1].
    temperature: float above 0.
    reduction: 'mean' over anchors with a positive and a negative, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are reductions.AnchorStats. A pushed
      negative with phi_an below 0 has a loss below 0, so it is not active.

  Returns:
    float32[], or (float32[], AnchorStats). Which branch an anchor takes has
    no gradient; level candidates share theirs.

  Source: Xuan et al. 2020, arXiv:2007.12749, with the constants 0.8 and 0.1
  of the authors' release.
  Differs: the release finds duplicates by phi > 0.9999, here item ids tell
  them; an anchor with phi_an = phi_ap or phi_an = threshold counts here, and
  is dropped there.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  negative_weight = checks.number('negative_weight', negative_weight)
  threshold = checks.number('threshold', threshold, low=-1.0)
  temperature = checks.number('temperature', temperature, low=SMALLEST)
  of = pairs.batch(embeddings, labels, gallery=gallery, axis_name=axis_name)

  def row_fn(dist, positive, negative, extras):
    del extras
    counts = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    sim_ap = 1.0 - _nearest(dist, positive)
    sim_an = 1.0 - _nearest(dist, negative)
    is_hard = (sim_an > sim_ap) | (sim_an > threshold)
    values = jnp.where(
      is_hard,
      negative_weight * sim_an,
      jax.nn.softplus((sim_an - sim_ap) / temperature),
    )
    return values, counts, reductions.row_gap(dist, positive, negative)

  values, counts, row_gaps = pairs.rows(row_fn, of, block=block)
  loss, *numbers_of = reductions.over_anchors(of, values, counts, reduction)
  if not stats:
    return loss
  return loss, reductions.anchor_stats(of, *numbers_of, *row_gaps)


def _nearest(dist, where):
  """Smallest distance of each row among `where`; 0 without any."""
  nearest = jnp.min(jnp.where(where, dist, jnp.inf), axis=1)
  return jnp.where(jnp.any(where, axis=1), nearest, 0.0)


def wat(
  embeddings,
  labels,
  *,
  k=2.0,
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Triplet loss whose margin adapts to the gap of each triplet.

      gap = phi_ap - phi_an
      m = (2 - 2 gap) / (4 - k) + k, without gradient
      [m - gap]_+ over the triplets with gap <= m

  Nothing cubic is needed. m falls with the gap, so one bound decides:

      gap <= m  <=>  gap (1 + 2/(4 - k)) <= 2/(4 - k) + k
                <=>  gap <= T,  T = (2 + k (4 - k)) / (6 - k)
      m - gap = (6 - k)/(4 - k) (T - gap)

  Kept triplets are those of d_an <= d_ap + T, as d_an - d_ap is the gap, and
  m is held constant, so each adds its own gap's gradient with weight 1. Value
  and gradient thus come from one count per pair, like those of
  `batch_all_triplet` with margin T; the value is (6 - k)/(4 - k) times its
  value, the gradient is not: it has the factor 1.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    k: float in [0, 4). With 2, T is 1.5.
    reduction: 'mean' over kept triplets, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are TripletStats. All selected triplets
      are active; one with a gap of exactly T adds 0 but has weight 1.

  Returns:
    float32[], or (float32[], TripletStats). As m has no gradient, the gradient
    is not that of the value: along it the value falls (6 - k)/(4 - k) times
    as fast as the gradient says.

  Source: Zhao et al. 2019 (a weakly supervised adaptive triplet loss,
  arXiv:1909.12939), in the form that Nguyen et al. 2022 (MIDL) compare with.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  if isinstance(k, numbers.Real) and k >= 4:
    raise errors.UsageError(f'k must be in [0, 4), got {k}.')
  k = checks.number('k', k)
  bound = (2.0 + k * (4.0 - k)) / (6.0 - k)
  of = pairs.batch(embeddings, labels, gallery=gallery, axis_name=axis_name)

  def weigh(dist, positive, negative, extras):
    kept = ranking.cross_counts(dist, positive, negative, bound, inclusive=True)
    chosen = mining.Selection(kept, kept)
    weights = mining.pair_weights(chosen, positive)
    value = triplet.hinge_sum(weights, dist, chosen, positive, bound)
    value *= (6.0 - k) / (4.0 - k)
    sums = triplet.selection_sums(positive, chosen)
    if stats:
      sums |= triplet.batch_sums(dist, positive, negative, extras)
    return (weights,), (value,), sums

  extras = (
    gaps.positives_exist(of, jnp.float32) if stats else triplet.no_extras(of)
  )
  (total,), sums = pairs.scan(weigh, of, extras, block=block)
  loss = total
  if reduction == 'mean':
    loss = numerics.divide(total, sums['selected'])
  return (loss, triplet.as_stats(sums)) if stats else loss
