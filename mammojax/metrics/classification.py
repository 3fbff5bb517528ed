"""How well probabilities of one class tell it from the others.

    found = classification.measure(
      positive, probability, subjects, threshold=0.31)
    found['metrics']['auc']
    # {'value': 0.81, 'low': 0.77, 'high': 0.85, 'n_used': 512, 'n_total': 512}

An image is called positive when its probability is at least the threshold,
which comes from validation data, see `choosing`. Values are those of
scikit-learn where it has them; intervals resample subjects, see `bootstrap`. A
value that does not exist is None, and 'undefined' says why.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.metrics import bootstrap, calibration

# name -> what it is, as it is stored beside the numbers.
DEFINITIONS = {
  'accuracy': 'share of images called what they are',
  'balanced_accuracy': 'mean of recall and specificity',
  'precision': 'share of positives among images called positive',
  'recall': 'share of positives that are called positive; sensitivity',
  'specificity': 'share of negatives that are called negative',
  'f1': 'F-beta of precision and recall, beta 1',
  'f2': 'F-beta of precision and recall, beta 2',
  'auc': 'area under the ROC curve; a tie counts one half',
  'pr_auc': 'average precision: sum of precision times gain in recall',
  'brier': 'mean squared difference of probability and truth',
  'ece': (
    f'expected calibration error, {calibration.BINS} equal bins of P(positive)'
  ),
}
_NO_POSITIVE = 'there is no positive image'
_NO_NEGATIVE = 'there is no negative image'
_NO_CALL = 'no image is called positive'
_NEEDS_BOTH = ('balanced_accuracy', 'auc', 'pr_auc')


def measure(
  positive: np.ndarray,
  probability: np.ndarray,
  subjects: np.ndarray,
  *,
  threshold: float | np.ndarray,
  draws: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, Any]:
  """Every metric of DEFINITIONS with its interval, and the confusion matrix.

  Args:
    positive: bool[n], the truth.
    probability: float64[n] of being positive.
    subjects: int or str [n], whose image each is.
    threshold: from which probability an image is called positive, one for all
      or one each.
    draws: resamples of the subjects.
    level: share of the resamples inside an interval.
    seed: of the resamples.

  Returns:
    'threshold': as given; None for one each.
    'confusion': 'true_negative', 'false_positive', 'false_negative',
      'true_positive', numbers of images.
    'metrics': name -> 'value', 'low', 'high', 'n_used' (images that it is a
      mean over), 'n_total'; with 'undefined' where there is no value, and
      'draws_used' where some resamples have none.

  Raises:
    UsageError: shapes that differ, wrong draws, level or threshold.
    DataError: no image, or probabilities outside [0, 1].
  """
  positive, probability = check(positive, probability)
  if np.shape(threshold) not in ((), positive.shape):
    raise errors.UsageError(
      f'threshold must be a number or {positive.shape}, got '
      f'{np.shape(threshold)}.'
    )
  if not np.isfinite(threshold).all():
    raise errors.UsageError(f'threshold must be finite, got {threshold}.')
  called = probability >= threshold
  intervals = bootstrap.ends(
    lambda weight: weighted(positive, probability, called, weight),
    subjects,
    draws=draws,
    level=level,
    seed=seed,
  )
  table = {}
  for name in DEFINITIONS:
    why, used = _undefined(name, positive, called)
    cell: dict[str, Any] = dict(value=None, low=None, high=None)
    if why:
      cell['undefined'] = why
    else:
      cell['value'] = _value(name, positive, probability, called)
      cell['low'], cell['high'], num = intervals[name]
      if cell['low'] is not None and num < draws:
        cell['draws_used'] = num
    table[name] = cell | {'n_used': used, 'n_total': len(positive)}
  return {
    'threshold': None if np.ndim(threshold) else float(threshold),
    'confusion': confusion(positive, called),
    'metrics': table,
  }


def check(
  positive: np.ndarray, probability: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """(bool[n], float64[n]), refused when they are not truths and probabilities.

  Raises:
    UsageError: shapes that differ.
    DataError: no image, truths that are neither, or probabilities outside
      [0, 1].
  """
  positive = np.asarray(positive)
  probability = np.asarray(probability, np.float64)
  if positive.ndim != 1 or probability.shape != positive.shape:
    raise errors.UsageError(
      'positive and probability must both be [n], got '
      f'{positive.shape} and {probability.shape}.'
    )
  if not len(positive):
    raise errors.DataError('There is no image to measure anything on.')
  if not np.isin(positive, (0, 1)).all():
    raise errors.DataError('positive holds more than True and False.')
  # Written so that NaN is outside, too.
  outside = ~((probability >= 0.0) & (probability <= 1.0))
  if outside.any():
    row = int(np.flatnonzero(outside)[0])
    raise errors.DataError(
      f'Probability {row} of {len(probability)} is {probability[row]}, outside '
      '[0, 1].'
    )
  return positive.astype(bool), probability


def confusion(positive: np.ndarray, called: np.ndarray) -> dict[str, int]:
  """Numbers of images by truth and by what they are called, bool[n] both."""
  table = sk_metrics.confusion_matrix(positive, called, labels=[False, True])
  names = ('true_negative', 'false_positive', 'false_negative', 'true_positive')
  return dict(zip(names, table.reshape(-1).tolist(), strict=True))


def weighted(
  positive: np.ndarray,
  probability: np.ndarray,
  called: np.ndarray,
  weight: np.ndarray,
) -> dict[str, np.ndarray]:
  """Every metric under many weights of the images at once.

  Args:
    positive: bool[n].
    probability: float64[n].
    called: bool[n].
    weight: float64[b, n], at least 0.

  Returns:
    name of DEFINITIONS -> float64[b]; NaN where it is undefined. O(b n) after
    one sort.
  """
  kinds = np.stack(
    [
      ~positive & ~called,
      ~positive & called,
      positive & ~called,
      positive & called,
    ],
    axis=1,
  )
  tn, fp, fn, tp = (weight @ kinds.astype(np.float64)).T
  recall, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
  squares = (probability - positive) ** 2
  total = weight.sum(axis=1)
  return {
    'accuracy': _ratio(tp + tn, total),
    'balanced_accuracy': (recall + specificity) / 2.0,
    'precision': _ratio(tp, tp + fp),
    'recall': recall,
    'specificity': specificity,
    'f1': _ratio(2.0 * tp, 2.0 * tp + fn + fp),
    'f2': _ratio(5.0 * tp, 5.0 * tp + 4.0 * fn + fp),
    **_areas(positive, probability, weight),
    'brier': _ratio(weight @ squares, total),
    'ece': calibration.errors_of(positive, probability, weight),
  }


def _areas(positive, probability, weight) -> dict[str, np.ndarray]:
  """Areas under the ROC and the precision-recall curve, float64[b] each."""
  order = np.argsort(probability, kind='stable')
  ranked = probability[order]
  start = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
  mass = weight[:, order]
  # Images of one probability are one step of either curve.
  pos = np.add.reduceat(mass * positive[order], start, axis=1)
  neg = np.add.reduceat(mass * ~positive[order], start, axis=1)
  num_pos, num_neg = pos.sum(axis=1), neg.sum(axis=1)
  below = np.cumsum(neg, axis=1) - neg / 2.0
  auc = _ratio((pos * below).sum(axis=1), num_pos * num_neg)
  true = np.cumsum(pos[:, ::-1], axis=1)
  both = true + np.cumsum(neg[:, ::-1], axis=1)
  # Before the first image that was drawn there is no precision, and no gain.
  precision = np.divide(true, both, out=np.zeros_like(true), where=both > 0)
  gain = (pos[:, ::-1] * precision).sum(axis=1)
  average = _ratio(gain, np.where(num_neg > 0, num_pos, 0.0))
  return {'auc': auc, 'pr_auc': average}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """The quotient; NaN where `below` is zero."""
  empty = np.full(len(above), np.nan)
  return np.divide(above, below, out=empty, where=below > 0)


def _undefined(name: str, positive, called) -> tuple[str, int]:
  """(why a metric has no value, or ''; the images that it is a mean over)."""
  num, both = len(positive), not positive.all()
  if name == 'specificity':
    return ('' if both else _NO_NEGATIVE), int((~positive).sum())
  if name == 'recall':
    return ('' if positive.any() else _NO_POSITIVE), int(positive.sum())
  if name == 'precision':
    return ('' if called.any() else _NO_CALL), int(called.sum())
  if name in _NEEDS_BOTH:
    if not positive.any():
      return _NO_POSITIVE, num
    return ('' if both else _NO_NEGATIVE), num
  if name in ('f1', 'f2') and not (positive.any() or called.any()):
    return f'{_NO_POSITIVE} and {_NO_CALL}', num
  return '', num


def _value(name: str, positive, probability, called) -> float:
  return float(_VALUES[name](positive, probability, called))


_VALUES: dict[str, Callable[..., float]] = {
  'accuracy': lambda y, p, c: sk_metrics.accuracy_score(y, c),
  'balanced_accuracy': lambda y, p, c: sk_metrics.balanced_accuracy_score(y, c),
  'precision': lambda y, p, c: sk_metrics.precision_score(y, c),
  'recall': lambda y, p, c: sk_metrics.recall_score(y, c),
  'specificity': lambda y, p, c: sk_metrics.recall_score(y, c, pos_label=False),
  'f1': lambda y, p, c: sk_metrics.f1_score(y, c),
  'f2': lambda y, p, c: sk_metrics.fbeta_score(y, c, beta=2.0),
  'auc': lambda y, p, c: sk_metrics.roc_auc_score(y, p),
  'pr_auc': lambda y, p, c: sk_metrics.average_precision_score(y, p),
  'brier': lambda y, p, c: sk_metrics.brier_score_loss(y, p),
  'ece': lambda y, p, c: calibration.ece(y, p),
}
