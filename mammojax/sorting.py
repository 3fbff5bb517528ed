"""Sorting columns with a network that vectorises where `lax.sort` does not.

    order = sorting.order(key, is_second)     # [m, k]
    key_sorted = sorting.take(key, order)

The sorted axis leads and the columns lie side by side, so that each step of
the network compares whole rows with each other: on a CPU that is some ten
times as fast as the compiler's sort, which takes one column after the other.

A network cannot carry an index along cheaply. So it sorts packed words, the
key rounded to the bits that the row's index leaves free, and neighbours that
the rounding left in the wrong order are exchanged afterwards; in the rare
column where that takes long, keys in dense clumps a world apart, the
compiler's sort does the work. The result is exact in every case.

Source: Batcher 1968, *Sorting networks and their applications*.
"""

import functools

import jax
from jax.experimental import layout
import jax.numpy as jnp

# Columns that are sorted together: more leave the cache, fewer the vectors.
LANES = 64
MAX_ROWS = 1 << 16
# Turns of exchanging neighbours before the compiler's sort takes over.
PATIENCE = 8


def order(key: jax.Array, is_second: jax.Array) -> jax.Array:
  """Permutation that sorts each column, smallest first.

  Args:
    key: float32[m, k], m a power of two of at most MAX_ROWS. NaN comes
      anywhere; numbers below the smallest normal one may count as 0.
    is_second: bool[m, k], rows that come second among equal keys; what is
      still equal keeps its order.

  Returns:
    int32[m, k]: row order[i, j] of column j comes at place i. Time
    O(m log^2 m) a column.
  """
  rows = jax.lax.broadcasted_iota(jnp.uint32, key.shape, 0)
  # Among equal keys the smaller label comes first.
  label_bits = max(key.shape[0] - 1, 1).bit_length() + 1
  label = (is_second.astype(jnp.uint32) << (label_bits - 1)) | rows
  row_mask = jnp.uint32((1 << (label_bits - 1)) - 1)
  rounded = _round(key, 32 - label_bits)
  label_sorted = _network((rounded << label_bits) | label) & jnp.uint32(
    (1 << label_bits) - 1
  )
  key_sorted = take(key, (label_sorted & row_mask).astype(jnp.int32))
  key_sorted, label_sorted = _exchange(key_sorted, label_sorted)
  label_sorted = jax.lax.cond(
    jnp.any(_is_wrong(key_sorted, label_sorted)),
    lambda: jax.lax.sort((key, label), dimension=0, num_keys=2)[1],
    lambda: label_sorted,
  )
  return (label_sorted & row_mask).astype(jnp.int32)


def _round(key, num_bits):
  """Keys as whole numbers of `num_bits` bits, never in the wrong order."""
  is_finite = jnp.isfinite(key)
  low = jnp.min(jnp.where(is_finite, key, jnp.inf), axis=0, keepdims=True)
  high = jnp.max(jnp.where(is_finite, key, -jnp.inf), axis=0, keepdims=True)
  low = jnp.where(low <= high, low, 0)
  # The difference of halves cannot overflow, nor the scale over this floor.
  spread = jnp.maximum(0.5 * high - 0.5 * low, 2.0**-96)
  # The topmost number is left to infinity.
  largest = jnp.float32((1 << num_bits) - 2)
  key = jnp.where(is_finite, key, low)
  scaled = jnp.clip((0.5 * key - 0.5 * low) * (largest / spread), 0, largest)
  return jnp.where(is_finite, scaled, largest + 1).astype(jnp.uint32)


def _is_wrong(key, label):
  """Where a row and the next are in the wrong order; bool[m - 1, k]."""
  is_equal = key[:-1] == key[1:]
  return (key[:-1] > key[1:]) | (is_equal & (label[:-1] > label[1:]))


def _exchange(key, label):
  """Exchanges wrong neighbours until none is left, or patience is."""
  if key.shape[0] < 2:
    return key, label

  def swap(key, label):
    """Compares rows 0 and 1, 2 and 3, and so on."""
    keys = key.reshape(-1, 2, key.shape[1])
    labels = label.reshape(keys.shape)
    is_wrong = keys[:, 0] > keys[:, 1]
    is_wrong |= (keys[:, 0] == keys[:, 1]) & (labels[:, 0] > labels[:, 1])
    is_wrong = is_wrong[:, None]
    return (
      jnp.where(is_wrong, keys[:, ::-1], keys).reshape(key.shape),
      jnp.where(is_wrong, labels[:, ::-1], labels).reshape(key.shape),
    )

  def turn_fn(state):
    turn, key, label = state
    key, label = swap(key, label)
    inner_key, inner_label = swap(key[1:-1], label[1:-1])
    key = key.at[1:-1].set(inner_key)
    return turn + 1, key, label.at[1:-1].set(inner_label)

  def goes_on(state):
    turn, key, label = state
    return (turn < PATIENCE) & jnp.any(_is_wrong(key, label))

  state = (jnp.int32(0), key, label)
  return jax.lax.while_loop(goes_on, turn_fn, state)[1:]


def take(x: jax.Array, rows: jax.Array) -> jax.Array:
  """x[rows[i, j], j] for int32[m, k] rows that exist."""
  return jnp.take_along_axis(x, rows, axis=0, mode='promise_in_bounds')


def put_back(x: jax.Array, rows: jax.Array) -> jax.Array:
  """The inverse of `take` for a permutation: out[rows[i, j], j] = x[i, j]."""
  columns = jax.lax.broadcasted_iota(jnp.int32, rows.shape, 1)
  return (
    jnp.empty_like(x)
    .at[rows, columns]
    .set(x, mode='promise_in_bounds', unique_indices=True)
  )


def _network(x):
  """Sorts each column of uint32[m, k] by a bitonic network."""
  size = 2
  while size <= x.shape[0]:
    strides = [size >> level for level in range(1, size.bit_length())]
    while strides:
      # Two steps at a time stay in registers; without the barrier the
      # compiler would fuse all of them and compute each value many times.
      x = jax.lax.optimization_barrier(_compare(x, size, strides[:2]))
      strides = strides[2:]
    size *= 2
  return x


def _compare(x, size, strides):
  """Steps of the network for neighbouring strides, each half the former."""
  num_rows, num_columns = x.shape
  stride = strides[-1]
  width = 1 << len(strides)
  grouped = x.reshape(-1, width, stride, num_columns)
  start = jax.lax.broadcasted_iota(jnp.int32, (grouped.shape[0], 1, 1), 0)
  is_rising = (start * (width * stride)) & size == 0
  parts = [grouped[:, part] for part in range(width)]
  for half in [width >> level for level in range(1, width.bit_length())]:
    for first in range(width):
      if not first & half:
        second = first | half
        low = jnp.minimum(parts[first], parts[second])
        high = jnp.maximum(parts[first], parts[second])
        parts[first] = jnp.where(is_rising, low, high)
        parts[second] = jnp.where(is_rising, high, low)
  return jnp.stack(parts, axis=1).reshape(num_rows, num_columns)


def by_columns(column_fn, *arrays: jax.Array):
  """Applies a function of [m, k] arrays to rows of [n, m], LANES at a time.

  Args:
    column_fn: arrays [m, LANES] -> pytree of [m, LANES], column by column.
    *arrays: [n, m] each.

  Returns:
    Pytree of [n, m].
  """
  num_rows = arrays[0].shape[0]

  def split(x):
    padded = jnp.pad(x, ((0, -num_rows % LANES), (0, 0)))
    return padded.reshape(-1, LANES, x.shape[1])

  def visit(group):
    results = column_fn(*(_rows_together(x.T) for x in group))
    return jax.tree.map(lambda x: _rows_together(x).T, results)

  results = jax.lax.map(visit, tuple(map(split, arrays)))
  return jax.tree.map(lambda x: x.reshape(-1, x.shape[-1])[:num_rows], results)


def _rows_together(x):
  """The same matrix, with each row in one piece of memory.

  Left to itself the compiler turns a transposition into strides, with which
  every step of the network is slower.
  """
  return layout.with_layout_constraint(x, layout.Layout((0, 1)))


def pad_rows(x: jax.Array, num_rows: int, value) -> jax.Array:
  """Extends [m, k] to [num_rows, k]."""
  return jnp.pad(x, ((0, num_rows - x.shape[0]), (0, 0)), constant_values=value)


@functools.cache
def power_of_two(num_rows: int) -> int:
  """The smallest power of two that is at least `num_rows`."""
  return 1 << max(num_rows - 1, 0).bit_length()
