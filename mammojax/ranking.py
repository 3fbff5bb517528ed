"""Counting, for every pair of a row, the pairs of the other kind beyond it.

`cross_counts` is the one primitive on which exact triplet losses rest: it
tells in how many triplets (a, p, n) below a threshold each pair takes part,
without listing one of them. Two ways, one meaning: a loop over the positives
where rows have few, a sort where they have many.
"""

import jax
import jax.numpy as jnp

from mammojax import errors, numerics

# Up to here the loop is the faster way on the CPU.
LOOP_LIMIT = 16
METHODS = ('auto', 'loop', 'sort')


def cross_counts(
  dist: jax.Array,
  positive: jax.Array,
  negative: jax.Array,
  shift: jax.Array | float,
  *,
  inclusive: bool = False,
  method: str = 'auto',
) -> jax.Array:
  """Number of triplets with d_an < d_ap + shift that each pair is part of.

      out[a, p] = #{n : d_an < d_ap + shift}  for a positive p
      out[a, n] = #{p : d_an < d_ap + shift}  for a negative n
      0 for any other pair

  Args:
    dist: float32[n, m], smaller is closer; carries no gradient.
    positive: bool[n, m].
    negative: bool[n, m], nowhere True together with `positive`.
    shift: float32[], may be traced.
    inclusive: count d_an <= d_ap + shift instead.
    method: 'loop', 'sort', or 'auto' to choose by the number of positives.
      Both compare the same float32 numbers, so they agree exactly.

  Returns:
    int32[n, m]. The loop takes O(n m p) time for p positives in the fullest
    row, the sort O(n m log^2 m) at worst; both take O(n m) memory.
  """
  if method not in METHODS:
    raise errors.unknown('counting method', method, METHODS)
  dist = jax.lax.stop_gradient(dist)
  shift = jax.lax.stop_gradient(jnp.asarray(shift, dist.dtype))
  operands = (dist, positive, negative, shift)
  if method == 'loop':
    return _by_loop(*operands, inclusive)
  if method == 'sort':
    return _by_sort(*operands, inclusive)
  most = jnp.max(jnp.sum(positive, axis=1, dtype=jnp.int32), initial=0)
  return jax.lax.cond(
    most <= LOOP_LIMIT,
    lambda *args: _by_loop(*args, inclusive),
    lambda *args: _by_sort(*args, inclusive),
    *operands,
  )


def _by_loop(dist, positive, negative, shift, inclusive):
  """Visits the positives of all rows side by side, one a turn."""
  columns = jnp.arange(dist.shape[1], dtype=jnp.int32)[None, :]
  num_positives = jnp.sum(positive, axis=1, dtype=jnp.int32)

  def visit(turn, carry):
    counts, last = carry
    # The next positive of each row; rows that have run out are masked.
    column = jnp.argmax(positive & (columns > last), axis=1)
    column = column.astype(jnp.int32)[:, None]
    has_one = (turn < num_positives)[:, None]
    bound = jnp.take_along_axis(dist, column, axis=1) + shift
    is_below = dist <= bound if inclusive else dist < bound
    is_below &= negative & has_one
    here = (columns == column) & has_one
    below = jnp.sum(is_below, axis=1, dtype=jnp.int32)[:, None]
    counts += is_below.astype(jnp.int32) + jnp.where(here, below, 0)
    return counts, column

  start = numerics.vary_like(
    (
      jnp.zeros(dist.shape, jnp.int32),
      jnp.full((dist.shape[0], 1), -1, jnp.int32),
    ),
    dist,
  )
  most = jnp.max(num_positives, initial=0)
  return jax.lax.fori_loop(0, most, visit, start)[0]


def _by_sort(dist, positive, negative, shift, inclusive):
  """Merges shifted positives and negatives in one order, then counts."""
  columns = jax.lax.broadcasted_iota(jnp.int32, dist.shape, 1)
  key = jnp.where(positive, dist + shift, dist)
  # At equal keys a strict bound puts the positive first, so that the negative
  # counts as not below it.
  comes_second = negative if not inclusive else positive
  kind = jnp.where(positive, 1, jnp.where(negative, 2, 0)).astype(jnp.int32)
  key, _, kind, columns = jax.lax.sort(
    (key, comes_second.astype(jnp.int32), kind, columns), num_keys=2
  )
  negatives = jnp.cumsum(kind == 2, axis=1, dtype=jnp.int32)
  positives = jnp.cumsum(kind == 1, axis=1, dtype=jnp.int32)
  above = positives[:, -1:] - positives
  counts = jnp.where(kind == 1, negatives, jnp.where(kind == 2, above, 0))
  _, counts = jax.lax.sort((columns, counts), num_keys=1)
  return counts
