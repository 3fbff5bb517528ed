"""Late fusion of a head on embeddings with one on what else is known."""

import numpy as np
import pytest
from scipy import optimize
from sklearn import metrics as sk_metrics

from mammojax import errors
from mammojax.apps import classify, fusion, probes


@pytest.fixture
def cohort(rng):
  """Embeddings learnt by heart, and a number that tells something of anyone."""
  num = 900
  positive = rng.random(num) < 0.4
  splits = np.repeat(['train', 'validation', 'test'], num // 3)
  embeddings = rng.normal(size=(num, 6)).astype(np.float32)
  embeddings += (np.where(splits == 'train', 2.0, 0.3) * positive)[:, None]
  known = (rng.normal(size=(num, 2)) + 1.5 * positive[:, None]).astype('f')
  return embeddings, known, positive, splits


def log_loss_of(weights, two, positive, weight):
  """Weighted log loss and the ridge, in float64."""
  logit = two @ weights[:2] + weights[2]
  signed = np.where(positive, logit, -logit)
  ridge = 0.5 * np.sum((weights[:2] * two.std(axis=0)) ** 2)
  return float(np.sum(weight * np.logaddexp(0.0, -signed)) + ridge)


@pytest.mark.parametrize('class_weight', probes.CLASS_WEIGHTS)
def test_two_logits_count_as_the_validation_images_say(cohort, class_weight):
  embeddings, known, positive, splits = cohort
  image = probes.fit('linear', embeddings, positive, splits)
  head = fusion.fit(
    image, embeddings, known, positive, splits, class_weight=class_weight
  )
  alone = probes.fit(
    'linear', known, positive, splits, class_weight=class_weight
  )
  two = np.stack(
    [probes.logits(image, embeddings), probes.logits(alone, known)], axis=1
  )
  here = splits == 'validation'
  share = positive[here].mean()
  weight = np.ones(here.sum())
  if class_weight == 'balanced':
    weight = np.where(positive[here], 0.5 / share, 0.5 / (1.0 - share))
  want = optimize.minimize(
    log_loss_of,
    np.zeros(3),
    args=(two[here], positive[here], weight),
    method='Nelder-Mead',
    options={'xatol': 1e-9, 'fatol': 1e-12, 'maxiter': 10000},
  ).x
  np.testing.assert_allclose(head.options['weights'], want, rtol=1e-4)
  got = probes.logits(head, np.concatenate([embeddings, known], axis=1))
  np.testing.assert_allclose(got, two @ want[:2] + want[2], atol=1e-3)


def test_what_is_known_counts_beside_a_network_that_overfits(cohort):
  embeddings, known, positive, splits = cohort
  subjects = np.array([f's{n}' for n in range(len(splits))])
  test = splits == 'test'

  def area(values, **options):
    found = classify.run(
      values, positive, subjects, splits, head='linear', draws=2, **options
    )
    return sk_metrics.roc_auc_score(positive[test], found.logits[test])

  together = area(np.concatenate([embeddings, known], axis=1))
  apart = area(embeddings, known=known)
  # Two shifts of 1.5 and six of 0.3 at spread 1: Phi(sqrt(5.04 / 2)) = 0.944.
  assert apart == pytest.approx(0.944, abs=0.03)
  assert apart > together + 0.05


@pytest.mark.parametrize('kind', ['knn', 'mlp', 'own'])
def test_any_head_takes_another_beside_it(cohort, kind):
  embeddings, known, positive, splits = cohort
  if kind == 'own':
    image, embeddings = probes.OWN, embeddings[:, :1]
  else:
    image = probes.fit(kind, embeddings, positive, splits, epochs=2)
  head = fusion.fit(image, embeddings, known, positive, splits)
  dim = embeddings.shape[1]
  assert (head.options['image'], head.options['dim']) == (kind, dim + 2)
  first, second, bias = head.options['weights']
  both = np.concatenate([embeddings, known], axis=1)
  zero = np.concatenate([embeddings, np.zeros_like(known)], axis=1)
  steps = probes.logits(head, both) - probes.logits(head, zero)
  slope = head.arrays['known/weight'] / head.arrays['known/spread']
  np.testing.assert_allclose(steps, second * (known @ slope), atol=1e-4)
  base = probes.logits(head, zero) - first * probes.logits(image, embeddings)
  at_zero = head.arrays['known/bias'] - head.arrays['known/mean'] @ slope
  np.testing.assert_allclose(base, second * at_zero[0] + bias, atol=1e-3)


def test_weights_are_finite_and_test_says_nothing(cohort):
  embeddings, known, positive, splits = cohort
  known = known.copy()
  known[splits == 'validation'] = 5.0 * positive[splits == 'validation', None]
  image = probes.fit('linear', embeddings, positive, splits)
  head = fusion.fit(image, embeddings, known, positive, splits)
  assert np.isfinite(head.options['weights']).all()
  changed = embeddings.copy(), known.copy()
  for values in changed:
    values[splits == 'test'] = 1e3
  again = fusion.fit(image, *changed, positive, splits)
  assert again.options == head.options
  with pytest.raises(errors.IntegrityError, match='test'):
    fusion.fit(image, embeddings, known, positive, splits, choose_on='test')
