"""Float64 distances one pair at a time, and gradients through them.

Nothing here imports the package. `pull_back` turns the derivatives of a loss
by its distances into the gradient of the embeddings, by the hand-written
derivative of each distance; the tests hold those to central differences.
"""

import itertools

import numpy as np

DISTANCES = ('cosine', 'euclidean', 'squared_euclidean', 'manhattan', 'snr')


def _unit(v):
  length = np.sqrt(np.sum(v * v))
  return v / length if length > 0 else np.zeros_like(v)


def _distance_row(a, b, name):
  """Distance of two float64 vectors, by definition."""
  diff = a - b
  if name == 'cosine':
    return 1.0 - float(np.sum(_unit(a) * _unit(b)))
  if name == 'euclidean':
    return float(np.sqrt(np.sum(diff * diff)))
  if name == 'squared_euclidean':
    return float(np.sum(diff * diff))
  if name == 'manhattan':
    return float(np.sum(np.abs(diff)))
  if name == 'snr':
    return float(np.var(diff) / np.var(a))
  raise ValueError(name)


def _distance_derivative(a, b, name):
  """Derivatives of the distance by its first and its second vector."""
  diff = a - b
  if name == 'cosine':
    u, v = _unit(a), _unit(b)
    cos = np.sum(u * v)
    by_a = -(v - cos * u) / np.sqrt(np.sum(a * a))
    by_b = -(u - cos * v) / np.sqrt(np.sum(b * b))
    return by_a, by_b
  if name == 'snr':
    noise, signal = np.var(diff), np.var(a)
    slope = 2.0 * (diff - np.mean(diff)) / diff.size / signal
    own = 2.0 * (a - np.mean(a)) / a.size * noise / signal**2
    return slope - own, -slope
  if name == 'euclidean':
    slope = diff / np.sqrt(np.sum(diff * diff))
  elif name == 'squared_euclidean':
    slope = 2.0 * diff
  elif name == 'manhattan':
    slope = np.sign(diff)
  else:
    raise ValueError(name)
  return slope, -slope


def distances(x, y, name='cosine'):
  """Float64 [n, m] of all pairs, one at a time."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  out = np.zeros((len(x), len(y)))
  for i, j in itertools.product(range(len(x)), range(len(y))):
    out[i, j] = _distance_row(x[i], y[j], name)
  return out


def pull_back(x, y, weights, name='cosine'):
  """Gradients of sum_ij weights_ij d(x_i, y_j) by x and by y."""
  x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
  by_x, by_y = np.zeros_like(x), np.zeros_like(y)
  for i, j in zip(*np.nonzero(weights), strict=True):
    first, second = _distance_derivative(x[i], y[j], name)
    by_x[i] += weights[i, j] * first
    by_y[j] += weights[i, j] * second
  return by_x, by_y


def gradient(x, weights, name='cosine'):
  """The same where the batch is its own gallery."""
  by_x, by_y = pull_back(x, x, weights, name)
  return by_x + by_y


def central_differences(function, x, step=1e-6):
  """Numerical gradient of a scalar function of a float64 array."""
  x = np.asarray(x, np.float64)
  out = np.zeros_like(x)
  for index in np.ndindex(x.shape):
    up, down = x.copy(), x.copy()
    up[index] += step
    down[index] -= step
    out[index] = (function(up) - function(down)) / (2 * step)
  return out
