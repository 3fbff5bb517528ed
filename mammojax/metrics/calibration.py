"""How far probabilities are from the shares of what they announce."""

import numpy as np

BINS = 15


def bins(
  positive: np.ndarray, probability: np.ndarray
) -> list[dict[str, float | int]]:
  """The bins of `ece` that hold an image, for a reliability diagram.

  Args:
    positive: bool[n].
    probability: float64[n].

  Returns:
    From low to high: 'probability' (mean), 'share' (of positives), 'count'.
  """
  number = _bin(probability)
  return [
    {
      'probability': float(probability[number == one].mean()),
      'share': float(positive[number == one].mean()),
      'count': int((number == one).sum()),
    }
    for one in np.unique(number)
  ]


def ece(positive: np.ndarray, probability: np.ndarray) -> float:
  """Expected calibration error of bool[n] and float64[n].

      sum over bins of |sum in the bin of (probability - positive)| / n

  Source: Naeini et al., 2015, Obtaining Well Calibrated Probabilities Using
  Bayesian Binning, section 2.
  Differs: bins of P(positive), not of the confidence in what is called.
  """
  return float(errors_of(positive, probability, np.ones((1, len(positive))))[0])


def errors_of(
  positive: np.ndarray, probability: np.ndarray, weight: np.ndarray
) -> np.ndarray:
  """`ece` under several weightings of the images at once.

  Args:
    positive: bool[n].
    probability: float64[n].
    weight: float64[draws, n], each row with a positive sum.

  Returns:
    float64[draws].
  """
  parts = np.zeros((len(probability), BINS))
  rows = np.arange(len(probability))
  parts[rows, _bin(probability)] = probability - positive
  return np.abs(weight @ parts).sum(axis=1) / weight.sum(axis=1)


def _bin(probability: np.ndarray) -> np.ndarray:
  """int64[n], the bin of each probability; 1 lies in the last."""
  return np.minimum((probability * BINS).astype(np.int64), BINS - 1)
