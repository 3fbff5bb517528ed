"""Embeddings compared: neighbours that vote, pairs, and enrolled classes.

    right = comparing.votes(
      train, train_classes, test, test_classes, k=10, distance='cosine')
    right.mean()                          # accuracy of the nearest neighbours

Everything is exact and by brute force: q queries against n references of d
values take O(q n d).
"""

from collections.abc import Mapping

import numpy as np
from sklearn import metrics as sk_metrics
from sklearn import neighbors, preprocessing
import threadpoolctl

from mammojax import errors

# Distances of `mammojax.distances` by the names of scikit-learn. The square is
# ranked as its root.
METRICS: Mapping[str, str] = {
  'cosine': 'cosine',
  'euclidean': 'euclidean',
  'squared_euclidean': 'euclidean',
  'manhattan': 'manhattan',
}


def check(distance: str) -> None:
  """Refuses a distance that is not among METRICS."""
  if distance not in METRICS:
    raise errors.unknown('distance', distance, METRICS)


def paired(first: np.ndarray, second: np.ndarray, distance: str) -> np.ndarray:
  """Distance of row i to row i, float64[n].

  Args:
    first: float32[n, d].
    second: float32[n, d].
    distance: a key of METRICS.
  """
  check(distance)
  found = sk_metrics.pairwise.paired_distances(
    first, second, metric=METRICS[distance]
  )
  return np.asarray(found, np.float64)


def votes(
  reference: np.ndarray,
  reference_class: np.ndarray,
  query: np.ndarray,
  query_class: np.ndarray,
  *,
  k: int,
  distance: str,
) -> np.ndarray:
  """Whether most of the k nearest references are of the query's class.

  Args:
    reference: float32[n, d].
    reference_class: str[n].
    query: float32[q, d].
    query_class: str[q].
    k: neighbours, each with one vote; classes with as many votes go by name.
    distance: a key of METRICS.

  Returns:
    bool[q].

  Raises:
    UsageError: an unknown distance, or a k that is not 1 to n.
  """
  check(distance)
  if not 1 <= k <= len(reference):
    raise errors.UsageError(
      f'k must be 1 to the {len(reference)} references, got {k}.'
    )
  metric = METRICS[distance]
  if metric == 'cosine':
    # The same order, and what is fast in scikit-learn.
    reference, query = map(preprocessing.normalize, (reference, query))
    metric = 'euclidean'
  voter = neighbors.KNeighborsClassifier(k, algorithm='brute', metric=metric)
  # Its threads wait actively for each other, see `classify.plane`.
  with threadpoolctl.threadpool_limits(1):
    called = voter.fit(reference, reference_class).predict(query)
  return np.asarray(called == query_class)


def identified(
  reference: np.ndarray,
  reference_class: np.ndarray,
  query: np.ndarray,
  query_class: np.ndarray,
  *,
  images: int,
  distance: str,
  draws: int,
  seed: int,
) -> np.ndarray:
  """Whether the nearest enrolled image is of the query's class.

  In each draw so many images of every class are enrolled.

  Args:
    reference: float32[n, d], images that may be enrolled.
    reference_class: str[n].
    query: float32[q, d].
    query_class: str[q].
    images: of each class.
    distance: a key of METRICS.
    draws: galleries, each drawn by chance.
    seed: of the draws.

  Returns:
    bool[draws, q].

  Raises:
    UsageError: an unknown distance, or a class with fewer images to enrol.
  """
  rng = np.random.default_rng(seed)
  names = np.unique(np.concatenate([reference_class, query_class]))
  for name in names:
    count = int((reference_class == name).sum())
    if count < images:
      raise errors.UsageError(
        f'{images} images of each class cannot be enrolled: there are {count} '
        f'of {str(name)!r} outside the training and test splits. Give the '
        'validation split more of them, or leave the class out of the table.'
      )
  found = []
  for _ in range(draws):
    rows = np.concatenate(
      [
        rng.choice(np.flatnonzero(reference_class == name), images, False)
        for name in names
      ]
    )
    found.append(
      votes(
        reference[rows],
        reference_class[rows],
        query,
        query_class,
        k=1,
        distance=distance,
      )
    )
  return np.stack(found)
