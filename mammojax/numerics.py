"""Arithmetic whose gradient stays finite, and means that survive emptiness."""

import jax
import jax.numpy as jnp


def safe_sqrt(x: jax.Array) -> jax.Array:
  """Square root with gradient 0 instead of infinity at and below 0.

  The input is guarded as well as the output: `where` multiplies the gradient
  of the branch not taken by zero, and zero times infinity is NaN.

  Args:
    x: float[...].

  Returns:
    float[...], 0 where x <= 0.
  """
  is_positive = x > 0
  return jnp.where(is_positive, jnp.sqrt(jnp.where(is_positive, x, 1)), 0)


def normalize(x: jax.Array) -> jax.Array:
  """Scales rows to unit Euclidean length; a zero row stays zero.

  Args:
    x: float[..., d].

  Returns:
    float32[..., d]; half-precision input is widened first. The gradient at a
    zero row is 0.
  """
  x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  # Scaling by the largest entry keeps squares of very long and very short
  # rows from overflowing or vanishing; the result does not depend on it.
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
  is_zero = largest <= 0
  scaled = x / jnp.where(is_zero, 1, largest)
  square = jnp.sum(scaled * scaled, axis=-1, keepdims=True)
  length = safe_sqrt(square)
  return jnp.where(is_zero, 0, scaled / jnp.where(is_zero, 1, length))


def divide(total: jax.Array, count: jax.Array) -> jax.Array:
  """Total / count, or 0 with zero gradient where count is 0."""
  is_empty = count == 0
  return jnp.where(is_empty, 0, total / jnp.where(is_empty, 1, count))


def count_rows(where: jax.Array) -> jax.Array:
  """True entries of each row, exact: bool[n, m] -> int32[n, 1].

  Floating sums, since the CPU adds them up faster than whole numbers; they
  are exact below 2^24 columns.
  """
  dtype = jnp.float32 if where.shape[1] < 2**24 else jnp.int32
  total = jnp.sum(where.astype(dtype), axis=1, keepdims=True)
  return total.astype(jnp.int32)


def vary_like(tree, like: jax.Array):
  """Gives constants the device-variance that loop carries must have.

  Inside a checked `shard_map` a loop that starts from a constant and ends
  with a value that differs between devices has two types for one carry.
  Elsewhere this does nothing.

  Args:
    tree: pytree of arrays.
    like: an array that varies as the end of the loop will.

  Returns:
    The tree, equal in value.
  """
  # A False that varies like `like`: types of variance have no interface that
  # all releases share, arithmetic has. The compiler folds it away.
  never = jnp.any(like != like) & False
  return jax.tree.map(
    lambda leaf: jnp.asarray(leaf) + never.astype(jnp.asarray(leaf).dtype),
    tree,
  )
