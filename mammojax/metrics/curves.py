"""Curves of a classifier over all its thresholds."""

import numpy as np
from sklearn import metrics as sk_metrics


def points(
  positive: np.ndarray, probability: np.ndarray
) -> dict[str, dict[str, list[float]]]:
  """Points of the ROC and the precision-recall curve.

  Args:
    positive: bool[n].
    probability: float64[n].

  Returns:
    'roc': 'false_positive_rate', 'recall'; 'precision_recall': 'recall',
    'precision'. {} where a class is missing.
  """
  if positive.all() or not positive.any():
    return {}
  false, true, _ = sk_metrics.roc_curve(positive, probability)
  precision, recall, _ = sk_metrics.precision_recall_curve(
    positive, probability
  )
  return {
    'roc': {'false_positive_rate': false.tolist(), 'recall': true.tolist()},
    'precision_recall': {
      'recall': recall.tolist(),
      'precision': precision.tolist(),
    },
  }
