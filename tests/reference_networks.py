"""Layers of networks, as float64 loops in NumPy."""

import numpy as np
from scipy import special


def depthwise(x, kernel):
  """One output pixel at a time, in float64."""
  size = kernel.shape[0]
  half = size // 2
  frame = ((0, 0), (half, half), (half, half), (0, 0))
  padded = np.pad(np.asarray(x, np.float64), frame)
  y = np.zeros(x.shape)
  for i, j in np.ndindex(*x.shape[1:3]):
    window = padded[:, i : i + size, j : j + size]
    y[:, i, j] = np.einsum('buvc,uvc->bc', window, kernel[:, :, 0])
  return y


def depthwise_strided(x, kernel, stride, before):
  """One output pixel at a time, reading zeros outside, in float64."""
  batch, height, width, channels = x.shape
  rows, columns = -(-height // stride), -(-width // stride)
  y = np.zeros((batch, rows, columns, channels))
  for i, j, u, v in np.ndindex(rows, columns, *kernel.shape[:2]):
    row, column = stride * i + u - before[0], stride * j + v - before[1]
    if 0 <= row < height and 0 <= column < width:
      y[:, i, j] += np.float64(x[:, row, column]) * kernel[u, v, 0]
  return y


def norm(x, params):
  mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
  scale, bias = (np.asarray(params[k], np.float64) for k in ('scale', 'bias'))
  return (x - mean) / np.sqrt(var + 1e-6) * scale + bias


def patches(x, params, size):
  kernel = np.asarray(params['kernel'], np.float64)
  rows, columns = x.shape[1] // size, x.shape[2] // size
  y = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
  for i, j in np.ndindex(rows, columns):
    window = x[:, size * i : size * (i + 1), size * j : size * (j + 1)]
    y[:, i, j] = np.einsum('buvc,uvcf->bf', window, kernel)
  return y + np.asarray(params['bias'])


def dense(x, params):
  return x @ np.asarray(params['kernel'], np.float64) + params['bias']


def mlp(x, params):
  y = dense(x, params['fc1'])
  y = y * 0.5 * (1 + special.erf(y / np.sqrt(2)))
  return dense(y, params['fc2'])
