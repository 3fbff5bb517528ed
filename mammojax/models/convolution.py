"""A square 2-D convolution that is fast on CPUs, its gradients too.

XLA on the CPU computes the gradient of a kernel as a convolution with a window
as large as the image: the slowest part of a training step. Here it is one
matrix product for a few images at a time, small enough to stay in the cache.
Kernels of one pixel, and maps of a few pixels, where XLA's convolution takes up
to a hundred times as long, are matrix products altogether. Value and gradients
are those of `lax.conv_general_dilated` up to rounding, and on other devices
they are it.
"""

import functools
from typing import Any

from flax import linen as nn
import jax
from jax import lax
import jax.numpy as jnp

he_normal = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')

# Patches of this many bytes are gathered at a time; 2 to 8 MB were equally
# fast on a processor with 32 MB of cache, all at once three times slower.
_CHUNK_BYTES = 4_000_000

# Maps of up to so many pixels are convolved by their patches: 2 x 2 in a
# hundredth, 4 x 4 in five sixths of the time, 6 x 6 in the same.
_FEW_PIXELS = 16


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

  Reverse-mode gradients only, on the CPU, where the kernel is larger than a
  pixel and the map than `_FEW_PIXELS`.

  Args:
    x: float[b, h, w, c].
    kernel: float[n, n, c, f] of the same dtype, n odd.
    stride: s.

  Returns:
    float[b, ceil(h / s), ceil(w / s), f].
  """
  if jax.default_backend() != 'cpu':
    return _convolve(x, kernel, stride)
  rows, columns = (-(-side // stride) for side in x.shape[1:3])
  if kernel.shape[0] == 1 or rows * columns <= _FEW_PIXELS:
    return _convolve_patches(x, kernel, stride)
  return _convolve_cpu(x, vary_as(kernel, x), stride)


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


def _convolve_patches(x: jax.Array, kernel: jax.Array, stride: int):
  """The same, as a product of every pixel's neighbourhood with the kernel."""
  size, half = kernel.shape[0], kernel.shape[0] // 2
  rows, columns = (-(-side // stride) for side in x.shape[1:3])
  x = jnp.pad(x, ((0, 0), (half, half), (half, half), (0, 0)))
  patches = [
    x[:, u : u + stride * rows : stride, v : v + stride * columns : stride]
    for u in range(size)
    for v in range(size)
  ]
  flat = kernel.reshape(-1, kernel.shape[-1])
  return jnp.concatenate(patches, axis=-1) @ flat


def vary_as(value: jax.Array, x: jax.Array) -> jax.Array:
  """The value, typed as different on each device if x is.

  Under a checked shard_map the gradient of a shared kernel must be summed over
  devices; this is the place where its transpose does so.
  """
  other = lax.stop_gradient(x[(0,) * x.ndim]).astype(value.dtype)
  return jnp.where(True, value, other)


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
  return _convolve(x, kernel, stride)


def _forward(x, kernel, stride):
  return _convolve(x, kernel, stride), (x, kernel)


def _backward(stride, residuals, gradient):
  x, kernel = residuals
  _, pull_back = jax.vjp(lambda x: _convolve(x, kernel, stride), x)
  size = kernel.shape[0]
  chunk = _chunk(x, gradient, size, stride)
  xs = x.reshape(-1, chunk, *x.shape[1:])
  gradients = gradient.reshape(-1, chunk, *gradient.shape[1:])

  def add(total, pair):
    return total + kernel_gradient(*pair, size, stride), None

  total = vary_as(jnp.zeros(kernel.shape, jnp.float32), x)
  total, _ = lax.scan(add, total, (xs, gradients))
  return *pull_back(gradient), total.astype(kernel.dtype)


_convolve_cpu.defvjp(_forward, _backward)
