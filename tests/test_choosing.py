"""Thresholds and temperatures that validation scores choose."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.metrics import choosing


def problem(rng, num=70):
  positive = rng.random(num) < 0.4
  probability = np.clip(rng.normal(0.4 + 0.2 * positive, 0.2), 0.01, 0.99)
  return positive, np.round(probability, 2)


def counts(positive, probability, threshold):
  called = probability >= threshold
  pairs = list(zip(positive.tolist(), called.tolist(), strict=True))
  return tuple(
    pairs.count(kind)
    for kind in ((True, True), (False, True), (True, False), (False, False))
  )


def worth(rule, positive, probability, threshold):
  tp, fp, fn, tn = counts(positive, probability, threshold)
  if rule == 'youden':
    return tp / (tp + fn) + tn / (tn + fp) - 1.0
  beta = {'f1': 1, 'f2': 4}[rule]
  return (1 + beta) * tp / ((1 + beta) * tp + beta * fn + fp)


@pytest.mark.parametrize('rule', ['f1', 'f2', 'youden'])
def test_no_threshold_is_better_and_no_higher_one_as_good(rng, rule):
  positive, probability = problem(rng)
  got = choosing.threshold(positive, probability, split='validation', by=rule)
  best = worth(rule, positive, probability, got)
  for other in np.linspace(0.0, probability.max(), 1500):
    value = worth(rule, positive, probability, other)
    assert value <= best + 1e-12
    if abs(value - best) < 1e-12:
      called = (probability >= other).sum()
      assert called >= (probability >= got).sum()


@pytest.mark.parametrize('wanted', [0.05, 0.5, 0.8, 0.9, 1.0])
def test_the_highest_threshold_of_a_wanted_sensitivity(rng, wanted):
  positive, probability = problem(rng)
  got = choosing.threshold(
    positive, probability, split='validation', by='sensitivity',
    sensitivity=wanted,
  )  # fmt: skip
  tp, _, fn, _ = counts(positive, probability, got)
  assert tp / (tp + fn) >= wanted - 1e-12
  higher = probability[probability >= got].min() + 1e-9
  tp, _, fn, _ = counts(positive, probability, higher)
  assert tp / (tp + fn) < wanted


def test_a_threshold_lies_between_two_probabilities():
  positive = np.array([0, 0, 1, 1])
  probability = np.array([0.1, 0.2, 0.6, 0.9])
  for rule in ('f1', 'f2', 'youden'):
    got = choosing.threshold(positive, probability, split='validation', by=rule)
    assert got == pytest.approx(0.4)
  near = np.nextafter(0.5, 1.0)
  got = choosing.threshold(
    np.array([0, 1]), np.array([0.5, near]), split='validation', by='f1'
  )
  assert 0.5 < got <= near


def choose_threshold(positive, scores, split):
  choosing.threshold(positive, scores, split=split, by='f1')


def choose_temperature(positive, scores, split):
  choosing.temperature(positive, scores, split=split)


CHOOSE = pytest.mark.parametrize(
  'choose',
  [choose_threshold, choose_temperature],
  ids=['threshold', 'temperature'],
)


@CHOOSE
def test_the_test_split_chooses_nothing(rng, choose):
  with pytest.raises(errors.IntegrityError, match='test split may not choose'):
    choose(*problem(rng), 'test')
  with pytest.raises(errors.UsageError, match='Did you mean'):
    choose(*problem(rng), 'validaton')


@CHOOSE
@pytest.mark.parametrize('truth', [0, 1])
def test_one_class_chooses_nothing(choose, truth):
  with pytest.raises(errors.DataError, match=f'{3 * truth} are positive'):
    choose(np.full(3, truth), np.array([0.1, 0.2, 0.3]), 'validation')


@pytest.mark.parametrize(
  ('by', 'sensitivity'),
  [('f1', 0.9), ('sensitivity', None), ('sensitivity', 0.0),
   ('sensitivity', 1.5), ('sensitivity', np.nan)],
)  # fmt: skip
def test_sensitivity_goes_with_its_rule(rng, by, sensitivity):
  with pytest.raises(errors.UsageError, match='sensitivity, above 0'):
    choosing.threshold(
      *problem(rng), split='validation', by=by, sensitivity=sensitivity
    )
  with pytest.raises(errors.UsageError, match='youden'):
    choosing.threshold(*problem(rng), split='validation', by='yuden')


@pytest.mark.parametrize('scale', [0.25, 1.0, 3.0])
def test_a_known_scaling_of_logits_is_recovered(rng, scale):
  true = rng.normal(0.0, 2.0, 20_000)
  positive = rng.random(20_000) < 1.0 / (1.0 + np.exp(-true))
  found = choosing.temperature(positive, scale * true, split='validation')
  assert found.value == pytest.approx(scale, rel=0.05)
  assert found.log_loss_after <= found.log_loss_before
  assert not found.at_bound
  if scale == 3.0:
    assert found.ece_after < 0.02 < found.ece_before
  # No other temperature is better: the loss by its definition.
  p = choosing.probability(scale * true, found.value)
  loss = -np.mean(np.where(positive, np.log(p), np.log1p(-p)))
  assert found.log_loss_after == pytest.approx(loss, rel=1e-9)
  for other in (0.98, 1.02):
    p = choosing.probability(scale * true, found.value * other)
    assert loss < -np.mean(np.where(positive, np.log(p), np.log1p(-p)))


@pytest.mark.parametrize('sign', [1.0, -1.0], ids=['separable', 'reversed'])
def test_a_temperature_beyond_the_range_is_said(sign):
  logits = np.array([-2.0, -1.0, 1.0, 2.0])
  found = choosing.temperature(
    np.array([0, 0, 1, 1]), sign * logits, split='validation'
  )
  assert found.at_bound
  assert np.isfinite(found.log_loss_after)


def test_logits_that_are_not_finite_are_refused():
  with pytest.raises(errors.DataError, match='Logit 1 of 2'):
    choosing.temperature(
      np.array([0, 1]), np.array([0.0, np.inf]), split='validation'
    )
