"""A square 2-D convolution that is fast on CPUs, its gradients too.

XLA on the CPU computes the gradient of a kernel as a convolution with a window
as large as the image: the slowest part of a training step. Here it is one
matrix product for a few images at a time, small enough to stay in the cache.
Kernels of one pixel, and small maps, where XLA's convolution takes up to a
hundred times as long and much of a kernel hangs over the border, are products
of pixels with one place of the kernel after the other. Value and gradients are
those of `lax.conv_general_dilated` up to rounding, and on other devices they
are it.
"""

from collections.abc import Iterator
import functools
import itertools
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

from mammojax.models import varying

he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')

# Patches of this many bytes are gathered at a time; 2 to 8 MB were equally
# fast on a processor with 32 MB of cache, all at once three times slower.
_CHUNK_BYTES = 4_000_000

# Maps of up to so many pixels are convolved by places of the kernel: 2 x 2 in
# a hundredth of the time, 3 x 3 in two fifths, 8 x 8 in four fifths; 12 x 12
# takes a tenth longer. Kernels' gradients gain up to 4 x 4.
_FEW_PIXELS = 64
_FEW_PIXELS_BACK = 16


class Conv(nn.Module):
  """A convolution padded by half its size on every side.

  Attributes:
    features: output channels.
    size: side of the kernel, odd.
    stride: step, in both directions.
    dtype: to compute in; the parameters are float32.
    use_bias: add one learned value a channel, 0 at the start.
  """

  features: int
  size: int
  stride: int = 1
  dtype: Any = jnp.float32
  use_bias: bool = False

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, ceil(h / stride), ceil(w / stride), f]."""
    shape = (self.size, self.size, x.shape[-1], self.features)
    kernel = self.param('kernel', he_normal, shape, jnp.float32)
    y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride)
    if not self.use_bias:
      return y
    zeros = nn.initializers.zeros
    bias = self.param('bias', zeros, (self.features,), jnp.float32)
    return y + bias.astype(self.dtype)[None, None, None]


def convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """Cross-correlation of images with a kernel, zeros outside.

      y[b, i, j, f] = sum over u, v, c of
        x[b, s i + u - h, s j + v - h, c] kernel[u, v, c, f],  h = (n - 1) / 2

  Reverse-mode gradients only on the CPU.

  Args:
    x: float[b, h, w, c].
    kernel: float[n, n, c, f] of the same dtype, n odd.
    stride: s.

  Returns:
    float[b, ceil(h / s), ceil(w / s), f].
  """
  if jax.default_backend() != 'cpu':
    return _convolve(x, kernel, stride)
  return _convolve_cpu(x, varying.vary_as(kernel, x), stride)


def kernel_gradient(
  x: jax.Array, gradient: jax.Array, size: int, stride: int
) -> jax.Array:
  """Gradient of a kernel, by matrix products of patches.

  With row offset u = s a + r, r < s, the sum over rows i of x[s i + u] g[i] is
  one over k = i + a of x[s k + r] g[k - a]. So the columns of one matrix are x
  for every r and v, those of the other g for every a, and their product holds
  all offsets at once.

  Args:
    x: float[b, h, w, c], what was convolved.
    gradient: float[b, h', w', f], of the result.
    size: n, side of the kernel.
    stride: s.

  Returns:
    float32[n, n, c, f].
  """
  _, height, _, channels = x.shape
  _, rows, columns, features = gradient.shape
  half, steps = size // 2, -(-size // stride)
  taps = rows + steps - 1
  bottom = stride * taps - height - half
  x = jnp.pad(
    x, ((0, 0), (half, max(bottom, 0)), (half, half + stride), (0, 0))
  )
  inputs = [
    x[:, r::stride, v::stride][:, :taps, :columns]
    for r in range(stride)
    for v in range(size)
  ]
  outputs = [
    jnp.pad(gradient, ((0, 0), (a, steps - 1 - a), (0, 0), (0, 0)))
    for a in range(steps)
  ]
  product = lax.dot_general(
    jnp.concatenate(inputs, axis=-1),
    jnp.concatenate(outputs, axis=-1),
    (((0, 1, 2), (0, 1, 2)), ((), ())),
    preferred_element_type=jnp.float32,
  )
  product = product.reshape(stride, size, channels, steps, features)
  product = product.transpose(3, 0, 1, 2, 4)
  return product.reshape(steps * stride, size, channels, features)[:size]


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  half = kernel.shape[0] // 2
  return lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    ((half, half), (half, half)),
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _convolve_places(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  """The same, one matrix product for each place (u, v) of the kernel.

  A product takes those pixels alone that meet their place inside the image: of
  the 81 pairs of result and place that a 3x3 kernel has on a 3x3 map, 32 lie
  outside.
  """
  rows, columns = _sides(x, stride)
  # Places are summed in float32 also where the images are bfloat16.
  shape = (x.shape[0], rows, columns, kernel.shape[-1])
  total = jnp.zeros(shape, jnp.float32)
  for (u, v), down, across in _meetings(x, kernel.shape[0], stride):
    part = jnp.matmul(
      x[:, down.inputs, across.inputs],
      kernel[u, v],
      preferred_element_type=jnp.float32,
    )
    border = (
      (down.first, rows - down.last),
      (across.first, columns - across.last),
    )
    total += jnp.pad(part, ((0, 0), *border, (0, 0)))
  return total.astype(x.dtype)


def _gradient_by_places(
  x: jax.Array, gradient: jax.Array, size: int, stride: int
) -> jax.Array:
  """`kernel_gradient`, one matrix product for each place of the kernel."""
  channels, features = x.shape[-1], gradient.shape[-1]
  found = {}
  for place, down, across in _meetings(x, size, stride):
    inputs = x[:, down.inputs, across.inputs].reshape(-1, channels)
    outputs = gradient[
      :, down.first : down.last, across.first : across.last
    ].reshape(-1, features)
    # A product over rows is slower than one over columns and the turning; the
    # barrier keeps the compiler from folding the one into the other.
    found[place] = lax.dot(
      lax.optimization_barrier(inputs.T),
      outputs,
      preferred_element_type=jnp.float32,
    )
  nothing = varying.vary_as(jnp.zeros((channels, features), jnp.float32), x)
  places = itertools.product(range(size), repeat=2)
  total = jnp.stack([found.get(place, nothing) for place in places])
  return total.reshape(size, size, channels, features)


class _Span(NamedTuple):
  """Results first to last - 1 along an axis, and the pixels they meet."""

  first: int
  last: int
  inputs: slice


def _meetings(
  x: jax.Array, size: int, stride: int
) -> Iterator[tuple[tuple[int, int], _Span, _Span]]:
  """Places of a kernel that meet a pixel: (u, v), rows, columns."""
  down, across = (
    [_span(place, size, stride, side) for place in range(size)]
    for side in x.shape[1:3]
  )
  for u, v in itertools.product(range(size), repeat=2):
    if all(span.first < span.last for span in (down[u], across[v])):
      yield (u, v), down[u], across[v]


def _span(place: int, size: int, stride: int, side: int) -> _Span:
  offset = place - size // 2
  first = max(0, -(offset // stride))
  last = min(-(-side // stride), (side - 1 - offset) // stride + 1)
  start = stride * first + offset
  return _Span(
    first, last, slice(start, start + stride * (last - first), stride)
  )


def _sides(x: jax.Array, stride: int) -> tuple[int, int]:
  """Rows and columns of the result."""
  return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def _chunk(x: jax.Array, gradient: jax.Array, size: int, stride: int) -> int:
  """Images a matrix product: a divisor of the batch, bounded by memory."""
  batch, rows, columns, features = gradient.shape
  steps = -(-size // stride)
  width = stride * size * x.shape[-1] + steps * features
  image = (rows + steps - 1) * columns * width * x.dtype.itemsize
  most = max(1, _CHUNK_BYTES // image)
  return max(d for d in range(1, batch + 1) if batch % d == 0 and d <= most)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolve_cpu(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  return _value(x, kernel, stride)


def _value(x, kernel, stride):
  num_pixels = math.prod(_sides(x, stride))
  if kernel.shape[0] == 1 or num_pixels <= _FEW_PIXELS:
    return _convolve_places(x, kernel, stride)
  return _convolve(x, kernel, stride)


def _forward(x, kernel, stride):
  return _value(x, kernel, stride), (x, kernel)


def _backward(stride, residuals, gradient):
  x, kernel = residuals
  _, pull_back = jax.vjp(lambda x: _value(x, kernel, stride), x)
  size, num_pixels = kernel.shape[0], math.prod(_sides(x, stride))
  if size == 1:
    x, stride = x[:, ::stride, ::stride], 1
  # Of one pixel in chunks, too: a loop takes x and the gradient as they are,
  # where the compiler computes them anew, turned, for a product of its own.
  is_small = size > 1 and num_pixels <= _FEW_PIXELS_BACK
  find = _gradient_by_places if is_small else _gradient_in_chunks
  of_kernel = find(x, gradient, size, stride)
  return *pull_back(gradient), of_kernel.astype(kernel.dtype)


_convolve_cpu.defvjp(_forward, _backward)


def _gradient_in_chunks(
  x: jax.Array, gradient: jax.Array, size: int, stride: int
) -> jax.Array:
  """`kernel_gradient`, of a few images at a time."""
  chunk = _chunk(x, gradient, size, stride)
  xs = x.reshape(-1, chunk, *x.shape[1:])
  gradients = gradient.reshape(-1, chunk, *gradient.shape[1:])

  def add(total, pair):
    return total + kernel_gradient(*pair, size, stride), None

  shape = (size, size, x.shape[-1], gradient.shape[-1])
  total = varying.vary_as(jnp.zeros(shape, jnp.float32), x)
  return lax.scan(add, total, (xs, gradients))[0]
