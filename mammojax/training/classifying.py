"""How a run that decides is judged: is an image positive or not.

The network gives a logit (`model.head` 'classifier', or 'siamese' for pairs).
Validation chooses the checkpoint by `eval.choose_by` and, if it is asked to,
the threshold by `eval.threshold`; the test is measured once and chooses
nothing. What is kept is in `training.decisions`.
"""

from collections.abc import Mapping
import logging
import pathlib
from typing import Any

import ml_collections
import numpy as np

from mammojax import errors
from mammojax.data import imageset
from mammojax.metrics import choosing, classification
from mammojax.training import decisions, matching

_LOG = logging.getLogger(__name__)
# Scores that can choose a checkpoint; the sign makes the highest the best.
CHOOSE_BY = {'auc': 1.0, 'accuracy': 1.0, 'f2': 1.0, 'log_loss': -1.0}
# Answers with a smaller spread than this do not depend on the image.
_LEAST_SPREAD = 0.01


class Classifying:
  """Decisions on the validation and on the test images.

  The form is that of `training.matching.Matching`. Images without a diagnosis
  are left out and counted.
  """

  # Of the validation: where it is highest, the checkpoint is the best.
  best_metric = 'choice'

  def __init__(
    self, config: ml_collections.ConfigDict, images: imageset.ImageSet
  ):
    """Finds the images of each split.

    Raises:
      UsageError: no positive class, unknown names, or a threshold that no
        validation can choose.
      DataError: training images of one class, or no test image.
    """
    _check_names(config)
    self._config, self._frame = config, images.frame
    target = images.frame['target'].to_numpy(str)
    split = images.frame['split'].to_numpy(str)
    self._positive = target == 'positive'
    self._left_out = int((target == '').sum())
    self._rows = {
      name: np.flatnonzero((split == name) & (target != ''))
      for name in ('train', 'validation', 'test')
    }
    if not self._has_both('train'):
      raise errors.DataError(
        'The training images are all of one class; see data.positive.'
      )
    if not len(self._rows['test']):
      raise errors.DataError('The test split has no image with a diagnosis.')
    if self.can_validate:
      return
    if config.eval.threshold != 'half':
      raise errors.UsageError(
        'The validation split lacks a class, so nothing can choose '
        f'eval.threshold={config.eval.threshold}; set it to half.'
      )
    _LOG.warning(
      'The validation split lacks a class, so the last checkpoint counts.'
    )

  def _has_both(self, split: str) -> bool:
    found = self._positive[self._rows[split]]
    return bool(found.any() and not found.all())

  @property
  def can_validate(self) -> bool:
    """Whether there is something to choose a checkpoint by."""
    return self._has_both('validation')

  def validate(self, embed_fn: matching.EmbedFn) -> dict[str, float]:
    """Scalars of the validation at a threshold of one half."""
    rows = self._rows['validation']
    logit, positive = _logits(embed_fn, rows), self._positive[rows]
    probability = choosing.probability(logit)
    once = np.ones((1, len(rows)))
    measured = classification.weighted(
      positive, probability, probability >= choosing.HALF, once
    )
    values = {name: float(measured[name][0]) for name in ('accuracy', 'auc')}
    # Nobody called positive: then no positive one was found.
    values['f2'] = float(np.nan_to_num(measured['f2'][0]))
    values['log_loss'] = choosing.log_loss(positive, logit)
    values['spread'] = float(probability.std())
    by = self._config.eval.choose_by
    values['choice'] = CHOOSE_BY[by] * values[by]
    return values

  def words(self, values: Mapping[str, float]) -> str:
    """A validation in a line."""
    return (
      f'accuracy {values["accuracy"]:.3f}, AUC {values["auc"]:.3f}, F2 '
      f'{values["f2"]:.3f}, log loss {values["log_loss"]:.3f}'
    )

  def warning(self, values: Mapping[str, float]) -> str | None:
    """What a validation warns of."""
    if values['spread'] >= _LEAST_SPREAD:
      return None
    return (
      'the answers hardly depend on the image (standard deviation '
      f'{values["spread"]:.4f}): lower optim.learning_rate, or train longer.'
    )

  def test(
    self, embed_fn: matching.EmbedFn, path: pathlib.Path | None
  ) -> dict[str, Any]:
    """Measures the test split once, and the validation split beside it.

    Args:
      embed_fn: see `matching.EmbedFn`.
      path: of `evaluation.npz`; None writes nothing.

    Returns:
      What `decisions.summary` gives.
    """
    found = {
      split: self._details(split, _logits(embed_fn, self._rows[split]))
      for split in ('validation', 'test')
      if len(self._rows[split])
    }
    decisions.set_threshold(found, self._config.eval.threshold)
    if path is not None:
      decisions.save(path, found)
    results = decisions.summary(self._config, found)
    results['counts']['without_diagnosis'] = self._left_out
    return results

  def _details(self, split: str, logit: np.ndarray) -> dict[str, np.ndarray]:
    frame = self._frame.iloc[self._rows[split]]
    return {
      'logit': logit,
      'positive': self._positive[self._rows[split]],
      'subject': frame['subject'].to_numpy(str),
      'item': frame['item'].to_numpy(str),
    }


def _check_names(config) -> None:
  if not config.data.positive:
    raise errors.UsageError(
      f'model.head={config.model.head!r} needs data.positive, the diagnoses '
      "that are positive, such as ('malignant',)."
    )
  if config.eval.choose_by not in CHOOSE_BY:
    raise errors.unknown('eval.choose_by', config.eval.choose_by, CHOOSE_BY)
  rules = ('half', 'f1', 'f2', 'youden')
  if config.eval.threshold not in rules:
    raise errors.unknown('eval.threshold', config.eval.threshold, rules)


def _logits(embed_fn, rows: np.ndarray) -> np.ndarray:
  return embed_fn(rows)[:, 0].astype(np.float64)
