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
    TypeError: neither, such as a string.
    ValueError: a Python number below `low` or not finite, or not a scalar.
  """
  is_number = isinstance(value, numbers.Real)
  dtype = getattr(value, 'dtype', None)
  if not is_number and (dtype is None or not jnp.issubdtype(dtype, jnp.number)):
    raise TypeError(f'{name} must be a number, got {value!r}.')
  if is_number and not low <= value < float('inf'):
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
