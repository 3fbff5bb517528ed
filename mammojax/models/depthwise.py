"""Convolution of each channel with a kernel of its own, fast on CPUs.

XLA on the CPU takes tens of times as long for grouped convolutions as for the
same arithmetic on shifted maps, which is what this does there. Value and
gradients are those of `lax.conv_general_dilated` up to rounding, and on other
devices they are it.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp

from mammojax.models import varying

# Images whose products are summed in registers before they meet memory.
_IMAGES = 16


def convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Cross-correlation of each channel with its kernel, zeros outside.

      y[b, i, j, c] = sum over u, v of
        x[b, i + u - h, j + v - h, c] kernel[u, v, 0, c],  h = (n - 1) / 2

  Reverse-mode gradients only, on the CPU.

  Args:
    x: float[b, h, w, c].
    kernel: float[n, n, 1, c] of the same dtype, n odd.

  Returns:
    float[b, h, w, c].
  """
  if jax.default_backend() != 'cpu':
    half = kernel.shape[0] // 2
    return lax.conv_general_dilated(
      x,
      kernel,
      (1, 1),
      ((half, half), (half, half)),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=x.shape[-1],
    )
  return _convolve(x, varying.vary_as(kernel, x))


def _pad(x: jax.Array, size: int) -> jax.Array:
  half = size // 2
  return jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))


@jax.custom_vjp
def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
  size, (height, width) = kernel.shape[0], x.shape[1:3]
  padded = _pad(x, size)
  terms = [
    padded[:, u : u + height, v : v + width] * kernel[u, v, 0]
    for u, v in _offsets(size, height, width)
  ]
  return functools.reduce(jnp.add, terms)


def _offsets(size: int, height: int, width: int) -> list[tuple[int, int]]:
  """Places of the kernel that ever meet a pixel."""
  half = size // 2
  return [
    (u, v)
    for u in range(size)
    for v in range(size)
    if abs(u - half) < height and abs(v - half) < width
  ]


def _forward(x, kernel):
  return _convolve(x, kernel), (x, kernel)


def _backward(residuals, gradient):
  x, kernel = residuals
  # The transpose of a correlation is one with the kernel turned round.
  into_x = _convolve(gradient, kernel[::-1, ::-1])
  return into_x, kernel_gradient(x, gradient, kernel.shape[0])


_convolve.defvjp(_forward, _backward)


def kernel_gradient(x: jax.Array, gradient: jax.Array, size: int) -> jax.Array:
  """Gradient of the kernels, [size, size, 1, c] in the dtype of x.

  Products of several images are summed place by place, then over the places.

  Args:
    x: float[b, h, w, c], what was convolved.
    gradient: float[b, h, w, c], of the result.
    size: n, side of a kernel, odd.
  """
  batch, height, width, channels = x.shape
  padded = _pad(x, size)
  chunk = max(d for d in range(1, _IMAGES + 1) if batch % d == 0)
  zeros = jnp.zeros((height, width, channels), jnp.float32)
  zeros = varying.vary_as(zeros, x)
  ones = jnp.ones(height * width, jnp.float32)

  def row(u):
    def add(number, totals):
      start = number * chunk
      images = lax.dynamic_slice(
        padded, (start, u, 0, 0), (chunk, height, padded.shape[2], channels)
      ).astype(jnp.float32)
      slopes = lax.dynamic_slice_in_dim(gradient, start, chunk)
      for v in range(size):
        window = images[:, :, v : v + width]
        for image in range(chunk):
          totals[v] = totals[v] + window[image] * slopes[image]
      return totals

    totals = lax.fori_loop(0, batch // chunk, add, [zeros] * size)
    return jnp.stack([ones @ x.reshape(-1, channels) for x in totals])

  return lax.map(row, jnp.arange(size))[:, :, None].astype(x.dtype)
