"""Pairs for losses over pairs, as masks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class PairMasks(NamedTuple):
  """The pairs that are kept.

  Attributes:
    positive: bool[n, m].
    negative: bool[n, m].
  """

  positive: jax.Array
  negative: jax.Array


def pair_margin(
  dist, positive, negative, positive_margin, negative_margin
) -> PairMasks:
  """Positives farther and negatives nearer than a margin of their own.

  Args:
    dist: float32[n, m], smaller is closer.
    positive: bool[n, m].
    negative: bool[n, m].
    positive_margin: float32[], kept where d_ap > positive_margin.
    negative_margin: float32[], kept where d_an < negative_margin.

  Returns:
    PairMasks.
  """
  return PairMasks(
    positive & (dist > positive_margin), negative & (dist < negative_margin)
  )


def multi_similarity(dist, positive, negative, epsilon) -> PairMasks:
  """Pairs that a pair of the other kind makes informative.

      positives with d_ap > min over n of d_an - epsilon
      negatives with d_an < max over p of d_ap + epsilon

  Args:
    dist: float32[n, m], smaller is closer.
    positive: bool[n, m].
    negative: bool[n, m].
    epsilon: float32[], in the unit of the distance.

  Returns:
    PairMasks; none for an anchor without a positive or a negative.

  Source: Wang et al. 2019, arXiv:1904.06627, Eqs. 9 and 10, with distances in
  place of similarities.
  """
  nearest = jnp.min(jnp.where(negative, dist, jnp.inf), axis=1, keepdims=True)
  farthest = jnp.max(jnp.where(positive, dist, -jnp.inf), axis=1, keepdims=True)
  return PairMasks(
    positive & (dist > nearest - epsilon),
    negative & (dist < farthest + epsilon),
  )
