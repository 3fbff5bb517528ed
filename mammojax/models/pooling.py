"""Windows of stride 2 that take the maximum of a map of features."""

import functools

import jax
import jax.numpy as jnp


def max_pool(x: jax.Array, size: int = 2, padding: int = 0) -> jax.Array:
  """Maximum over square windows, stride 2, with padding that never wins.

  Of equal values the first takes the gradient. Comparisons of shifted maps:
  the gradient of the compiler's own window maximum takes several times as long
  on the CPU. A last row or column that no window reaches is dropped.

  Args:
    x: float[b, h, w, c].
    size: n, side of a window.
    padding: p, rows and columns added on every side; below n.

  Returns:
    float[b, h', w', c], where h' = floor((h + 2 p - n) / 2) + 1.

  Raises:
    ValueError: at trace time, if the map is smaller than a window.
  """
  height, width = (side + 2 * padding for side in x.shape[1:3])
  if min(height, width) < size:
    raise ValueError(
      f'a map of shape {x.shape} is smaller than a window of {size} x {size}; '
      'the images are too small for this network.'
    )
  rows, columns = (height - size) // 2 + 1, (width - size) // 2 + 1
  lowest = jnp.asarray(-jnp.inf, x.dtype)
  side = (padding, padding, 0)
  padded = jax.lax.pad(x, lowest, ((0, 0, 0), side, side, (0, 0, 0)))
  shifted = [
    padded[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
    for i in range(size)
    for j in range(size)
  ]
  return functools.reduce(lambda a, b: jnp.where(b > a, b, a), shifted)
