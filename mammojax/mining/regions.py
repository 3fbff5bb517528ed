"""Every triplet whose gap lies in a range, as a count per pair.

With gap delta = d_an - d_ap of a valid triplet (a, p, n) and margin m:

    all              every valid triplet
    semihard_region  0 < delta <= m
    hard_region      delta <= 0

Nothing cubic exists, and one compilation serves every batch of a shape.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import numerics, ranking


class Selection(NamedTuple):
  """Triplets each pair takes part in.

  Attributes:
    selected: int32[n, m], selected triplets; on a positive pair those with
      this positive, on a negative pair those with this negative.
    active: int32[n, m], those of them whose hinge is above 0:
      d_an < d_ap + margin. The hinge's gradient at 0 is taken as 0, as in
      `jax.nn.relu`.
  """

  selected: jax.Array
  active: jax.Array


def batch_all(dist, positive, negative, margin) -> Selection:
  """Every valid triplet.

  Args:
    dist: float32[n, m], smaller is closer.
    positive: bool[n, m].
    negative: bool[n, m].
    margin: float32[], at least 0; may be traced.

  Returns:
    Selection.
  """
  num_positives = numerics.count_rows(positive)
  num_negatives = numerics.count_rows(negative)
  selected = jnp.where(
    positive, num_negatives, jnp.where(negative, num_positives, 0)
  )
  active = ranking.cross_counts(dist, positive, negative, margin)
  return Selection(selected, active)


def hard_region(dist, positive, negative, margin) -> Selection:
  """Triplets in the wrong order or level: delta <= 0. See `batch_all`."""
  selected = ranking.cross_counts(dist, positive, negative, 0.0, inclusive=True)
  # With margin 0 a level triplet is selected but adds nothing.
  within = ranking.cross_counts(dist, positive, negative, margin)
  return Selection(selected, jnp.minimum(selected, within))


def semihard_region(dist, positive, negative, margin) -> Selection:
  """Triplets in order, but within the margin: 0 < delta <= m.

  See `batch_all` for the arguments.

  Source: Musgrave et al. 2020 (pytorch-metric-learning's 'semihard'), not
  FaceNet's choice of one negative.
  """
  hard = ranking.cross_counts(dist, positive, negative, 0.0, inclusive=True)
  within = ranking.both_counts(dist, positive, negative, margin)
  return Selection(
    within.inclusive - hard, jnp.maximum(within.strict - hard, 0)
  )


def pair_weights(selection: Selection, positive: jax.Array) -> jax.Array:
  """Derivative of the summed hinge with respect to each distance.

  Args:
    selection: Selection.
    positive: bool[n, m].

  Returns:
    float32[n, m]: + active on positive pairs, - active on negative pairs.
  """
  active = selection.active.astype(jnp.float32)
  return jnp.where(positive, active, -active)
