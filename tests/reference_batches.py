"""Hard batches that every loss is tried on."""

import numpy as np


def batches(dim=6, seed=11):
  """Hard batches by name: dict of x float32 [b, d], label, item, valid.

  Asymmetric and random, b = 20 in each. Embeddings of one label share a
  direction, so every selection has members.
  """
  rng = np.random.default_rng(seed)
  count = 20
  labels = {
    'random': rng.integers(0, 5, count),
    'unbalanced': np.array([3] * 11 + [1] * 4 + [7, 7, 0, 5, 9]),
    'singletons': np.array([4, 4, 4] + list(range(10, 27))),
    'one_class': np.full(count, 2),
    'all_distinct': rng.permutation(count),
    'two_classes': np.array([0, 1] * 10),
  }
  made = {}
  for name, label in labels.items():
    made[name] = _batch(rng, label, dim)
  made['duplicated'] = _batch(rng, rng.integers(0, 5, count), dim)
  for new, old in ((4, 1), (9, 1), (15, 12)):
    for field in ('x', 'label', 'item'):
      made['duplicated'][field][new] = made['duplicated'][field][old]
  made['padded'] = _batch(rng, rng.integers(0, 4, count), dim)
  made['padded']['valid'][[0, 6, 13, 18, 19]] = False
  return made


def _batch(rng, label, dim):
  label = np.asarray(label, np.int32)
  centres = rng.normal(size=(label.max() + 1, dim))
  x = centres[label] + 1.1 * rng.normal(size=(len(label), dim)) + 0.4
  return {
    'x': x.astype(np.float32),
    'label': label,
    'item': rng.permutation(len(label)).astype(np.int32) + 100,
    'valid': np.ones(len(label), bool),
  }
