"""Values shared by devices, used where each device has its own images."""

import jax
from jax import lax
import jax.numpy as jnp


def vary_as(value: jax.Array, x: jax.Array) -> jax.Array:
  """The value, typed as different on each device if x is.

  Under a checked shard_map the gradient of a shared value must be summed over
  devices; this is the place where its transpose does so.

  Args:
    value: float[...], equal on all devices.
    x: float[...], what it meets.
  """
  other = lax.stop_gradient(x[(0,) * x.ndim]).astype(value.dtype)
  return jnp.where(True, value, other)
