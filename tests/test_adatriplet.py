"""AdaTriplet in both forms against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import errors, losses, relations

BATCHES = reference.batches()
WANT = {
  'paper': reference.adatriplet_paper,
  'code': reference.adatriplet_code,
}


def _relation(batch):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def _masks(batch):
  return reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )


def _assert_close(got, want, tolerance=2e-5):
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def _function(form, selection=None, reduction='mean'):
  def function(x, relation, margin, beta, weight):
    return losses.adatriplet(
      x,
      relation,
      margin=margin,
      beta=beta,
      negative_weight=weight,
      form=form,
      selection=selection,
      reduction=reduction,
      stats=True,
    )

  return jax.value_and_grad(function, has_aux=True)


@functools.cache
def _jitted(*options):
  return jax.jit(_function(*options))


def _check(function, form, batch, numbers, **options):
  (value, _), grad = function(batch['x'], _relation(batch), *numbers)
  dist = reference.distances(batch['x'], batch['x'])
  want, weights = WANT[form](dist, *_masks(batch), *numbers, **options)
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  _assert_close(grad, reference.gradient(batch['x'], weights))


@pytest.mark.parametrize(
  'numbers',
  [(0.25, 0.1, 1.0), (1.0, 1.0, 1.0), (0.5, 0.0, 0.5), (0.0, 0.3, 2.0)],
  ids=['figure 1', 'start', 'half', 'no margin'],
)
@pytest.mark.parametrize('form', ['paper', 'code'])
def test_default_selections_equal_the_loop(form, numbers):
  for batch in BATCHES.values():
    _check(_jitted(form), form, batch, numbers)


@pytest.mark.parametrize(
  'form, selection',
  [('paper', 'semihard_region'), ('paper', 'hard_region'), ('code', 'all')],
)
def test_other_selections_equal_the_loop(form, selection):
  for key in ('random', 'padded', 'singletons'):
    _check(
      _jitted(form, selection),
      form,
      BATCHES[key],
      (0.25, 0.1, 1.5),
      selection=selection,
    )


@pytest.mark.slow
def test_the_sum_of_the_paper_form_is_not_divided():
  _check(
    _jitted('paper', None, 'sum'),
    'paper',
    BATCHES['unbalanced'],
    (0.25, 0.1, 1.5),
    reduction='sum',
  )


@pytest.mark.slow
def test_eager_equals_the_loop():
  _check(_function('code'), 'code', BATCHES['padded'], (0.25, 0.1, 1.0))


def _three(sim_ap, sim_an):
  """Anchor and positive in a plane, the negative out of it; 3 of 20 rows."""
  x = np.zeros((20, 6), np.float32)
  x[:3] = BATCHES['random']['x'][:3]
  x[0] = [1, 0, 0, 0, 0, 0]
  x[1] = [sim_ap, np.sqrt(1 - sim_ap**2), 0, 0, 0, 0]
  x[2] = [sim_an, 0, np.sqrt(1 - sim_an**2), 0, 0, 0]
  return {
    'x': x,
    'label': np.array([5, 5, 6] + [0] * 17, np.int32),
    'item': np.arange(20, dtype=np.int32),
    'valid': np.arange(20) < 3,
  }


def test_one_batch_of_three_by_hand():
  # Triplets (0, 1, 2): phi 0.9, 0.6; (1, 0, 2): phi 0.9, 0.54.
  batch = _three(0.9, 0.6)
  numbers = (0.5, 0.2, 2.0)
  (paper, stats), _ = _jitted('paper')(batch['x'], _relation(batch), *numbers)
  first = (0.6 - 0.9 + 0.5) + 2.0 * (0.6 - 0.2)
  second = (0.54 - 0.9 + 0.5) + 2.0 * (0.54 - 0.2)
  np.testing.assert_allclose(paper, (first + second) / 2, rtol=1e-5)
  np.testing.assert_allclose(stats.mean_gap, (0.3 + 0.36) / 2, rtol=1e-5)
  np.testing.assert_allclose(stats.mean_an, (0.6 + 0.54) / 2, rtol=1e-5)
  (code, _), _ = _jitted('code')(batch['x'], _relation(batch), *numbers)
  pairs = 2.0 * ((0.6 - 0.2) + (0.54 - 0.2)) / 2
  np.testing.assert_allclose(code, (0.2 + 0.14) / 2 + pairs, rtol=1e-5)


def test_a_pair_counts_once_though_both_ends_are_anchors():
  # Row 4 is alone in its label: only one end of its pairs is an anchor.
  batch = _three(0.9, 0.6)
  batch['x'][:5] = BATCHES['random']['x'][:5]
  batch['label'][:5] = [1, 1, 2, 2, 3]
  batch['valid'] = np.arange(20) < 5
  pairs = reference.negative_pairs(*_masks(batch))
  assert len(pairs) == 4 + 2 + 2
  dist = reference.distances(batch['x'], batch['x'])
  want = np.mean([1.0 - dist[pair] + 1.0 for pair in pairs])
  # A margin of 0 silences the triplets, beta = -1 keeps every pair.
  (value, stats), _ = _jitted('code')(
    batch['x'], _relation(batch), 0.0, -1.0, 1.0
  )
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert stats.num_negative_pairs == len(pairs)


def test_statistics_of_both_forms_equal_the_loop():
  for form in WANT:
    for batch in BATCHES.values():
      (_, stats), _ = _jitted(form)(
        batch['x'], _relation(batch), 0.25, 0.1, 1.0
      )
      dist = reference.distances(batch['x'], batch['x'])
      want = reference.margin_means(dist, *_masks(batch))
      assert stats.num_triplets == want['num_triplets']
      np.testing.assert_allclose(stats.num_negative_pairs, want['num_pairs'])
      for name, key in (
        ('mean_gap', 'gap'),
        ('mean_an', 'an'),
        ('mean_an_pairs', 'an_pairs'),
      ):
        got = getattr(stats, name)
        np.testing.assert_allclose(got, want[key] or 0.0, atol=3e-6)


def test_without_the_negative_term_it_is_the_triplet_loss():
  batch = BATCHES['unbalanced']
  (value, _), _ = _jitted('paper')(batch['x'], _relation(batch), 0.3, 0.1, 0.0)
  dist = reference.distances(batch['x'], batch['x'])
  want = reference.batch_all_triplet(dist, *_masks(batch), 0.3)[0]
  np.testing.assert_allclose(value, want, rtol=2e-5)


def test_wrong_options_are_refused():
  x, label = BATCHES['random']['x'], BATCHES['random']['label']
  loss = functools.partial(losses.adatriplet, x, label)
  with pytest.raises(errors.UsageError, match="'paper'"):
    loss(margin=0.2, beta=0.1, form='papr')
  with pytest.raises(errors.UsageError, match="'hard_region'"):
    loss(margin=0.2, beta=0.1, selection='hard_regoin')
  with pytest.raises(ValueError, match='negative_weight'):
    loss(margin=0.2, beta=0.1, negative_weight=-1.0)
