"""Small retrieval problems, and the metrics they are scored by."""

import numpy as np

NAMES = (
  'map',
  'map_at_r',
  'r_precision',
  'mrr',
  'cmc@1',
  'cmc@2',
  'cmc@4',
  'cmc_all_shots@1',
  'cmc_all_shots@3',
  'precision@1',
  'precision@3',
  'recall@2',
  'recall@5',
)


def relation(query_label, gallery_label):
  """Labels, and items that are all different."""
  return {
    'query_label': np.asarray(query_label),
    'gallery_label': np.asarray(gallery_label),
    'query_item': np.arange(len(query_label)),
    'gallery_item': 1000 + np.arange(len(gallery_label)),
  }


def line(places):
  """One-dimensional gallery whose squared distances to 0 are places^2."""
  return np.asarray(places, np.float32)[:, None]


def random_problem(rng, q=23, g=57, d=5, subjects=9):
  query = rng.normal(size=(q, d)).astype(np.float32)
  gallery = (rng.normal(size=(g, d)) + 0.3).astype(np.float32)
  labels = relation(rng.integers(0, subjects, q), rng.integers(0, subjects, g))
  return query, gallery, labels
