"""Triplet losses with one negative chosen for each positive pair.

`soft=True` takes log(1 + exp(d_ap - d_an + margin)), the soft margin, in
place of max(0, d_ap - d_an + margin); with margin 0 it is Hermans' formula.
The statistics are TripletStats; `num_active` counts chosen triplets with
d_an < d_ap + margin.
"""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp

from mammojax import distances, errors, gaps, mining, numerics, pairs
from mammojax.losses import checks, reductions, triplet
from mammojax.mining import selections

VARIANTS = ('bounded', 'facenet')


def semihard_triplet(
  embeddings,
  labels,
  *,
  margin,
  variant='bounded',
  soft=False,
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Triplet loss with one semi-hard negative for each positive pair.

      bounded  the nearest n with d_ap < d_an < d_ap + margin; a pair without
               one does not count
      facenet  the nearest n with d_an > d_ap, else the farthest of all

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    margin: float, at least 0, in the unit of the distance.
    variant: 'bounded' or 'facenet'.
    soft: bool, see the module.
    distance: see there.
    reduction: 'mean' over pairs with a negative, 'mean_active' over those
      with a value above 0, 'mean_pairs' over all positive pairs, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Schroff et al. 2015, arXiv:1503.03832, section 3.2; 'facenet' as
  implemented in TensorFlow Addons, which squares no distance of its own and
  divides by all positive pairs (reduction='mean_pairs').
  """
  checks.one_of('semi-hard variant', variant, VARIANTS)
  margin = checks.number('margin', margin)
  choose_fn = {
    'bounded': functools.partial(mining.semihard, margin=margin),
    'facenet': mining.semihard_facenet,
  }[variant]
  return _over_pairs(
    choose_fn, embeddings, labels, margin, soft, distance, reduction, gallery,
    axis_name, block, stats,
  )  # fmt: skip


def hard_triplet(
  embeddings,
  labels,
  *,
  margin,
  soft=False,
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Triplet loss of each positive pair with its anchor's nearest negative.

  See `semihard_triplet` for the arguments.

  Returns:
    float32[], or (float32[], TripletStats). A collapsed batch has loss
    `margin` and gradient 0.
  """
  margin = checks.number('margin', margin)
  return _over_pairs(
    mining.hard, embeddings, labels, margin, soft, distance, reduction,
    gallery, axis_name, block, stats,
  )  # fmt: skip


def distance_weighted_triplet(
  embeddings,
  labels,
  *,
  key,
  margin,
  cutoff=0.5,
  nonzero_loss_cutoff=1.4,
  soft=False,
  distance='euclidean',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Triplet loss with negatives drawn evenly over distances.

  See `mining.distance_weighted` for the draw and `semihard_triplet` for the
  other arguments.

  Args:
    embeddings: float[b, d] of unit length.
    labels: see `mammojax.losses`.
    key: PRNG key; a draw depends on it and the anchor's row in the global
      batch, not on devices or blocks.
    margin: float, at least 0, in the unit of the distance.
    cutoff: Euclidean distance below which all negatives weigh alike.
    nonzero_loss_cutoff: Euclidean distance beyond which none is drawn.
    soft: bool, see the module.
    distance: 'euclidean', 'squared_euclidean' or 'cosine', of which the
      Euclidean distance on the sphere follows.
    reduction: see `semihard_triplet`.
    gallery: see `mammojax.losses`.
    axis_name: see there.
    block: see there.
    stats: see there.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Wu et al. 2017, arXiv:1706.07567. Differs: a triplet hinge with a
  fixed margin, not the paper's margin loss with learned boundaries.
  """
  to_euclidean = {
    'euclidean': lambda dist: dist,
    'squared_euclidean': numerics.safe_sqrt,
    'cosine': lambda dist: numerics.safe_sqrt(2.0 * dist),
  }
  if distance in distances.DISTANCES and distance not in to_euclidean:
    raise errors.UsageError(
      f'Distance-weighted mining needs one of {", ".join(to_euclidean)}, '
      f'got {distance!r}.'
    )
  margin = checks.number('margin', margin)

  def choose_fn(dist, positive, negative, row):
    return mining.distance_weighted(
      to_euclidean[distance](dist), positive, negative, key,
      dim=embeddings.shape[-1], row=row,
      cutoff=cutoff, nonzero_loss_cutoff=nonzero_loss_cutoff,
    )  # fmt: skip

  return _over_pairs(
    choose_fn, embeddings, labels, margin, soft, distance, reduction, gallery,
    axis_name, block, stats, wants_row=True,
  )  # fmt: skip


def _over_pairs(
  choose_fn: Callable[..., jax.Array],
  embeddings, labels, margin, soft, distance, reduction, gallery, axis_name,
  block, stats, wants_row=False,
):  # fmt: skip
  """The loss of one negative for each positive pair."""
  checks.one_of('reduction', reduction, triplet.REDUCTIONS)
  if soft and reduction == 'mean_active':
    # A soft margin is never 0, so every chosen triplet is active.
    reduction = 'mean'
  of = pairs.batch(
    embeddings, labels, distance=distance, gallery=gallery, axis_name=axis_name
  )

  def weigh(dist, positive, negative, extras):
    (row, anchors_have), gallery_has = extras
    more = (row,) if wants_row else ()
    column = choose_fn(dist, positive, negative, *more)
    is_chosen = positive & (column >= 0)
    dist_an = jnp.take_along_axis(dist, jnp.maximum(column, 0), axis=1)
    excess = dist - dist_an + margin
    value, slope = triplet.hinge(excess, soft)
    slope = jnp.where(is_chosen, slope, 0.0)
    sums = {
      'positives': reductions.count(positive),
      'selected': reductions.count(is_chosen),
      'active': reductions.count(is_chosen & (excess > 0)),
    }
    if stats:
      have = (anchors_have, gallery_has)
      sums |= triplet.batch_sums(dist, positive, negative, have)
    weights = slope - selections.spread(slope, column)
    return (weights,), (jnp.sum(jnp.where(is_chosen, value, 0.0)),), sums

  have = (
    gaps.positives_exist(of, jnp.float32) if stats else triplet.no_extras(of)
  )
  extras = ((_global_row(of), have[0]), have[1])
  (total,), sums = pairs.scan(weigh, of, extras, block=block)
  loss = numerics.divide(total, triplet.denominator(sums, reduction))
  return (loss, triplet.as_stats(sums)) if stats else loss


def _global_row(of):
  """Row of each anchor in the batch of all devices, int32[n]."""
  num_rows = of.anchors.shape[0]
  row = jnp.arange(num_rows, dtype=jnp.int32)
  if of.axis_name is None:
    return row
  return row + jax.lax.axis_index(of.axis_name).astype(jnp.int32) * num_rows
