"""Convolution of each channel with a kernel of its own, fast on CPUs.

XLA on the CPU takes tens of times as long for grouped convolutions as for the
same arithmetic on shifted maps, which is what this does there. Value and
gradients are those of `lax.conv_general_dilated` up to rounding, and on other
devices they are it.
"""

import functools
import itertools

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


def strided(
  x: jax.Array, kernel: jax.Array, stride: int, before: tuple[int, int]
) -> jax.Array:
  """`convolve` with steps, and as many zeros in front as is said.

      y[b, i, j, c] = sum over u, v of
        x[b, s i + u - p, s j + v - q, c] kernel[u, v, 0, c],  (p, q) = before

  On the CPU, reverse-mode gradients only, and each residue of the rows and
  columns modulo s by itself: a fraction 1 / s^2 of the work of all places.

  Args:
    x: float[b, h, w, c].
    kernel: float[n, n, 1, c] of the same dtype.
    stride: s.
    before: zeros in front of rows and of columns; behind them come as many as
      the last step needs.

  Returns:
    float[b, ceil(h / s), ceil(w / s), c].
  """
  size = kernel.shape[0]
  steps = [-(-side // stride) for side in x.shape[1:3]]
  spans = [stride * (number - 1) + size for number in steps]
  after = [
    max(0, span - side - front)
    for span, side, front in zip(spans, x.shape[1:3], before, strict=True)
  ]
  frame = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
  padded = jnp.pad(x, frame)[:, : spans[0], : spans[1]]
  if jax.default_backend() != 'cpu':
    return lax.conv_general_dilated(
      padded,
      kernel,
      (stride, stride),
      'VALID',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=x.shape[-1],
    )
  kernel = varying.vary_as(kernel, x)
  terms = []
  for a, b in itertools.product(range(min(stride, size)), repeat=2):
    part = kernel[a::stride, b::stride]
    rows, columns = (
      number + length - 1
      for number, length in zip(steps, part.shape[:2], strict=True)
    )
    phase = padded[:, a::stride, b::stride][:, :rows, :columns]
    terms.append(_valid(phase, part))
  return functools.reduce(jnp.add, terms)


@jax.custom_vjp
def _valid(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Windows that lie inside x, float[b, h - m + 1, w - n + 1, c]."""
  (m, n), (height, width) = kernel.shape[:2], x.shape[1:3]
  terms = [
    x[:, u : u + height - m + 1, v : v + width - n + 1] * kernel[u, v, 0]
    for u, v in itertools.product(range(m), range(n))
  ]
  return functools.reduce(jnp.add, terms)


def _valid_forward(x, kernel):
  return _valid(x, kernel), (x, kernel)


def _valid_backward(residuals, gradient):
  x, kernel = residuals
  m, n = kernel.shape[:2]
  frame = ((0, 0), (m - 1, m - 1), (n - 1, n - 1), (0, 0))
  into_x = _valid(jnp.pad(gradient, frame), kernel[::-1, ::-1])
  return into_x, _windows_gradient(x, gradient, (m, n))


_valid.defvjp(_valid_forward, _valid_backward)


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
  size = kernel.shape[0]
  return into_x, _windows_gradient(_pad(x, size), gradient, (size, size))


_convolve.defvjp(_forward, _backward)


def _windows_gradient(
  x: jax.Array, gradient: jax.Array, sizes: tuple[int, int]
) -> jax.Array:
  """Gradient of the kernels, [m, n, 1, c] in the dtype of x.

  Products of several images are summed place by place, then over the places.

  Args:
    x: float[b, h + m - 1, w + n - 1, c], what was convolved, with its zeros.
    gradient: float[b, h, w, c], of the result.
    sizes: (m, n), sides of a kernel.
  """
  batch, height, width, channels = gradient.shape
  chunk = max(d for d in range(1, _IMAGES + 1) if batch % d == 0)
  zeros = jnp.zeros((height, width, channels), jnp.float32)
  zeros = varying.vary_as(zeros, x)
  ones = jnp.ones(height * width, jnp.float32)

  def row(u):
    def add(number, totals):
      start = number * chunk
      images = lax.dynamic_slice(
        x, (start, u, 0, 0), (chunk, height, x.shape[2], channels)
      ).astype(jnp.float32)
      slopes = lax.dynamic_slice_in_dim(gradient, start, chunk)
      for v in range(sizes[1]):
        window = images[:, :, v : v + width]
        for image in range(chunk):
          totals[v] = totals[v] + window[image] * slopes[image]
      return totals

    totals = lax.fori_loop(0, batch // chunk, add, [zeros] * sizes[1])
    return jnp.stack([ones @ x.reshape(-1, channels) for x in totals])

  return lax.map(row, jnp.arange(sizes[0]))[:, :, None].astype(x.dtype)
