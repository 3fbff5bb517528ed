"""Triplet losses with one triplet chosen for each anchor.

Selection uses `distances.pairwise`, the value `distances.paired`, which is
exact for close pairs too. One product forward; the backward pass touches the
chosen pairs only, O(b d). The statistics are TripletStats.
"""

import jax
import jax.numpy as jnp

from mammojax import distances, gaps, mining, pairs
from mammojax.losses import checks, reductions, triplet


def batch_hard_triplet(
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
  """Triplet loss of the farthest positive and the nearest negative.

      mean over anchors a of max(0, max_p d_ap - min_n d_an + margin)

  Anchors without a positive or a negative do not count.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    margin: float, at least 0, in the unit of the distance.
    soft: log(1 + exp(d_ap - d_an + margin)) in place of the hinge; with
      margin 0 it is the paper's soft margin.
    distance: see there.
    reduction: 'mean' over anchors that count, 'mean_active' over those with
      a value above 0, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there.

  Returns:
    float32[], or (float32[], TripletStats). A collapsed batch has loss
    `margin` and gradient 0.

  Source: Hermans et al. 2017, arXiv:1703.07737, Eq. 5.
  """
  return _over_anchors(
    mining.batch_hard, embeddings, labels, margin, soft, distance, reduction,
    gallery, axis_name, block, stats,
  )  # fmt: skip


def batch_easy_positive_hard_negative_triplet(
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
  """Triplet loss of the nearest positive and the nearest negative.

      mean over anchors a of max(0, min_p d_ap - min_n d_an + margin)

  See `batch_hard_triplet` for the arguments.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Xuan et al. 2020, arXiv:1904.04370. Differs: a hinge, where the
  paper takes a softmax over the two.
  """
  return _over_anchors(
    mining.batch_easy_positive_hard_negative, embeddings, labels, margin,
    soft, distance, reduction, gallery, axis_name, block, stats,
  )  # fmt: skip


def batch_easy_positive_semihard_triplet(
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
  """Triplet loss of the nearest positive and the nearest negative beyond it.

  Anchors all of whose negatives are nearer than their nearest positive do not
  count. See `batch_hard_triplet` for the arguments.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Xuan et al. 2020, arXiv:1904.04370. Differs: a hinge, where the
  paper takes a softmax over the two.
  """
  return _over_anchors(
    mining.batch_easy_positive_semihard, embeddings, labels, margin, soft,
    distance, reduction, gallery, axis_name, block, stats,
  )  # fmt: skip


def _over_anchors(
  choose_fn, embeddings, labels, margin, soft, distance, reduction, gallery,
  axis_name, block, stats,
):  # fmt: skip
  """The loss of one triplet an anchor."""
  checks.one_of('reduction', reduction, reductions.ANCHOR_REDUCTIONS)
  margin = checks.number('margin', margin)
  of = pairs.batch(
    embeddings, labels, distance=distance, gallery=gallery, axis_name=axis_name
  )
  have = (
    gaps.positives_exist(of, jnp.float32) if stats else triplet.no_extras(of)
  )

  def choose(dist, positive, negative, extras):
    choice = choose_fn(dist, positive, negative)
    if not stats:
      return choice, {}
    # A row at a time, since what a block returns has one entry an anchor.
    by_row = jax.vmap(triplet.batch_sums, in_axes=(0, 0, 0, (0, None)))
    rows = (dist[:, None], positive[:, None], negative[:, None])
    return choice, by_row(*rows, (extras[0][:, None], extras[1]))

  choice, rows = pairs.rows(choose, pairs.fixed(of), have, block=block)
  counts = choice.positive >= 0
  dist_ap, dist_an = (
    distances.paired_between(
      of.anchors, of.gallery[jnp.maximum(column, 0)], of.distance
    )
    for column in choice
  )
  excess = dist_ap - dist_an + margin
  values = jax.nn.softplus(excess) if soft else jax.nn.relu(excess)
  loss, selected, _ = reductions.over_anchors(of, values, counts, reduction)
  if not stats:
    return loss
  sums = of.total(jax.tree.map(jnp.sum, rows))
  sums['selected'] = selected
  sums['active'] = of.total(reductions.count(counts & (excess > 0)))
  return loss, triplet.as_stats(sums)
