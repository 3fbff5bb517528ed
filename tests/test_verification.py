"""Verification against plain loops, scikit-learn and arithmetic."""

import numpy as np
import pytest
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.metrics import verification


def made_up(rng, num=600, gap=1.0, digits=1):
  """Pairs whose distances overlap and, rounded, tie."""
  same = rng.random(num) < 0.4
  distance = np.abs(rng.normal(2.0 - gap * same, 0.7))
  return same, np.round(distance, digits)


def rates(same, distance):
  """(cut, false-match rate, true-match rate) at every cut, by a loop."""
  found = [(-1.0, 0.0, 0.0)]
  for cut in sorted(set(distance.tolist())):
    called = distance <= cut
    found.append((cut, called[~same].mean(), called[same].mean()))
  return found


@pytest.mark.parametrize('digits', [1, 8], ids=['ties', 'no ties'])
def test_numbers_are_those_of_a_loop(rng, digits):
  same, distance = made_up(rng, 2000, digits=digits)
  cut = 1.37
  found = verification.measure(
    same, distance, np.arange(len(same)), threshold=cut, draws=20
  )
  cells = {name: cell['value'] for name, cell in found['metrics'].items()}
  curve = rates(same, distance)
  assert cells['auc'] == pytest.approx(
    np.mean(
      [
        (distance[~same] > d).mean() + (distance[~same] == d).mean() / 2
        for d in distance[same]
      ]
    )
  )
  low = [one for one in curve if one[1] < 1 - one[2]][-1]
  high = next(one for one in curve if one[1] >= 1 - one[2])
  # The two straight lines between the bracketing cuts cross here.
  part = (1 - low[2] - low[1]) / (high[1] - low[1] + high[2] - low[2])
  assert cells['eer'] == pytest.approx(low[1] + part * (high[1] - low[1]))
  assert cells['tar@far=0.01'] == max(t for _, f, t in curve if f <= 0.01)
  assert cells['tar@far=0.001'] is None
  assert '10000 are needed' in found['metrics']['tar@far=0.001']['undefined']
  called = [d <= cut for d in distance]
  assert cells['accuracy'] == np.mean(called == same)
  assert cells['false_match'] == np.mean(np.array(called)[~same])
  assert cells['false_non_match'] == 1 - np.mean(np.array(called)[same])
  near, far = distance[same], distance[~same]
  for name, kind in (('same', near), ('different', far)):
    assert found[name]['pairs'] == len(kind)
    assert found[name]['mean'] == kind.mean()
    assert found[name]['standard_deviation'] == kind.std()
  spread = np.sqrt((near.var() + far.var()) / 2)
  assert cells['d_prime'] == pytest.approx((far.mean() - near.mean()) / spread)


def test_weights_are_pairs_written_out_as_often(rng):
  same, distance = made_up(rng, 80)
  times = rng.integers(0, 4, (3, 80))
  called = distance <= 1.2
  got = verification.weighted(same, distance, called, times.astype(float))
  for row, count in enumerate(times):
    each = np.repeat(np.arange(80), count)
    false, true, _ = sk_metrics.roc_curve(
      same[each], -distance[each], drop_intermediate=False
    )
    assert got['auc'][row] == pytest.approx(sk_metrics.auc(false, true))
    assert got['tar@far=0.01'][row] == true[false <= 0.01].max()
    again = verification.weighted(
      same[each], distance[each], called[each], np.ones((1, len(each)))
    )
    for name, values in again.items():
      assert got[name][row] == pytest.approx(values[0]), name


def test_intervals_resample_clusters(rng):
  same, distance = made_up(rng, 200)
  alone = verification.measure(
    same, distance, np.arange(200), threshold=1.2, draws=400
  )['metrics']['accuracy']
  # Every pair four times over: no more is known than before.
  four = verification.measure(
    np.tile(same, 4), np.tile(distance, 4), np.tile(np.arange(200), 4),
    threshold=1.2, draws=400,
  )['metrics']['accuracy']  # fmt: skip
  assert four['value'] == alone['value']
  assert (four['low'], four['high']) == (alone['low'], alone['high'])
  assert alone['low'] < alone['value'] < alone['high']


def test_the_threshold_is_the_best_of_validation(rng):
  same, distance = made_up(rng)
  cut = verification.threshold(same, distance, split='validation')
  gains = {one: true - false for one, false, true in rates(same, distance)}
  best = max(gains.values())
  called = distance <= cut
  assert called[same].mean() - called[~same].mean() == pytest.approx(best)
  with pytest.raises(errors.IntegrityError, match='test split may not choose'):
    verification.threshold(same, distance, split='test')


def test_a_collapsed_embedding_is_chance():
  same = np.arange(40) % 2 == 0
  found = verification.measure(
    same, np.zeros(40), np.arange(40), threshold=0.0, draws=10
  )['metrics']
  assert found['auc']['value'] == found['eer']['value'] == 0.5
  assert found['d_prime']['value'] is None
  assert 'do not vary' in found['d_prime']['undefined']


def test_the_curve_ends_in_both_corners(rng):
  curve = verification.curve(*made_up(rng))
  false, true = curve['false_match_rate'], curve['true_match_rate']
  assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
  assert (np.diff(false) >= 0).all() and (np.diff(true) >= 0).all()


@pytest.mark.parametrize(
  ('same', 'distance', 'words'),
  [
    ([True, False], [0.0], r'both be \[n\]'),
    ([True, True], [0.0, 1.0], 'pairs of the same and of two'),
    ([True, False], [0.0, np.nan], 'not finite'),
    ([True, False], [0.0, -1.0], 'negative'),
  ],
  ids=['shapes', 'one kind', 'nan', 'negative'],
)
def test_what_is_no_set_of_pairs_is_refused(same, distance, words):
  with pytest.raises(errors.MammojaxError, match=words):
    verification.curve(np.array(same), np.array(distance))
