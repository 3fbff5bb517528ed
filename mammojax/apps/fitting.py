"""What a head is fitted on and chosen by, and its standardisation."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mammojax import errors


class Examples(NamedTuple):
  """Examples to fit on and examples to choose by.

  Attributes:
    x: float32[n, d], to fit on.
    y: bool[n].
    x_choice: float32[v, d], to choose by.
    y_choice: bool[v].
    weight: float32[n], of each in a loss or a vote.
    weight_choice: float32[v].
  """

  x: np.ndarray
  y: np.ndarray
  x_choice: np.ndarray
  y_choice: np.ndarray
  weight: np.ndarray
  weight_choice: np.ndarray


def examples(
  embeddings: np.ndarray,
  positive: np.ndarray,
  splits: np.ndarray,
  class_weight: str,
  choose_on: str,
) -> Examples:
  """The images of 'train' and of `choose_on`, see `probes.fit`.

  Raises:
    UsageError: shapes that differ.
    DataError: embeddings that are not finite, or a split without both classes.
  """
  positive, splits = np.asarray(positive, bool), np.asarray(splits)
  if embeddings.ndim != 2 or not (
    positive.shape == splits.shape == embeddings.shape[:1]
  ):
    raise errors.UsageError(
      'embeddings [n, d], positive [n] and splits [n] differ: '
      f'{embeddings.shape}, {positive.shape}, {splits.shape}.'
    )
  if not np.isfinite(embeddings).all():
    raise errors.DataError('The embeddings hold values that are not finite.')
  for split in ('train', choose_on):
    here = positive[splits == split]
    if not here.any() or here.all():
      raise errors.DataError(
        f'Of {len(here)} images of the {split} split {int(here.sum())} are '
        'positive; both classes must be there.'
      )
  train, choice = splits == 'train', splits == choose_on
  y, y_choice = positive[train], positive[choice]
  x = np.asarray(embeddings, np.float32)
  return Examples(
    x[train],
    y,
    x[choice],
    y_choice,
    _weight(y, class_weight),
    _weight(y_choice, class_weight),
  )


def _weight(y: np.ndarray, class_weight: str) -> np.ndarray:
  if class_weight == 'none':
    return np.ones(len(y), np.float32)
  share = np.where(y, y.sum(), (~y).sum()) / len(y)
  return (0.5 / share).astype(np.float32)


def standard(x: np.ndarray) -> dict[str, np.ndarray]:
  """Mean and spread of each value; 1 where all are equal."""
  spread = x.std(axis=0, dtype=np.float64)
  is_flat = spread <= 1e-7 * np.maximum(1.0, np.abs(x).max(axis=0))
  return {
    'mean': x.mean(axis=0, dtype=np.float64).astype(np.float32),
    'spread': np.where(is_flat, 1.0, spread).astype(np.float32),
  }


def standardised(arrays: Mapping[str, np.ndarray], x) -> np.ndarray:
  """Values by the mean and the spread of `standard`, float32."""
  return (np.asarray(x, np.float32) - arrays['mean']) / arrays['spread']
