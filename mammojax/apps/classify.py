"""From frozen embeddings to a calibrated decision, and how good it is.

    found = classify.run(
      embeddings, positive, subjects, splits, head='mlp', rule='youden')
    found.summary['test']['metrics']['auc']

The head is fitted on 'train'. 'validation' chooses what is to be chosen about
it, the temperature and the threshold. 'test' is measured, and chooses nothing.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import manifold
import threadpoolctl

from mammojax import errors
from mammojax.apps import fusion, probes
from mammojax.data import torn
from mammojax.metrics import calibration, choosing, classification

# t-SNE of more images takes minutes, and their points hide each other.
MOST_POINTS = 1000
_LEAST_POINTS = 5


class Result(NamedTuple):
  """A classifier and what it does.

  Attributes:
    head: fitted.
    temperature: what its logits are divided by.
    threshold: from which calibrated probability an image is positive.
    logits: float64[n], of all images, before calibration.
    summary: JSON values.
  """

  head: probes.Head
  temperature: float
  threshold: float
  logits: np.ndarray
  summary: dict[str, Any]

  def probability(self) -> np.ndarray:
    """Calibrated probabilities of being positive, float64[n]."""
    return choosing.probability(self.logits, self.temperature)


def run(
  embeddings: np.ndarray,
  positive: np.ndarray,
  subjects: np.ndarray,
  splits: np.ndarray,
  *,
  known: np.ndarray | None = None,
  head: str | probes.Head = 'mlp',
  class_weight: str = 'none',
  rule: str = 'youden',
  sensitivity: float | None = None,
  epochs: int = 50,
  draws: int = 2000,
  seed: int = 0,
  choose_on: str = 'validation',
) -> Result:
  """Fits, calibrates, chooses a threshold and measures.

  Args:
    embeddings: float32[n, d].
    positive: bool[n].
    subjects: str[n], whose image each is; nobody is in two splits.
    splits: str[n], 'train', 'validation' or 'test'.
    known: float32[n, k], what is known besides, see `clinical.encode`; it gets
      a head of its own, see `fusion.fit`.
    head: key of `probes.FITS`, or a head that is there already.
    class_weight: see `probes.fit`.
    rule: of the threshold, see `choosing.threshold`.
    sensitivity: with rule='sensitivity'.
    epochs: of the head 'mlp'.
    draws: resamples of the subjects for the intervals.
    seed: of the head and of the resamples.
    choose_on: the split that chooses.

  Returns:
    Result. Its summary has 'head', 'class_weight', 'temperature',
    'threshold', of 'validation' and 'test' what `classification.measure` gives
    and 'ece_before_calibration', and their 'definitions'.

  Raises:
    IntegrityError: choose_on is 'test', or a subject is in two splits.
    UsageError: an unknown name, or shapes that differ.
    DataError: a split without images, or without both classes where it fits or
      chooses.
  """
  choosing.refuse_test(choose_on, 'anything about a classifier')
  positive = np.asarray(positive, bool)
  _check_subjects(subjects, splits)
  fitted = _fit(
    head,
    embeddings,
    known,
    (positive, splits),
    {'epochs': epochs, 'seed': seed},
    {'class_weight': class_weight, 'choose_on': choose_on},
  )
  values = (embeddings,) if known is None else (embeddings, known)
  logits = probes.logits(fitted, np.concatenate(values, axis=1))
  here = splits == choose_on
  truth, scores = positive[here], logits[here]
  scale = choosing.temperature(truth, scores, split=choose_on)
  cut = choosing.threshold(
    truth,
    choosing.probability(scores, scale.value),
    split=choose_on,
    by=rule,
    sensitivity=sensitivity,
  )
  summary = {
    'head': {'kind': fitted.kind, **fitted.options},
    'class_weight': class_weight,
    'temperature': scale._asdict() | {'chosen_on': choose_on},
    'threshold': {
      'value': cut,
      'rule': rule,
      'sensitivity': sensitivity,
      'chosen_on': None if rule == 'half' else choose_on,
    },
    'definitions': classification.DEFINITIONS,
  }
  found = Result(fitted, scale.value, cut, logits, summary)
  for split in ('validation', 'test'):
    here = splits == split
    if not here.any():
      raise errors.DataError(f'There is no image of the {split} split.')
    summary[split] = _measure(
      found, here, positive, np.asarray(subjects), draws, seed
    )
  return found


def _fit(head, embeddings, known, labels, training, common) -> probes.Head:
  """The head on embeddings, and on what is known besides."""
  positive, splits = labels
  if not isinstance(head, probes.Head):
    head = probes.fit(head, embeddings, positive, splits, **training, **common)
  if known is None:
    return head
  return fusion.fit(head, embeddings, known, positive, splits, **common)


def _measure(found: Result, here, positive, subjects, draws, seed):
  """The numbers of one split, bool[n] `here`."""
  before = choosing.probability(found.logits[here])
  return classification.measure(
    positive[here],
    found.probability()[here],
    subjects[here],
    threshold=found.threshold,
    draws=draws,
    seed=seed,
  ) | {'ece_before_calibration': calibration.ece(positive[here], before)}


def _check_subjects(subjects, splits) -> None:
  frame = pd.DataFrame({'subject': subjects, 'split': splits})
  found = torn.leaks(frame)
  if found:
    raise errors.IntegrityError(
      f'{len(found)} subjects are in two splits, as {next(iter(found))!r}; '
      'what is measured on them was learnt by heart. `python -m mammojax leaks`'
      ' writes a table that tears nobody.'
    )


def plane(
  embeddings: np.ndarray, seed: int = 0, metric: str = 'cosine'
) -> tuple[np.ndarray, np.ndarray]:
  """t-SNE of embeddings, of up to 1,000 of them drawn by chance.

  Args:
    embeddings: float32[n, d].
    seed: of the choice and of t-SNE.
    metric: a distance of scikit-learn.

  Returns:
    (int64[m] rows, float32[m, 2] points); both empty for fewer than five.
  """
  num = len(embeddings)
  if num < _LEAST_POINTS:
    return np.zeros(0, np.int64), np.zeros((0, 2), np.float32)
  rows = np.random.default_rng(seed).permutation(num)[:MOST_POINTS]
  rows.sort()
  maker = manifold.TSNE(
    metric=metric,
    init='random',
    perplexity=min(30.0, (len(rows) - 1) / 3.0),
    random_state=seed,
  )
  # Its threads wait actively for each other: on a busy machine that takes
  # many times as long as one thread.
  with threadpoolctl.threadpool_limits(1):
    points = maker.fit_transform(embeddings[rows])
  return rows, points
