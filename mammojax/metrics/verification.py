"""Are these two the same? How well a distance answers it over given pairs.

    found = verification.measure(
      same, distance, cluster, threshold=0.31, draws=2000)
    found['metrics']['eer']
    # {'value': 0.081, 'low': 0.077, 'high': 0.085, 'n_used': 20000, ...}

A pair is called the same when its distance is at most the threshold, which
comes from validation pairs, see `threshold`. Values are those of scikit-learn
where it has them; intervals resample clusters, the pairs that share an anchor,
see `bootstrap`.
"""

from typing import Any

import numpy as np
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.metrics import bootstrap, choosing

RATES = (1e-2, 1e-3)
# False matches that a rate needs at least before it can be told.
_LEAST_FALSE = 10
DEFINITIONS = {
  'auc': 'probability that a pair of the same is closer than one of two',
  'eer': 'rate at which false matches are as frequent as false non-matches,'
  ' interpolated between two thresholds',
  **{
    f'tar@far={rate:g}': 'largest share of matches found with a false-match'
    f' rate of at most {rate:g}'
    for rate in RATES
  },
  'd_prime': 'difference of mean distances over the root of the mean variance',
  'accuracy': 'share of pairs called what they are, at the threshold',
  'false_match': 'share of pairs of two that are called the same, there',
  'false_non_match': 'share of pairs of the same that are called two, there',
}


def threshold(same: np.ndarray, distance: np.ndarray, *, split: str) -> float:
  """The distance up to which pairs are called the same.

  It maximises the share of matches found less the share of false matches: on
  as many pairs of either kind, the accuracy.

  Args:
    same: bool[n].
    distance: float[n], 0 or more.
    split: whose pairs they are.

  Returns:
    The threshold.

  Raises:
    IntegrityError: split is 'test'.
    DataError: pairs of one kind alone, or distances that are none.
  """
  choosing.refuse_test(split, 'a threshold of distances')
  same, distance = _check(same, distance)
  # As the rules of `choosing` want it: in (0, 1], and larger for the same.
  found = choosing.threshold(
    same, 1.0 / (1.0 + distance), split=split, by='youden'
  )
  return 1.0 / found - 1.0


def measure(
  same: np.ndarray,
  distance: np.ndarray,
  clusters: np.ndarray,
  *,
  threshold: float,
  draws: int = 2000,
  seed: int = 0,
) -> dict[str, Any]:
  """Every metric of DEFINITIONS with its interval.

  Args:
    same: bool[n], the truth.
    distance: float[n], 0 or more.
    clusters: int or str [n], what is resampled together.
    threshold: of `threshold`.
    draws: resamples.
    seed: of them.

  Returns:
    'threshold'; 'same' and 'different', each with 'pairs' (their number) and
    'mean' and 'standard_deviation' of their distances; 'metrics': name ->
    'value', 'low', 'high', 'n_used', 'n_total', and 'undefined' where there is
    no value.

  Raises:
    UsageError: shapes that differ.
    DataError: pairs of one kind alone, or distances that are none.

  O(draws n) time.
  """
  same, distance = _check(same, distance)
  called = distance <= threshold
  ends = bootstrap.ends(
    lambda weight: weighted(same, distance, called, weight),
    clusters,
    draws=draws,
    seed=seed,
  )
  kinds = {
    name: {
      'pairs': int(kind.sum()),
      'mean': float(distance[kind].mean()),
      'standard_deviation': float(distance[kind].std()),
    }
    for name, kind in (('same', same), ('different', ~same))
  }
  values = _values(same, distance, called)
  table = {}
  for name in DEFINITIONS:
    low, high, _ = ends[name]
    cell: dict[str, Any] = {'value': values[name], 'low': low, 'high': high}
    why = _undefined(name, values[name], kinds['different']['pairs'])
    if why:
      cell = dict.fromkeys(cell) | {'undefined': why}
    table[name] = cell | {'n_used': len(same), 'n_total': len(same)}
  return {'threshold': float(threshold), **kinds, 'metrics': table}


def curve(same: np.ndarray, distance: np.ndarray) -> dict[str, list[float]]:
  """The ROC curve: 'false_match_rate' and 'true_match_rate', rising."""
  same, distance = _check(same, distance)
  false, true, _ = sk_metrics.roc_curve(same, -distance)
  return {'false_match_rate': false.tolist(), 'true_match_rate': true.tolist()}


def weighted(
  same: np.ndarray,
  distance: np.ndarray,
  called: np.ndarray,
  weight: np.ndarray,
) -> dict[str, np.ndarray]:
  """Every metric under many weights of the pairs at once.

  Args:
    same: bool[n].
    distance: float64[n].
    called: bool[n].
    weight: float64[b, n], at least 0.

  Returns:
    name of DEFINITIONS -> float64[b]; NaN where it is undefined. O(b n) after
    one sort.
  """
  order = np.argsort(distance, kind='stable')
  ranked = distance[order]
  start = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
  rates = []
  for kind in (~same, same):
    mass = np.add.reduceat(weight[:, order] * kind[order], start, axis=1)
    total = np.cumsum(mass, axis=1)
    # From no pair called the same to all of them.
    total = np.concatenate([np.zeros((len(total), 1)), total], axis=1)
    rates.append(_ratio(total, total[:, -1:]))
  false, true = rates
  mean_true = (true[:, 1:] + true[:, :-1]) / 2.0
  wrong = _ratio(weight @ (called & ~same), weight @ ~same)
  missed = _ratio(weight @ (~called & same), weight @ same)
  return {
    'auc': (np.diff(false, axis=1) * mean_true).sum(axis=1),
    'eer': np.array([_equal(*both) for both in zip(false, true, strict=True)]),
    **{
      f'tar@far={rate:g}': np.where(false <= rate, true, 0.0).max(axis=1)
      for rate in RATES
    },
    'd_prime': _d_prime(same, distance, weight),
    'accuracy': _ratio(weight @ (called == same), weight.sum(axis=1)),
    'false_match': wrong,
    'false_non_match': missed,
  }


def _undefined(name: str, value: float, num_different: int) -> str:
  """Why a metric has no value; '' where it has one."""
  rate = name.partition('=')[2]
  if rate and round(num_different * float(rate), 6) < _LEAST_FALSE:
    return (
      f'not resolvable with {num_different} pairs of two; '
      f'{_LEAST_FALSE / float(rate):.0f} are needed'
    )
  return '' if np.isfinite(value) else 'the distances do not vary'


def _check(same, distance) -> tuple[np.ndarray, np.ndarray]:
  same, distance = np.asarray(same, bool), np.asarray(distance, np.float64)
  if same.ndim != 1 or distance.shape != same.shape:
    raise errors.UsageError(
      f'same and distance must both be [n], got {same.shape} and '
      f'{distance.shape}.'
    )
  if same.all() or not same.any():
    raise errors.DataError(
      f'Of {len(same)} pairs {int(same.sum())} are the same; pairs of the same '
      'and of two are needed.'
    )
  # Written so that NaN is refused, too.
  if not (np.isfinite(distance) & (distance >= 0.0)).all():
    raise errors.DataError('Distances are negative or not finite.')
  return same, distance


def _values(same, distance, called) -> dict[str, float]:
  """The metrics of all pairs, each counted once."""
  false, true, _ = sk_metrics.roc_curve(
    same, -distance, drop_intermediate=False
  )
  own = weighted(same, distance, called, np.ones((1, len(same))))
  return {name: float(value[0]) for name, value in own.items()} | {
    'auc': float(sk_metrics.roc_auc_score(same, -distance)),
    'eer': _equal(false, true),
    **{f'tar@far={rate:g}': float(true[false <= rate].max()) for rate in RATES},
    'accuracy': float(sk_metrics.accuracy_score(same, called)),
  }


def _equal(false: np.ndarray, true: np.ndarray) -> float:
  """Where a rising false-match rate meets the falling share of misses."""
  gap = false - (1.0 - true)
  above = int(np.argmax(gap >= 0.0))
  if not gap[above] >= 0.0 or above == 0:
    return float('nan')
  low, high = gap[above - 1], gap[above]
  part = -low / (high - low)
  return float(false[above - 1] + part * (false[above] - false[above - 1]))


def _d_prime(same, distance, weight) -> np.ndarray:
  means, variances = [], []
  for kind in (same, ~same):
    mass = weight * kind
    total = mass.sum(axis=1)
    mean = _ratio(mass @ distance, total)
    means.append(mean)
    spread = (distance[None, :] - mean[:, None]) ** 2
    variances.append(_ratio((mass * spread).sum(axis=1), total))
  spread = np.sqrt((variances[0] + variances[1]) / 2.0)
  return _ratio(means[1] - means[0], spread)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
  """Quotients; NaN where below is 0."""
  below = np.broadcast_to(below, above.shape)
  out = np.full(above.shape, np.nan)
  return np.divide(above, below, out=out, where=below > 0)
