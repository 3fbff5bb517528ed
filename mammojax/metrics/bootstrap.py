"""Confidence intervals that resample subjects, not images.

  bootstrap.interval(values, subjects)
  # {'value': 0.81, 'low': 0.77, 'high': 0.85, 'n_used': 512, 'n_total': 512}

The images of one subject are alike, so images drawn one by one claim more
certainty than there is. Here a draw takes as many subjects as there are, with
replacement, each with all its queries, and the statistic is the mean over the
queries drawn: the sum of the drawn subjects' sums over the sum of their
counts. Only these two numbers are kept of each subject, so a draw costs what
counting does.

Source: Davison & Hinkley 1997, Bootstrap Methods and their Application,
section 3.8 (resampling clusters), and section 5.3 (percentile interval).
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from mammojax import errors

# Weights held at a time: draws times subjects.
_CELLS = 2_000_000


def _per_subject(
  values: np.ndarray, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """(sum, count) of the usable values of each subject that has any."""
  used = ~np.isnan(values)
  _, code = np.unique(subjects[used], return_inverse=True)
  code = code.reshape(-1)
  return np.bincount(code, values[used]), np.bincount(code).astype(np.float64)


def _weights(
  num: int, draws: int, seed: int, width: int
) -> Iterator[np.ndarray]:
  """float64[b, num], how often each subject was drawn, up to `draws` rows.

  A block is so small that b times `width` stays below _CELLS.
  """
  rng = np.random.default_rng(seed)
  step = max(1, _CELLS // width)
  for start in range(0, draws, step):
    size = min(step, draws - start)
    # Counting uniform draws is a multinomial weight for each subject.
    picks = rng.integers(0, num, size=(size, num))
    picks += num * np.arange(size)[:, None]
    weight = np.bincount(picks.reshape(-1), minlength=size * num)
    yield weight.reshape(size, num).astype(np.float64)


def _draw_means(
  sums: np.ndarray, counts: np.ndarray, draws: int, seed: int
) -> np.ndarray:
  """float64[draws], the mean of each resample of the subjects."""
  both = np.stack([sums, counts], axis=1)
  blocks = _weights(len(sums), draws, seed, len(sums))
  total = np.concatenate([weight @ both for weight in blocks])
  return total[:, 0] / total[:, 1]


def _check(values: np.ndarray, subjects: np.ndarray, draws: int, level: float):
  """Refuses shapes, settings and numbers that give no interval."""
  if values.ndim != 1 or subjects.shape != values.shape:
    raise errors.UsageError(
      'values and subjects must both be [q], got '
      f'{values.shape} and {subjects.shape}.'
    )
  if draws < 1 or not 0.0 < level < 1.0:
    raise errors.UsageError(
      'draws must be at least 1 and level between 0 and 1, got '
      f'{draws} and {level}.'
    )
  if np.isinf(values).any():
    row = int(np.flatnonzero(np.isinf(values))[0])
    raise errors.DataError(f'Value {row} of {len(values)} is infinite.')


def interval(
  values: np.ndarray,
  subjects: np.ndarray,
  *,
  draws: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, float | int | None]:
  """Mean over queries with a percentile interval over subjects.

  Args:
    values: float64[q]; NaN for a query that does not count (no mate).
    subjects: int or str [q], whose query each is.
    draws: resamples.
    level: share of the resamples' means inside the interval.
    seed: of the resamples; equal seeds give equal intervals.

  Returns:
    'value': mean of the values that count; None when none does.
    'low', 'high': ends of the interval. None when fewer than two subjects
      have a value: every resample would then be the same, and an interval of
      width zero would claim certainty where nothing is known.
    'n_used', 'n_total': queries that count, and all queries.

  Raises:
    UsageError: wrong shapes, draws or level.
    DataError: an infinite value.
  """
  values = np.asarray(values, np.float64)
  subjects = np.asarray(subjects)
  _check(values, subjects, draws, level)
  sums, counts = _per_subject(values, subjects)
  used = int(counts.sum())
  low = high = None
  if len(sums) > 1:
    tail = 50.0 * (1.0 - level)
    means = _draw_means(sums, counts, draws, seed)
    low, high = map(float, np.percentile(means, [tail, 100.0 - tail]))
  return {
    'value': float(sums.sum() / used) if used else None,
    'low': low,
    'high': high,
    'n_used': used,
    'n_total': len(values),
  }


def paired_difference(
  a: np.ndarray,
  b: np.ndarray,
  subjects: np.ndarray,
  *,
  draws: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, float | int | None]:
  """Mean of a - b over the same queries, with an interval over subjects.

  Two models ranked the same queries, so what makes a query hard is common to
  both and cancels; comparing two separate intervals would lose that.

  Args:
    a: float64[q], NaN for a query that does not count.
    b: float64[q]; a query counts when it does in both.
    subjects: int or str [q].
    draws: resamples.
    level: share of the resamples' means inside the interval.
    seed: of the resamples.

  Returns:
    As `interval`; the models differ at `level` when 0 is outside.

  Raises:
    UsageError: wrong shapes, draws or level.
    DataError: an infinite value.
  """
  a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
  if a.shape != b.shape:
    raise errors.UsageError(
      f'a and b must hold the same queries, got {a.shape} and {b.shape}.'
    )
  if np.isinf(a).any() or np.isinf(b).any():
    raise errors.DataError('a or b holds an infinite value.')
  return interval(a - b, subjects, draws=draws, level=level, seed=seed)


def ends(
  statistics: Callable[[np.ndarray], Mapping[str, np.ndarray]],
  subjects: np.ndarray,
  *,
  draws: int = 2000,
  level: float = 0.95,
  seed: int = 0,
) -> dict[str, tuple[float | None, float | None, int]]:
  """Percentile intervals of statistics that are no means.

  Args:
    statistics: float64[b, n], how often each of the n images was drawn, to
      name -> float64[b]; NaN where a resample has no such statistic.
    subjects: int or str [n], whose image each is.
    draws: resamples.
    level: share of the resamples inside an interval.
    seed: of the resamples.

  Returns:
    name -> (low, high, resamples that have the statistic). The ends are those
    of the resamples that have it; None when none has, or with fewer than two
    subjects, see `interval`.

  Raises:
    UsageError: wrong draws or level, or subjects that are not [n].
  """
  subjects = np.asarray(subjects)
  _check(np.zeros(len(subjects)), subjects, draws, level)
  _, code = np.unique(subjects, return_inverse=True)
  num = int(code.max()) + 1 if len(code) else 0
  if num < 2:
    return {
      name: (None, None, 0) for name in statistics(np.ones((1, len(code))))
    }
  blocks = [
    statistics(weight[:, code.reshape(-1)])
    for weight in _weights(num, draws, seed, max(num, len(code)))
  ]
  tail = 50.0 * (1.0 - level)
  found: dict[str, tuple[float | None, float | None, int]] = {}
  for name in blocks[0]:
    values = np.concatenate([block[name] for block in blocks])
    values = values[~np.isnan(values)]
    low = high = None
    if len(values):
      low, high = map(float, np.percentile(values, [tail, 100.0 - tail]))
    found[name] = (low, high, len(values))
  return found
