"""What validation scores choose: a threshold and a temperature.

    cut = choosing.threshold(positive, probability, split='validation', by='f2')
    scale = choosing.temperature(positive, logits, split='validation')
    calibrated = choosing.probability(logits, scale.value)

Every choice names the split that its scores are of, and the test split chooses
nothing.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from mammojax import errors
from mammojax.metrics import calibration, classification

SPLITS = ('train', 'validation', 'test')
HALF = 0.5
RULES = ('half', 'f1', 'f2', 'youden', 'sensitivity')
# Range of temperatures; a separable set would ask for zero.
LEAST, MOST = 0.01, 100.0


class Temperature(NamedTuple):
  """A temperature and what it did to the scores it was fitted on.

  Attributes:
    value: what logits are divided by.
    log_loss_before: mean log loss at temperature 1.
    log_loss_after: likewise at `value`.
    ece_before: expected calibration error at temperature 1.
    ece_after: likewise at `value`.
    at_bound: whether `value` is LEAST or MOST, so that the best lies beyond.
  """

  value: float
  log_loss_before: float
  log_loss_after: float
  ece_before: float
  ece_after: float
  at_bound: bool


def refuse_test(split: str, what: str) -> None:
  """Refuses to choose anything by scores of the test split.

  Args:
    split: whose scores they are.
    what: is chosen, for the message.

  Raises:
    IntegrityError: split is 'test'.
    UsageError: split is none of SPLITS.
  """
  if split not in SPLITS:
    raise errors.unknown('split', split, SPLITS)
  if split == 'test':
    raise errors.IntegrityError(
      f'The test split may not choose {what}: what it is measured on would no '
      'longer be unseen. Give scores of the validation split.'
    )


def threshold(
  positive: np.ndarray,
  probability: np.ndarray,
  *,
  split: str,
  by: str,
  sensitivity: float | None = None,
) -> float:
  """The threshold that a rule wants.

  'half' is one half, whatever the scores. 'f1' and 'f2' maximise F-beta,
  'youden' recall + specificity - 1; 'sensitivity' is the highest threshold
  whose recall is at least what is wanted. A chosen threshold lies midway
  between two neighbouring probabilities; of equally good ones the highest is
  taken.

  Args:
    positive: bool[n].
    probability: float64[n].
    split: whose they are.
    by: one of RULES.
    sensitivity: wanted recall in (0, 1], with by='sensitivity' only.

  Returns:
    Images of at least this probability are called positive.

  Raises:
    IntegrityError: split is 'test'.
    UsageError: an unknown rule or split, a sensitivity that does not fit.
    DataError: only one class, or probabilities outside [0, 1]. O(n log n).
  """
  refuse_test(split, 'a threshold')
  if by not in RULES:
    raise errors.unknown('threshold rule', by, RULES)
  is_wanted = sensitivity is not None and 0.0 < sensitivity <= 1.0
  if (by == 'sensitivity') != (sensitivity is not None) or (
    sensitivity is not None and not is_wanted
  ):
    raise errors.UsageError(
      "sensitivity, above 0 and at most 1, goes with by='sensitivity'; got "
      f'{sensitivity} with {by!r}.'
    )
  positive, probability = classification.check(positive, probability)
  _need_both(positive, split, 'a threshold')
  if by == 'half':
    return HALF
  cuts, true, false = _cuts(positive, probability)
  num_pos, num_neg = true[0], false[0]
  if by == 'sensitivity':
    # recall >= wanted, in whole images: a quotient could round below.
    need = int(np.ceil(sensitivity * num_pos - 1e-9))
    return float(cuts[np.flatnonzero(true >= need)[-1]])
  missed = num_pos - true
  score = {
    'f1': 2.0 * true / (2.0 * true + missed + false),
    'f2': 5.0 * true / (5.0 * true + 4.0 * missed + false),
    'youden': true / num_pos - false / num_neg,
  }[by]
  return float(cuts[np.flatnonzero(score == score.max())[-1]])


def _cuts(positive, probability):
  """Thresholds from low to high, and true and false positives at each."""
  levels, code = np.unique(probability, return_inverse=True)
  code = code.reshape(-1)
  pos = np.bincount(code, positive, len(levels))
  neg = np.bincount(code, ~positive, len(levels))
  middle = (levels[1:] + levels[:-1]) / 2.0
  # Between neighbouring floats there is no middle.
  middle = np.where(middle > levels[:-1], middle, levels[1:])
  cuts = np.concatenate([levels[:1], middle])
  return cuts, np.cumsum(pos[::-1])[::-1], np.cumsum(neg[::-1])[::-1]


def probability(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
  """1 / (1 + exp(-logits / temperature)), float64[n]."""
  return special.expit(np.asarray(logits, np.float64) / temperature)


def log_loss(positive: np.ndarray, logits: np.ndarray) -> float:
  """Mean of log(1 + exp(-z)) over positives and log(1 + exp(z)) over others.

  Args:
    positive: bool[n].
    logits: float64[n], finite; no probability is rounded to 0 or 1.
  """
  signed = np.where(positive, -logits, logits)
  return float(np.logaddexp(0.0, signed).mean())


def temperature(
  positive: np.ndarray, logits: np.ndarray, *, split: str
) -> Temperature:
  """The one scalar that logits are divided by to have the least log loss.

  The loss is convex in 1 / T, so the minimum in [LEAST, MOST] is the only one.

  Args:
    positive: bool[n].
    logits: float64[n].
    split: whose they are.

  Returns:
    Temperature.

  Raises:
    IntegrityError: split is 'test'.
    UsageError: an unknown split, or shapes that differ.
    DataError: only one class, or logits that are not finite.

  Source: Guo et al., 2017, arXiv:1706.04599, section 4.2.
  """
  refuse_test(split, 'a temperature')
  logits = np.asarray(logits, np.float64)
  if not np.isfinite(logits).all():
    row = int(np.flatnonzero(~np.isfinite(logits))[0])
    raise errors.DataError(f'Logit {row} of {len(logits)} is not finite.')
  plain = probability(logits)
  positive, _ = classification.check(positive, plain)
  _need_both(positive, split, 'a temperature')
  found = optimize.minimize_scalar(
    lambda log_t: log_loss(positive, logits / np.exp(log_t)),
    bounds=(np.log(LEAST), np.log(MOST)),
    method='bounded',
    options={'xatol': 1e-6},
  )
  value = float(np.exp(found.x))
  return Temperature(
    value=value,
    log_loss_before=log_loss(positive, logits),
    log_loss_after=log_loss(positive, logits / value),
    ece_before=calibration.ece(positive, plain),
    ece_after=calibration.ece(positive, probability(logits, value)),
    at_bound=not 1.001 * LEAST < value < MOST / 1.001,
  )


def _need_both(positive: np.ndarray, split: str, what: str) -> None:
  if positive.all() or not positive.any():
    raise errors.DataError(
      f'{what} cannot be chosen: of {len(positive)} images of the {split} split'
      f' {int(positive.sum())} are positive, and both classes are needed.'
    )
