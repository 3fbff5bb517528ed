"""The losses on class weights, with batches, numbers and weights for them."""

import functools

import jax
import numpy as np

from mammojax.losses import classwise

ROWS, DIM, CLASSES, CENTERS = 8, 3, 8, 2
# name -> (loss, numbers that are traced, rows of weights per class)
LOSSES = {
  'arcface': (classwise.arcface, ('scale', 'margin'), 1),
  'soft_triplet': (
    functools.partial(classwise.soft_triplet, centers_per_class=CENTERS),
    ('gamma', 'scale', 'margin', 'tau'),
    CENTERS,
  ),
  'proxy_anchor': (classwise.proxy_anchor, ('alpha', 'margin'), 1),
}
NUMBERS = {
  'arcface': [(64.0, 0.5), (5.0, 2.0)],
  'soft_triplet': [(0.1, 20.0, 0.01, 0.2), (0.5, 4.0, 0.3, 0.0)],
  'proxy_anchor': [(32.0, 0.1), (4.0, 0.4)],
}


def _batches():
  """x float32 [8, 3], labels in [0, 8) and validity, by name."""
  rng = np.random.default_rng(4)
  labels = {
    'random': rng.integers(0, 5, ROWS),
    'unbalanced': np.array([3] * 5 + [1, 7, 0]),
    'one_class': np.full(ROWS, 2),
    'all_distinct': rng.permutation(ROWS),
    'duplicated': rng.integers(0, 5, ROWS),
    'padded': rng.integers(0, 5, ROWS),
    'collapsed': rng.integers(0, 5, ROWS),
  }
  made = {}
  for name, label in labels.items():
    made[name] = {
      'x': rng.normal(size=(ROWS, DIM)).astype(np.float32),
      'label': label.astype(np.int32),
      'valid': np.ones(ROWS, bool),
    }
  made['duplicated']['x'][[4, 6]] = made['duplicated']['x'][1]
  made['collapsed']['x'][:] = made['collapsed']['x'][0]
  made['padded']['valid'][[0, 5, 7]] = False
  # What stands in padding may be no class.
  made['padded']['label'][[0, 5]] = [-1, 4000]
  return made


BATCHES = _batches()


def weights_of(name):
  count = CLASSES * LOSSES[name][2]
  rows = np.random.default_rng(8).normal(size=(count, DIM))
  return (1.7 * rows).astype(np.float32)


def function_of(name, reduction='mean', **fixed):
  loss_fn, names, _ = LOSSES[name]

  def function(x, weights, relation, numbers):
    options = dict(zip(names, numbers, strict=True), **fixed)
    return loss_fn(
      x, relation, weights, reduction=reduction, stats=True, **options
    )

  return jax.value_and_grad(function, (0, 1), has_aux=True)


@functools.cache
def jitted(name):
  return jax.jit(function_of(name))
