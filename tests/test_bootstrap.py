"""Intervals over subjects: arithmetic, coverage, and what they refuse."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.metrics import bootstrap


def clustered(rng, subjects, per_subject):
  """Queries of one subject share most of their variance; the mean is 0."""
  shared = rng.normal(size=subjects)
  own = rng.normal(size=(subjects, per_subject))
  ids = np.repeat(np.arange(subjects), per_subject)
  return (1.5 * shared[:, None] + own).reshape(-1), ids


def test_interval_resamples_subjects_with_all_their_queries():
  # Two subjects: a draw holds A twice, both, or B twice, with 1/4, 1/2, 1/4.
  values = np.array([0.0, 1.0, 1.0, 1.0, np.nan])
  subjects = np.array(['a', 'b', 'b', 'b', 'b'])
  got = bootstrap.interval(values, subjects, level=0.4, draws=4000)
  assert got['value'] == 0.75
  assert (got['low'], got['high']) == (0.75, 0.75)
  wide = bootstrap.interval(values, subjects, level=0.9, draws=4000)
  assert (wide['low'], wide['high']) == (0.0, 1.0)
  assert (wide['n_used'], wide['n_total']) == (4, 5)


def test_interval_equals_a_loop_over_resamples(rng):
  values, subjects = clustered(rng, 40, 3)
  values[::7] = np.nan
  got = bootstrap.interval(values, subjects, draws=4000, seed=3)
  means = []
  for _ in range(4000):
    drawn = rng.integers(0, 40, 40)
    means.append(
      np.nanmean(np.concatenate([values[subjects == s] for s in drawn]))
    )
  low, high = np.percentile(means, [2.5, 97.5])
  # Two sets of 4,000 draws differ by their own sampling error.
  spread = np.std(means)
  assert got['low'] == pytest.approx(low, abs=0.15 * spread)
  assert got['high'] == pytest.approx(high, abs=0.15 * spread)


def test_interval_covers_what_it_claims_and_images_do_not(rng):
  runs = 800
  inside = np.zeros(2)
  for run in range(runs):
    values, subjects = clustered(rng, 120, 4)
    for row, ids in enumerate((subjects, np.arange(len(values)))):
      got = bootstrap.interval(values, ids, draws=300, seed=run)
      inside[row] += got['low'] <= 0.0 <= got['high']
  by_subject, by_image = inside / runs
  # Standard error of a share near 0.95 of 800 runs is 0.8 points.
  assert 0.92 <= by_subject <= 0.97
  assert by_image < 0.85


def test_paired_difference_is_narrower_than_two_intervals(rng):
  hard, subjects = clustered(rng, 100, 4)
  a = hard + 0.1 * rng.normal(size=400) + 0.1
  b = hard + 0.1 * rng.normal(size=400)
  a[3], b[9] = np.nan, np.nan
  got = bootstrap.paired_difference(a, b, subjects)
  keep = np.setdiff1d(np.arange(400), [3, 9])
  assert got['value'] == pytest.approx(np.mean(a[keep] - b[keep]))
  assert got['n_used'] == 398
  assert 0.0 < got['low'] < got['high']
  alone = bootstrap.interval(a, subjects)
  assert alone['high'] - alone['low'] > 5 * (got['high'] - got['low'])


def test_interval_is_equal_for_equal_seeds_only(rng):
  values, subjects = clustered(rng, 2500, 4)
  first = bootstrap.interval(values, subjects, seed=5)
  assert first == bootstrap.interval(values, subjects, seed=5)
  assert first != bootstrap.interval(values, subjects, seed=6)


def test_one_subject_has_no_interval():
  got = bootstrap.interval(np.array([0.2, 0.4]), np.array(['w1', 'w1']))
  assert got['value'] == pytest.approx(0.3)
  assert got['low'] is None and got['high'] is None


def test_subjects_without_a_usable_query_do_not_count():
  values = np.array([np.nan, 0.5, np.nan])
  got = bootstrap.interval(values, np.array([1, 2, 3]))
  assert got == {
    'value': 0.5,
    'low': None,
    'high': None,
    'n_used': 1,
    'n_total': 3,
  }
  none = bootstrap.interval(np.full(3, np.nan), np.array([1, 2, 3]))
  assert none['value'] is None and none['n_used'] == 0


@pytest.mark.parametrize(
  ('values', 'subjects', 'settings', 'error'),
  [
    (np.zeros(3), np.zeros(2), {}, errors.UsageError),
    (np.zeros((3, 1)), np.zeros((3, 1)), {}, errors.UsageError),
    (np.zeros(3), np.zeros(3), {'draws': 0}, errors.UsageError),
    (np.zeros(3), np.zeros(3), {'level': 1.0}, errors.UsageError),
    (np.array([np.inf]), np.zeros(1), {}, errors.DataError),
  ],
)
def test_bad_arguments_are_refused(values, subjects, settings, error):
  with pytest.raises(error):
    bootstrap.interval(values, subjects, **settings)


def test_paired_difference_refuses_other_queries_and_infinity():
  with pytest.raises(errors.UsageError, match='same queries'):
    bootstrap.paired_difference(np.zeros(3), np.zeros(2), np.zeros(3))
  endless = np.array([np.inf, 1.0])
  with pytest.raises(errors.DataError, match='infinite'):
    bootstrap.paired_difference(endless, endless, np.zeros(2))
