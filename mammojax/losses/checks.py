"""Checks of arguments that several losses share."""

import numbers

import jax
import jax.numpy as jnp

from mammojax import errors


def number(name: str, value, low: float = 0.0) -> jax.Array:
  """A constant as float32[] without gradient; a traced value is taken as is.

  Args:
    name: of the argument, for the message.
    value: a Python number or float32[].
    low: smallest Python number allowed.

  Returns:
    float32[].

  Raises:
    ValueError: a Python number below `low` or not finite, or not a scalar.
  """
  if isinstance(value, numbers.Real) and not low <= value < float('inf'):
    raise errors.UsageError(
      f'{name} must be a finite number of at least {low}, got {value}.'
    )
  value = jnp.asarray(value, jnp.float32)
  if value.ndim:
    raise errors.UsageError(f'{name} must be a scalar, got {value.shape}.')
  return jax.lax.stop_gradient(value)


def one_of(kind: str, name: str, known) -> str:
  """The name, if it is known."""
  if name not in known:
    raise errors.unknown(kind, name, known)
  return name
