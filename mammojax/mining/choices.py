"""One negative for each positive pair, or one triplet for each anchor.

Chosen columns are int32, and -1 where there is nothing to choose. Of equal
distances the first column is taken.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import neighbors


class AnchorChoice(NamedTuple):
  """One triplet for each anchor.

  Attributes:
    positive: int32[n], column of the positive; -1 where the anchor does not
      count.
    negative: int32[n], column of the negative; -1 at the same anchors.
  """

  positive: jax.Array
  negative: jax.Array


def semihard(dist, positive, negative, margin):
  """The nearest negative in order but within the margin.

      for each (a, p): argmin of d_an over d_ap < d_an < d_ap + margin

  Args:
    dist: float32[n, m], smaller is closer; carries no gradient.
    positive: bool[n, m].
    negative: bool[n, m].
    margin: float32[], may be traced.

  Returns:
    int32[n, m], the negative's column on positive pairs; -1 where no negative
    is in the range (the pair does not count) and on other pairs.

  Source: Schroff et al. 2015, arXiv:1503.03832, section 3.2, with the upper
  bound that the text implies.
  """
  column = neighbors.next_negative(dist, positive, negative)
  dist_an = _at(dist, column)
  return jnp.where(dist_an < dist + margin, column, -1)


def semihard_facenet(dist, positive, negative):
  """The nearest negative in order, else the farthest of all.

      for each (a, p): argmin of d_an over d_an > d_ap, without upper bound;
      where all negatives are nearer than p: argmax of d_an

  See `semihard` for the arguments.

  Returns:
    int32[n, m]; -1 only where the anchor has no negative.

  Source: as implemented in TensorFlow Addons' `triplet_semihard_loss`.
  """
  column = neighbors.next_negative(dist, positive, negative)
  fallback = neighbors.farthest(dist, negative)[:, None]
  column = jnp.where(column < 0, fallback, column)
  return jnp.where(positive, column, -1)


def hard(dist, positive, negative):
  """For each positive pair the anchor's nearest negative.

  See `semihard` for the arguments.

  Returns:
    int32[n, m]; -1 where the anchor has no negative.
  """
  return jnp.where(positive, neighbors.nearest(dist, negative)[:, None], -1)


def distance_weighted(
  dist,
  positive,
  negative,
  key,
  *,
  dim,
  row=None,
  cutoff=0.5,
  nonzero_loss_cutoff=1.4,
):
  """A negative for each positive pair, drawn evenly over distances.

      P(n) ~ 1 / q(max(d_an, cutoff)),
      q(d) ~ d^(dim - 2) (1 - d^2 / 4)^((dim - 3) / 2)

  q is the density of the distance of two random points of the unit sphere.
  Negatives at `nonzero_loss_cutoff` or farther are not drawn.

  Args:
    dist: float32[n, m], Euclidean distances of unit-length embeddings.
    positive: bool[n, m].
    negative: bool[n, m].
    key: PRNG key.
    dim: d, the width of the embeddings.
    row: int32[n], a number of each anchor; its draws depend on this and the
      key alone. None: 0 to n - 1.
    cutoff: distances below count as this one.
    nonzero_loss_cutoff: farther negatives are left out.

  Returns:
    int32[n, m]; -1 where no negative is near enough.

  Source: Wu et al. 2017, arXiv:1706.07567, Eqs. 1 and 2 and section 3.1.
  """
  near = jnp.clip(dist, cutoff, 1.9999)
  log_density = (dim - 2) * jnp.log(near)
  log_density += 0.5 * (dim - 3) * jnp.log1p(-0.25 * near * near)
  can_draw = negative & (dist < nonzero_loss_cutoff)
  logit = jnp.where(can_draw, -log_density, -jnp.inf)
  largest = jnp.max(logit, axis=1, keepdims=True)
  weight = jnp.where(can_draw, jnp.exp(logit - largest), 0.0)
  total = jnp.cumsum(weight, axis=1)
  # One uniform number a pair, and the first column whose total exceeds it.
  if row is None:
    row = jnp.arange(dist.shape[0], dtype=jnp.int32)
  draw = jax.vmap(
    lambda i: jax.random.uniform(jax.random.fold_in(key, i), dist.shape[1:])
  )
  drawn = draw(row) * total[:, -1:]
  find = jax.vmap(lambda row, at: jnp.searchsorted(row, at, side='right'))
  column = find(total, drawn).astype(jnp.int32)
  # Rounding may point past the end or at a column that cannot be drawn.
  columns = jax.lax.broadcasted_iota(jnp.int32, dist.shape, 1)
  last = jnp.max(jnp.where(can_draw, columns, 0), axis=1, keepdims=True)
  ahead = jax.lax.cummin(
    jnp.where(can_draw, columns, last), axis=1, reverse=True
  )
  column = jnp.take_along_axis(
    ahead, jnp.minimum(column, dist.shape[1] - 1), axis=1
  )
  has_one = positive & jnp.any(can_draw, axis=1, keepdims=True)
  return jnp.where(has_one, column, -1)


def batch_hard(dist, positive, negative) -> AnchorChoice:
  """For each anchor its farthest positive and its nearest negative.

  See `semihard` for the arguments.

  Returns:
    AnchorChoice; anchors without a positive or a negative do not count.

  Source: Hermans et al. 2017, arXiv:1703.07737, Eq. 5.
  """
  return _both(
    neighbors.farthest(dist, positive), neighbors.nearest(dist, negative)
  )


def batch_easy_positive_hard_negative(dist, positive, negative) -> AnchorChoice:
  """For each anchor its nearest positive and its nearest negative.

  See `batch_hard`.

  Source: Xuan et al. 2020, arXiv:1904.04370.
  """
  return _both(
    neighbors.nearest(dist, positive), neighbors.nearest(dist, negative)
  )


def batch_easy_positive_semihard(dist, positive, negative) -> AnchorChoice:
  """The nearest positive, and the nearest negative that is farther than it.

  See `batch_hard`; anchors all of whose negatives are nearer do not count.

  Source: Xuan et al. 2020, arXiv:1904.04370.
  """
  chosen = neighbors.nearest(dist, positive)
  bound = _at(dist, chosen[:, None])
  # Without a positive the bound is infinite, and nothing lies beyond it.
  return _both(chosen, neighbors.nearest(dist, negative & (dist > bound)))


def _both(positive, negative):
  counts = (positive >= 0) & (negative >= 0)
  return AnchorChoice(
    jnp.where(counts, positive, -1), jnp.where(counts, negative, -1)
  )


def _at(dist, column):
  """Distances at chosen columns of each row; infinite where none is."""
  chosen = jnp.take_along_axis(dist, jnp.maximum(column, 0), axis=1)
  return jnp.where(column >= 0, chosen, jnp.inf)
