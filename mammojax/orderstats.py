"""Order statistics of values that are counted, never listed.

Counts may pass 2^31, so they are whole numbers in two words of base 2^16,
int32[2, ...] = [high, low], exact up to 2^45:

    total = orderstats.wide(counts)          # int32[n] -> int32[2]
    value = orderstats.quantile(count_fn, total, level=1)

Levels are in quarters, so that ranks are exact as well.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

BINS = 4096
_PER_UNIT = BINS // 4
_BITS = 16
_LOW = 2**_BITS - 1
# Places of the lowest and highest finite float32 in their order.
_LOWEST, _HIGHEST = -0x7F800000, 0x7F7FFFFF


def carry(words: jax.Array) -> jax.Array:
  """Words with the low one back in [0, 2^16)."""
  return jnp.stack([words[0] + (words[1] >> _BITS), words[1] & _LOW])


def wide(counts: jax.Array) -> jax.Array:
  """Sum of int32[n], none negative, n at most 2^15: int32[2]."""
  high = jnp.sum(counts >> _BITS, dtype=jnp.int32)
  low = jnp.sum(counts & _LOW, dtype=jnp.int32)
  return carry(jnp.stack([high, low]))


def as_float(words: jax.Array) -> jax.Array:
  """int32[2, ...] -> float32[...], rounded."""
  high, low = words.astype(jnp.float32)
  return high * 2.0**_BITS + low


def quantile(
  count_fn: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
  total: jax.Array,
  level: int,
  scale: int = 1,
) -> jax.Array:
  """Linear interpolation between two order statistics.

  Args:
    count_fn: float32[] -> (int32[2] how many values are at most this,
      float32[] the least value above it, or infinity).
    total: int32[2], how many values there are.
    level: 1, 2 or 3 quarters.
    scale: how often each value is counted, 1 or 2.

  Returns:
    float32[]; 0 if there are no values. 33 calls of count_fn.
  """
  one = jnp.asarray([0, scale], jnp.int32)
  index, share = _rank(total if scale == 1 else _shift(total, 1)[0], level)
  needed = carry(scale * index + one)

  def narrow(_, bounds):
    low, high = bounds
    middle = (low & high) + ((low ^ high) >> 1)
    enough = _at_least(count_fn(_float_at(middle))[0], needed)
    return jnp.where(enough, low, middle + 1), jnp.where(enough, middle, high)

  bounds = (jnp.int32(_LOWEST), jnp.int32(_HIGHEST))
  value = _float_at(jax.lax.fori_loop(0, 32, narrow, bounds)[0])
  upto, above = count_fn(value)
  stays = _at_least(upto, carry(needed + one)) | ~jnp.isfinite(above)
  step = jnp.where(stays, 0.0, above - value)
  return jnp.where(jnp.any(total > 0), value + share * step, 0.0)


def _rank(total, level):
  """Index of the lower order statistic, int32[2], and the way to the next."""
  last = jnp.maximum(carry(total - jnp.asarray([0, 1], jnp.int32)), 0)
  index, rest = _shift(carry(level * last), 2)
  return index, rest.astype(jnp.float32) / 4.0


def _shift(words, bits):
  """Quotient and remainder of a division by 2^bits."""
  rest = words[0] & (2**bits - 1)
  low = (rest << _BITS) | words[1]
  return jnp.stack([words[0] >> bits, low >> bits]), low & (2**bits - 1)


def _at_least(words, other):
  return (words[0] > other[0]) | (
    (words[0] == other[0]) & (words[1] >= other[1])
  )


def _float_at(place):
  """The float32 at a place, int32[], in the order of all of them."""
  bits = jnp.where(place < 0, place ^ 0x7FFFFFFF, place)
  return jax.lax.bitcast_convert_type(bits, jnp.float32)


def bin_of(values: jax.Array) -> jax.Array:
  """Bin of each value: equal widths on [-2, 2], the ends take the rest."""
  # Scaling by a power of two is exact, so that no value crosses an edge.
  place = jnp.floor(values * float(_PER_UNIT)) + 2.0 * _PER_UNIT
  return jnp.clip(place, 0.0, BINS - 1.0).astype(jnp.int32)


def histogram(bins: jax.Array, weights: jax.Array) -> jax.Array:
  """Weights by bin, exactly: int32[2, BINS].

  Args:
    bins: int32[...] in [0, BINS), at most 2^23 of them.
    weights: int32[...], in [0, 2^16).
  """
  zeros = jnp.zeros(BINS, jnp.int32)
  # Half words, so that the sum of a bin stays below 2^31.
  high = zeros.at[bins].add(weights >> 8)
  low = zeros.at[bins].add(weights & 0xFF)
  high += low >> 8
  return carry(jnp.stack([high >> 8, ((high & 0xFF) << 8) + (low & 0xFF)]))


def of_histogram(counts: jax.Array, level: int, scale: int = 1) -> jax.Array:
  """A quantile from counts by bin.

  Args:
    counts: int32[2, BINS].
    level: 1, 2 or 3 quarters.
    scale: how often each value was counted, 1 or 2.

  Returns:
    float32[]; 0 if nothing was counted. Each of the two order statistics is
    right to one bin, 4 / BINS: the values of a bin are taken to lie evenly in
    it.
  """
  upto = as_float(jnp.cumsum(counts, axis=1, dtype=jnp.int32)) / scale
  inside = as_float(counts) / scale
  last = jnp.maximum(upto[-1] - 1.0, 0.0)
  rank = (level / 4.0) * last

  def value_at(index):
    place = jnp.argmax(upto > index)
    before = upto[place] - inside[place]
    share = (index - before + 0.5) / jnp.maximum(inside[place], 1.0)
    place = place.astype(jnp.float32) + jnp.clip(share, 0.0, 1.0)
    return place / _PER_UNIT - 2.0

  low = jnp.floor(rank)
  value = value_at(low)
  step = value_at(jnp.minimum(low + 1.0, last)) - value
  return jnp.where(upto[-1] > 0, value + (rank - low) * step, 0.0)
