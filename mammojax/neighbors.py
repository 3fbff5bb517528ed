"""The next pair of the other kind in a row: what FaceNet's mining asks for.

As in `ranking` there are two ways with one meaning, a loop over the positives
where rows have few and a sort where they have many.
"""

import jax
import jax.numpy as jnp

from mammojax import errors, numerics, ranking, sorting

METHODS = ('auto', 'loop', 'network', 'sort')


def nearest(dist: jax.Array, where: jax.Array) -> jax.Array:
  """Column of the smallest distance in each row.

  Args:
    dist: float32[n, m].
    where: bool[n, m], pairs that count.

  Returns:
    int32[n], the first of equals; -1 where none counts.
  """
  # Two minima over numbers: the CPU searches for a place four times as slowly.
  least = jnp.min(
    jnp.where(where, dist, jnp.inf), axis=1, keepdims=True, initial=jnp.inf
  )
  column = ranking.next_column(where & (dist == least), -1)[:, 0]
  return jnp.where(column < dist.shape[1], column, -1)


def farthest(dist: jax.Array, where: jax.Array) -> jax.Array:
  """Column of the largest distance in each row; see `nearest`."""
  return nearest(-dist, where)


def next_negative(
  dist: jax.Array,
  positive: jax.Array,
  negative: jax.Array,
  *,
  method: str = 'auto',
) -> jax.Array:
  """For each positive pair the nearest negative that is farther away.

      out[a, p] = argmin over n with d_an > d_ap of d_an

  Args:
    dist: float32[n, m], smaller is closer; carries no gradient.
    positive: bool[n, m].
    negative: bool[n, m].
    method: as in `ranking.cross_counts`; all agree exactly.

  Returns:
    int32[n, m]: a column on positive pairs, the first of equals; -1 where
    there is none and on other pairs. Time and memory as `cross_counts`.
  """
  if method not in METHODS:
    raise errors.unknown('method', method, METHODS)
  operands = (jax.lax.stop_gradient(dist), positive, negative)
  ways = {'loop': _by_loop, 'network': _by_network, 'sort': _by_sort}
  if method in ways:
    return ways[method](*operands)
  is_short = ranking.most_positives(positive) <= ranking.LOOP_LIMIT
  return jax.lax.cond(is_short, _by_loop, _by_either_sort, *operands)


def _by_either_sort(*operands):
  if operands[0].shape[1] > sorting.MAX_ROWS:
    return _by_sort(*operands)
  return jax.lax.platform_dependent(
    *operands, cpu=_by_network, default=_by_sort
  )


def _by_loop(dist, positive, negative):
  """Visits the positives of all rows side by side, one a turn."""
  rows = jnp.arange(dist.shape[0], dtype=jnp.int32)[:, None]

  def turn_fn(_, state):
    last, chosen = state
    column = ranking.next_column(positive, last)
    is_beyond = negative & (dist > ranking.at(dist, column))
    candidate = nearest(dist, is_beyond)[:, None]
    # The column past the end, of a row that has run out, is dropped.
    return column, chosen.at[rows, column].set(candidate, mode='drop')

  start = (
    jnp.full((dist.shape[0], 1), -1, jnp.int32),
    jnp.full(dist.shape, -1, jnp.int32),
  )
  start = numerics.vary_like(start, dist)
  most = ranking.most_positives(positive)
  return jax.lax.fori_loop(0, most, turn_fn, start)[1]


def _by_network(dist, positive, negative):
  def order(key, is_second):
    num_rows = sorting.power_of_two(key.shape[0])
    return sorting.order(
      sorting.pad_rows(key, num_rows, jnp.inf),
      sorting.pad_rows(is_second, num_rows, True),
    )

  return _by_columns(order, dist, positive, negative)


def _by_sort(dist, positive, negative):
  def order(key, is_second):
    rows = jax.lax.broadcasted_iota(jnp.int32, key.shape, 0)
    return jax.lax.sort((key, is_second, rows), dimension=0, num_keys=3)[2]

  return _by_columns(order, dist, positive, negative)


def _by_columns(order_fn, dist, positive, negative):
  """Sorts each row, negatives first among equals, and looks ahead."""

  def visit(key, positive):
    num_rows = key.shape[0]
    order = order_fn(key, positive)
    padding = order.shape[0]
    key = sorting.take(sorting.pad_rows(key, padding, jnp.inf), order)
    positive = sorting.take(sorting.pad_rows(positive, padding, False), order)
    is_negative = (key < jnp.inf) & ~positive
    # A word larger than any place stands for no negative ahead.
    place = jax.lax.broadcasted_iota(jnp.int32, key.shape, 0)
    ahead = jax.lax.associative_scan(
      jnp.minimum, jnp.where(is_negative, place, padding), reverse=True
    )
    column = sorting.take(order, jnp.minimum(ahead, padding - 1))
    column = jnp.where(positive & (ahead < padding), column, -1)
    return sorting.put_back(column, order)[:num_rows]

  key = jnp.where(positive | negative, dist, jnp.inf)
  return sorting.by_columns(visit, key, positive)
