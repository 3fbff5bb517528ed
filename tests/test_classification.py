"""Classification metrics against scikit-learn, loops, and direct resampling."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.metrics import bootstrap, calibration, classification


def problem(rng, num=60, subjects=17):
  """Truths, probabilities with ties, and whose images they are."""
  positive = rng.random(num) < 0.35
  probability = np.clip(rng.normal(0.4 + 0.25 * positive, 0.25), 0.0, 1.0)
  probability[::3] = np.round(probability[::3], 1)
  return positive, probability, rng.integers(0, subjects, num)


def by_hand(positive, probability, threshold):
  """Metrics that need no library, one image after the other."""
  tp = fp = tn = fn = 0
  for truth, p in zip(positive.tolist(), probability.tolist(), strict=True):
    called = p >= threshold
    tp, fp = tp + (truth and called), fp + (not truth and called)
    fn, tn = fn + (truth and not called), tn + (not truth and not called)
  gaps = 0.0
  for number in range(15):
    last = number == 14
    inside = [
      (p, truth)
      for p, truth in zip(probability, positive, strict=True)
      if number <= 15 * p and (15 * p < number + 1 or last)
    ]
    if inside:
      mean = sum(p for p, _ in inside) / len(inside)
      share = sum(truth for _, truth in inside) / len(inside)
      gaps += len(inside) / len(positive) * abs(mean - share)
  precision, recall = tp / (tp + fp), tp / (tp + fn)
  return {
    'accuracy': (tp + tn) / len(positive),
    'balanced_accuracy': (recall + tn / (tn + fp)) / 2,
    'precision': precision,
    'recall': recall,
    'specificity': tn / (tn + fp),
    'f1': 2 * precision * recall / (precision + recall),
    'f2': 5 * precision * recall / (4 * precision + recall),
    'brier': float(
      np.mean(
        [(p - t) ** 2 for p, t in zip(probability, positive, strict=True)]
      )
    ),
    'ece': gaps,
    'confusion': (tn, fp, fn, tp),
  }


def test_values_equal_loops_by_hand_and_pairs(rng):
  positive, probability, subjects = problem(rng)
  got = classification.measure(
    positive, probability, subjects, threshold=0.5, draws=20
  )
  want = by_hand(positive, probability, 0.5)
  assert tuple(got['confusion'].values()) == want.pop('confusion')
  above = [
    (p > q) + 0.5 * (p == q)
    for p in probability[positive]
    for q in probability[~positive]
  ]
  want['auc'] = np.mean(above)
  want['pr_auc'] = sk_metrics.average_precision_score(positive, probability)
  assert set(want) == set(got['metrics']) == set(classification.DEFINITIONS)
  for name, value in want.items():
    assert got['metrics'][name]['value'] == pytest.approx(value, abs=1e-12)
  cells = got['metrics']
  assert cells['recall']['n_used'] == positive.sum()
  assert cells['specificity']['n_used'] == (~positive).sum()
  assert cells['precision']['n_used'] == (probability >= 0.5).sum()
  assert {cell['n_total'] for cell in cells.values()} == {60}


def resample(subjects, drawn):
  return np.concatenate([np.flatnonzero(subjects == one) for one in drawn])


def test_weights_equal_images_written_out_as_often(rng):
  positive, probability, subjects = problem(rng)
  called = probability >= 0.5
  drawn = rng.integers(0, 17, (40, 17))
  rows = [resample(subjects, one) for one in drawn]
  weight = np.stack([np.bincount(r, minlength=60) for r in rows]).astype(float)
  got = classification.weighted(positive, probability, called, weight)
  for number, r in enumerate(rows):
    want = by_hand(positive[r], probability[r], 0.5)
    want.pop('confusion')
    want['auc'] = sk_metrics.roc_auc_score(positive[r], probability[r])
    want['pr_auc'] = sk_metrics.average_precision_score(
      positive[r], probability[r]
    )
    for name, value in want.items():
      assert got[name][number] == pytest.approx(value, abs=1e-12), name


def test_intervals_equal_a_direct_loop_over_resamples(rng):
  positive, probability, subjects = problem(rng)
  got = classification.measure(
    positive, probability, subjects, threshold=0.5, draws=3000, seed=4
  )
  there = np.unique(subjects)
  areas, shares = [], []
  for _ in range(1500):
    rows = resample(subjects, rng.choice(there, len(there)))
    areas.append(sk_metrics.roc_auc_score(positive[rows], probability[rows]))
    shares.append(np.mean(probability[rows][positive[rows]] >= 0.5))
  for name, values in (('auc', areas), ('recall', shares)):
    low, high = np.percentile(values, [2.5, 97.5])
    spread = np.std(values)
    # Two sets of draws differ by their own sampling error.
    assert got['metrics'][name]['low'] == pytest.approx(low, abs=0.25 * spread)
    assert got['metrics'][name]['high'] == pytest.approx(
      high, abs=0.25 * spread
    )


def test_an_interval_of_a_mean_is_that_of_interval(rng):
  positive, probability, subjects = problem(rng)
  got = classification.measure(
    positive, probability, subjects, threshold=0.5, draws=300, seed=9
  )['metrics']['accuracy']
  right = (positive == (probability >= 0.5)).astype(float)
  want = bootstrap.interval(right, subjects, draws=300, seed=9)
  for name in ('value', 'low', 'high'):
    assert got[name] == pytest.approx(want[name], abs=1e-12)


@pytest.mark.parametrize(
  ('positive', 'probability', 'undefined'),
  [
    (
      [0, 0, 0],
      [0.1, 0.7, 0.2],
      {'balanced_accuracy', 'recall', 'auc', 'pr_auc'},
    ),
    (
      [1, 1, 1],
      [0.1, 0.7, 0.2],
      {'balanced_accuracy', 'specificity', 'auc', 'pr_auc'},
    ),
    ([1, 0, 1], [0.1, 0.2, 0.3], {'precision'}),
    (
      [0, 0, 0],
      [0.1, 0.2, 0.3],
      {
        'balanced_accuracy', 'recall', 'auc', 'pr_auc', 'precision', 'f1', 'f2',
      },
    ),
  ],
  ids=['no positive', 'no negative', 'none called', 'neither'],
)  # fmt: skip
def test_what_does_not_exist_is_named(positive, probability, undefined):
  got = classification.measure(
    np.array(positive), np.array(probability), np.arange(3), threshold=0.5,
    draws=50,
  )  # fmt: skip
  cells = got['metrics']
  assert {n for n, cell in cells.items() if 'undefined' in cell} == undefined
  for name in undefined:
    assert cells[name]['undefined'].startswith(('there is no', 'no image'))
    assert [cells[name][k] for k in ('value', 'low', 'high')] == [None] * 3
  # Strict JSON has no NaN.
  json.dumps(got, allow_nan=False)


def test_resamples_of_one_class_are_left_out_and_counted():
  # Of three subjects one is positive: (2/3)^3 of the draws have none.
  got = classification.measure(
    np.array([1, 0, 0]), np.array([0.9, 0.2, 0.3]), np.arange(3),
    threshold=0.5, draws=4000,
  )['metrics']  # fmt: skip
  # All three of them positive, too: 1/27.
  assert got['recall']['draws_used'] == pytest.approx(
    4000 * (1 - 8 / 27), rel=0.05
  )
  assert got['auc']['draws_used'] == pytest.approx(
    4000 * (1 - 9 / 27), rel=0.05
  )
  assert 'draws_used' not in got['accuracy']
  assert (got['auc']['low'], got['auc']['high']) == (1.0, 1.0)


def test_one_subject_has_no_interval():
  got = classification.measure(
    np.array([1, 0]), np.array([0.9, 0.2]), np.zeros(2), threshold=0.5
  )['metrics']['accuracy']
  assert got == {
    'value': 1.0, 'low': None, 'high': None, 'n_used': 2, 'n_total': 2,
  }  # fmt: skip


def test_bins_are_those_of_the_error(rng):
  positive, probability, _ = problem(rng)
  bins = calibration.bins(positive, probability)
  assert sum(one['count'] for one in bins) == 60
  error = sum(
    one['count'] / 60 * abs(one['probability'] - one['share']) for one in bins
  )
  assert error == pytest.approx(by_hand(positive, probability, 0.5)['ece'])


@pytest.mark.parametrize(
  ('positive', 'probability', 'error', 'words'),
  [
    ([0, 1], [0.2], errors.UsageError, r'\(2,\) and \(1,\)'),
    ([], [], errors.DataError, 'no image'),
    ([0, 2], [0.2, 0.3], errors.DataError, 'True and False'),
    ([0, 1], [0.2, 1.1], errors.DataError, 'Probability 1 of 2 is 1.1'),
    ([0, 1], [np.nan, 0.5], errors.DataError, 'Probability 0 of 2 is nan'),
  ],
  ids=['shapes', 'empty', 'truths', 'above one', 'nan'],
)
def test_bad_input_is_refused(positive, probability, error, words):
  with pytest.raises(error, match=words):
    classification.measure(
      np.array(positive, int),
      np.array(probability),
      np.zeros(len(positive)),
      threshold=0.5,
    )


def test_a_threshold_that_is_no_number_is_refused():
  with pytest.raises(errors.UsageError, match='finite'):
    classification.measure(
      np.array([0, 1]), np.array([0.1, 0.2]), np.arange(2), threshold=np.nan
    )
