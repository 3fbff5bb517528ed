"""Counting, for every pair of a row, the pairs of the other kind beyond it.

`cross_counts` is the one primitive on which exact triplet losses rest: it
tells in how many triplets (a, p, n) below a threshold each pair takes part,
without listing one of them. Two ways, one meaning: a loop over the positives
where rows have few, a sort where they have many.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import errors, numerics, sorting

# Up to here the loop is the faster way on the CPU.
LOOP_LIMIT = 16
# Positives that the loop compares with in one pass over the distances.
AT_ONCE = 3
METHODS = ('auto', 'loop', 'network', 'sort')


class Counts(NamedTuple):
  """Triplets that each pair is part of.

  Attributes:
    strict: int32[n, m], those with d_an < d_ap + shift.
    inclusive: int32[n, m], those with d_an <= d_ap + shift.
  """

  strict: jax.Array
  inclusive: jax.Array


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
    method: 'loop'; 'network', a sort for CPUs and at most 2^16 - 1 columns;
      'sort', the compiler's; or 'auto' to choose by the number of positives
      and the device. All compare the same float32 numbers, so they agree
      exactly.

  Returns:
    int32[n, m]. The loop takes O(n m p) time for p positives in the fullest
    row, the sorts O(n m log^2 m) at worst; all take O(n m) memory. Under
    `vmap` 'auto' runs both ways and keeps one.
  """
  bounds = ('inclusive' if inclusive else 'strict',)
  return _counts(dist, positive, negative, shift, method, bounds)[0]


def both_counts(
  dist: jax.Array,
  positive: jax.Array,
  negative: jax.Array,
  shift: jax.Array | float,
  *,
  method: str = 'auto',
) -> Counts:
  """`cross_counts` with the strict and the inclusive bound at one cost."""
  return Counts(
    *_counts(dist, positive, negative, shift, method, Counts._fields)
  )


def _counts(dist, positive, negative, shift, method, bounds):
  if method not in METHODS:
    raise errors.unknown('counting method', method, METHODS)
  if method == 'network' and dist.shape[1] >= sorting.MAX_ROWS:
    raise errors.UsageError(
      f'The network counts at most {sorting.MAX_ROWS - 1} columns, got '
      f"{dist.shape[1]}; use 'sort' or 'auto'."
    )
  dist = jax.lax.stop_gradient(dist)
  shift = jax.lax.stop_gradient(jnp.asarray(shift, dist.dtype))
  operands = (dist, positive, negative, shift)
  ways = {
    'loop': functools.partial(_by_loop, bounds=bounds),
    'network': functools.partial(_by_network, bounds=bounds),
    'sort': functools.partial(_by_sort, bounds=bounds),
  }
  if method in ways:
    return ways[method](*operands)
  is_short = most_positives(positive) <= LOOP_LIMIT
  return jax.lax.cond(
    is_short, ways['loop'], functools.partial(_by_either_sort, ways), *operands
  )


def most_positives(positive: jax.Array) -> jax.Array:
  """Positives of the fullest row, int32[]."""
  return jnp.max(numerics.count_rows(positive), initial=0)


def _by_either_sort(ways, *operands):
  if operands[0].shape[1] >= sorting.MAX_ROWS:
    return ways['sort'](*operands)
  return jax.lax.platform_dependent(
    *operands, cpu=ways['network'], default=ways['sort']
  )


def _by_loop(dist, positive, negative, shift, bounds):
  """Visits the positives of all rows side by side, a few at a turn."""
  compare = {'strict': jnp.less, 'inclusive': jnp.less_equal}
  rows = jnp.arange(dist.shape[0], dtype=jnp.int32)[:, None]

  def turn_fn(_, state):
    last, counts = state
    columns = []
    for _ in range(AT_ONCE):
      last = next_column(positive, last)
      columns.append(last)
    column = jnp.concatenate(columns, axis=1)
    threshold = at(dist, column) + shift
    # A row that has run out of positives finds nothing below its bound.
    threshold = jnp.where(column < dist.shape[1], threshold, -jnp.inf)

    def add(so_far, name):
      below = [
        negative & compare[name](dist, threshold[:, k : k + 1])
        for k in range(AT_ONCE)
      ]
      per_negative = sum(each.astype(jnp.int32) for each in below)
      per_positive = jnp.concatenate(
        [numerics.count_rows(each) for each in below], axis=1
      )
      return (
        (so_far + per_negative)
        .at[rows, column]
        .set(per_positive, mode='drop', unique_indices=False)
      )

    return last, tuple(map(add, counts, bounds))

  start = (
    jnp.full((dist.shape[0], 1), -1, jnp.int32),
    (jnp.zeros(dist.shape, jnp.int32),) * len(bounds),
  )
  num_turns = (most_positives(positive) + AT_ONCE - 1) // AT_ONCE
  start = numerics.vary_like(start, dist)
  return jax.lax.fori_loop(0, num_turns, turn_fn, start)[1]


def next_column(where, last):
  """Each row's first True after a column.

  Args:
    where: bool[n, m].
    last: int32[n, 1], -1 to begin with.

  Returns:
    int32[n, 1], m where there is no more.
  """
  # A minimum over numbers, since the CPU searches a row of truths slowly, and
  # floating ones while they are exact, as in `numerics.count_rows`.
  size = where.shape[1]
  dtype = jnp.float32 if size < 2**24 else jnp.int32
  columns = jax.lax.broadcasted_iota(jnp.int32, where.shape, 1)
  candidates = jnp.where(where & (columns > last), columns, size).astype(dtype)
  found = jnp.min(candidates, axis=1, keepdims=True, initial=size)
  return found.astype(jnp.int32)


def at(dist, column):
  """dist[i, column[i, j]], of the last column where there is none such."""
  inside = jnp.clip(column, 0, dist.shape[1] - 1)
  return jnp.take_along_axis(dist, inside, axis=1, mode='promise_in_bounds')


def _by_network(dist, positive, negative, shift, bounds):
  # Pairs in neither mask go last and count for nothing.
  key = jnp.where(positive, dist + shift, jnp.where(negative, dist, jnp.inf))
  packed = sorting.by_columns(
    functools.partial(_count_columns, bounds=bounds), key, positive
  )
  return tuple(
    ((packed >> half) & 0xFFFF).astype(jnp.int32)
    for half, _ in zip((0, 16), bounds, strict=False)
  )


def _count_columns(key, positive, bounds):
  """Counts of each entry, the second bound's in the upper half of a word.

  Args:
    key: float32[m, k], infinite where there is no pair.
    positive: bool[m, k]; the other pairs are negative.
    bounds: names as in Counts.

  Returns:
    uint32[m, k].
  """
  num_rows = key.shape[0]
  padded = sorting.power_of_two(num_rows)
  key = sorting.pad_rows(key, padded, jnp.inf)
  positive = sorting.pad_rows(positive, padded, False)
  # A strict bound puts the positive first, so that an equal negative counts
  # as not below it; an inclusive one the negative.
  is_second = positive if bounds == ('inclusive',) else ~positive
  order = sorting.order(key, is_second)
  key, positive = sorting.take(key, order), sorting.take(positive, order)
  is_pair = key < jnp.inf
  # The upper half counts positives, the lower half negatives.
  kind = jnp.where(positive, jnp.uint32(1 << 16), is_pair.astype(jnp.uint32))
  until = jax.lax.associative_scan(jnp.add, jnp.where(is_pair, kind, 0))
  num_positives = until[-1:] >> 16
  counts = jnp.where(positive, until & 0xFFFF, num_positives - (until >> 16))
  if len(bounds) > 1:
    before, after = _around_runs(key, until, kind)
    inclusive = jnp.where(
      positive, after & 0xFFFF, num_positives - (before >> 16)
    )
    counts |= inclusive << 16
  return sorting.put_back(jnp.where(is_pair, counts, 0), order)[:num_rows]


def _around_runs(key, until, kind):
  """Totals before and after the run of equal keys that each row is in."""
  is_new = key[1:] != key[:-1]
  edge = jnp.ones_like(key[:1], dtype=jnp.bool_)
  starts = jnp.concatenate([edge, is_new])
  ends = jnp.concatenate([is_new, edge])
  # Totals only grow, so the latest start holds the largest.
  before = jax.lax.associative_scan(
    jnp.maximum, jnp.where(starts, until - kind, 0)
  )
  after = jax.lax.associative_scan(
    jnp.minimum, jnp.where(ends, until, ~jnp.uint32(0)), reverse=True
  )
  return before, after


def _by_sort(dist, positive, negative, shift, bounds):
  """Merges shifted positives and negatives in one order, then counts."""
  key = jnp.where(positive, dist + shift, dist)
  second = {'strict': negative, 'inclusive': positive}
  return tuple(
    _by_tie_order(key, positive, negative, second[name]) for name in bounds
  )


def _by_tie_order(key, positive, negative, comes_second):
  """Counts where, of equal keys, one kind comes second.

  A strict bound puts the positive first, so that the negative counts as not
  below it.
  """
  columns = jax.lax.broadcasted_iota(jnp.int32, key.shape, 1)
  kind = jnp.where(positive, 1, jnp.where(negative, 2, 0)).astype(jnp.int32)
  _, _, kind, columns = jax.lax.sort(
    (key, comes_second.astype(jnp.int32), kind, columns), num_keys=2
  )
  negatives = jnp.cumsum(kind == 2, axis=1, dtype=jnp.int32)
  positives = jnp.cumsum(kind == 1, axis=1, dtype=jnp.int32)
  above = positives[:, -1:] - positives
  counts = jnp.where(kind == 1, negatives, jnp.where(kind == 2, above, 0))
  _, counts = jax.lax.sort((columns, counts), num_keys=1)
  return counts
