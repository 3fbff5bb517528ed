"""SCT and WAT against loops and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_classwise

from mammojax import errors, relations
from mammojax.losses import adaptive

BATCHES = reference.batches()
LOSSES = {
  'sct': (adaptive.sct, ('negative_weight', 'threshold', 'temperature')),
  'wat': (adaptive.wat, ('k',)),
}
NUMBERS = {'sct': (1.0, 0.8, 0.1), 'wat': (2.0,)}
every_loss = pytest.mark.parametrize('name', LOSSES)


def relation_of(batch):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def masks_of(batch):
  return reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )


def assert_close(got, want, tolerance=3e-5):
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def _function(name, **fixed):
  loss_fn, names = LOSSES[name]

  def function(x, relation, numbers):
    options = dict(zip(names, numbers, strict=True), **fixed)
    return loss_fn(x, relation, stats=True, **options)

  return jax.value_and_grad(function, has_aux=True)


@functools.cache
def jitted(name):
  return jax.jit(_function(name))


def _want(name, dist, masks, numbers, reduction='mean'):
  got = getattr(reference_classwise, name)(dist, *masks, *numbers, reduction)
  return got[:2]


def _check(function, name, batch, numbers, reduction='mean'):
  (value, stats), grad = function(batch['x'], relation_of(batch), numbers)
  dist, masks = reference.distances(batch['x'], batch['x']), masks_of(batch)
  want, weights = _want(name, dist, masks, numbers, reduction)
  np.testing.assert_allclose(value, want, rtol=3e-5, atol=1e-6)
  assert_close(grad, reference.gradient(batch['x'], weights))
  gap = reference.margin_means(dist, *masks)['gap']
  np.testing.assert_allclose(stats.mean_gap, gap or 0.0, atol=3e-6)
  return stats


@pytest.mark.parametrize(
  'numbers', [(1.0, 0.8, 0.1), (0.3, 0.2, 1.0), (2.0, 1.0, 0.05)]
)
def test_sct_equals_the_loop(numbers):
  for batch in BATCHES.values():
    stats = _check(jitted('sct'), 'sct', batch, numbers)
    positive, negative = masks_of(batch)
    both = positive.any(1) & negative.any(1)
    assert stats.num_selected == both.sum()


@pytest.mark.parametrize('k', [0.0, 1.0, 2.0, 3.5])
def test_wat_equals_the_triple_loop(k):
  for batch in BATCHES.values():
    stats = _check(jitted('wat'), 'wat', batch, (k,))
    dist = reference.distances(batch['x'], batch['x'])
    kept = reference_classwise.wat(dist, *masks_of(batch), k)[2]
    assert stats.num_selected == kept == stats.num_active


def test_the_smallest_k_keeps_some_triplets_only():
  batch = BATCHES['random']
  (_, stats), _ = jitted('wat')(batch['x'], relation_of(batch), (0.0,))
  assert 0 < stats.num_selected < stats.num_triplets


@every_loss
def test_eager_sums_in_small_blocks_equal_the_loop(name):
  function = _function(name, reduction='sum', block=7)
  _check(function, name, BATCHES['padded'], NUMBERS[name], 'sum')


def _three(sim_ap, sim_an):
  """Anchor and positive in a plane, the negative out of it; 3 of 20 rows."""
  x = np.zeros((20, 6), np.float32)
  x[0, 0] = 1
  x[1, :2] = [sim_ap, np.sqrt(1 - sim_ap**2)]
  x[2, 0], x[2, 2] = sim_an, np.sqrt(1 - sim_an**2)
  return {
    'x': x,
    'label': np.array([5, 5, 6] + [0] * 17, np.int32),
    'item': np.arange(20, dtype=np.int32),
    'valid': np.arange(20) < 3,
  }


@pytest.mark.parametrize(
  'sim_ap, sim_an, hard',
  [
    (0.9, 0.6, (False, False)),
    (0.5, 0.7, (True, False)),
    # Row 1 sees the negative at 0.95 * 0.85, above the threshold as well.
    (0.95, 0.85, (True, True)),
  ],
  ids=['easy', 'wrong order', 'above the threshold'],
)
def test_sct_by_hand(sim_ap, sim_an, hard):
  batch = _three(sim_ap, sim_an)
  (value, stats), _ = jitted('sct')(
    batch['x'], relation_of(batch), (2.0, 0.8, 0.1)
  )
  want = []
  for near, is_hard in zip((sim_an, sim_ap * sim_an), hard, strict=True):
    easy = np.log1p(np.exp((near - sim_ap) / 0.1))
    want.append(2.0 * near if is_hard else easy)
  np.testing.assert_allclose(value, np.mean(want), rtol=1e-5)
  assert stats.num_selected == 2


def test_wat_by_hand():
  # Gaps of 1.7 (beyond 1.5, so dropped) and 0.9 + 0.72 = 1.62 (likewise);
  # then 0.3 and 0.36 with margins 1 - gap + 2.
  for sim_an, want in ((-0.8, 0.0), (0.6, (3 - 0.6 + 3 - 0.72) / 2)):
    batch = _three(0.9, sim_an)
    (value, _), grad = jitted('wat')(batch['x'], relation_of(batch), (2.0,))
    np.testing.assert_allclose(value, want, rtol=1e-5)
    assert np.asarray(grad).any() == (want > 0)


@every_loss
def test_an_explicit_gallery_equals_the_loop(name):
  one, other = BATCHES['random'], BATCHES['padded']
  x, y = one['x'], other['x'][:13]
  rows = {k: v[:13].copy() for k, v in other.items()}
  rows['item'] += 1000
  rows['item'][:3], rows['label'][:3] = one['item'][:3], one['label'][:3]
  masks = reference.masks(
    one['label'], rows['label'], one['item'], rows['item'],
    one['valid'], rows['valid'],
  )  # fmt: skip
  value, weights = _want(name, reference.distances(x, y), masks, NUMBERS[name])
  got, grads = jax.value_and_grad(
    lambda x, y: LOSSES[name][0](
      x, relation_of(one), gallery=(y, relation_of(rows))
    ),
    (0, 1),
  )(x, y)
  np.testing.assert_allclose(got, value, rtol=2e-5)
  for grad, want in zip(grads, reference.pull_back(x, y, weights), strict=True):
    assert_close(grad, want)


@every_loss
def test_padding_is_never_read_and_permutation_changes_nothing(name):
  batch, empty = BATCHES['padded'], ~BATCHES['padded']['valid']
  run = functools.partial(jitted(name), numbers=NUMBERS[name])
  (want, _), grad = run(batch['x'], relation_of(batch))
  other = {field: batch[field].copy() for field in batch}
  other['x'][empty] = 1e3 * other['x'][empty] ** 2
  other['label'][empty] = batch['label'][0]
  (value, _), again = run(other['x'], relation_of(other))
  assert value == want and value > 0
  np.testing.assert_array_equal(again, grad)
  assert not np.asarray(grad)[empty].any()
  order = np.random.default_rng(5).permutation(20)
  moved = {field: batch[field][order] for field in batch}
  (value, _), again = run(moved['x'], relation_of(moved))
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert_close(again, np.asarray(grad)[order], 1e-5)


@every_loss
def test_an_empty_selection_is_zero_with_zero_gradient(name):
  padding = dict(BATCHES['random'], valid=np.zeros(20, bool))
  for batch in (BATCHES['one_class'], BATCHES['all_distinct'], padding):
    (value, stats), grad = jitted(name)(
      batch['x'], relation_of(batch), NUMBERS[name]
    )
    assert value == 0 and not np.asarray(grad).any()
    assert stats.num_selected == 0


@every_loss
def test_duplicates_zeros_and_extremes_give_finite_gradients(name):
  batch = dict(BATCHES['random'], x=BATCHES['random']['x'].copy())
  batch['x'][[2, 3, 4]] = 0.0
  batch['x'][10:14] = batch['x'][9]
  batch['x'][15:] *= 1e4
  batch['x'][5:8] *= 1e-4
  for numbers in (
    NUMBERS[name],
    {'sct': (1.0, 0.8, 1e-6), 'wat': (3.99,)}[name],
  ):
    (value, _), grad = jitted(name)(batch['x'], relation_of(batch), numbers)
    assert np.isfinite(value) and np.isfinite(grad).all()


@every_loss
def test_a_collapsed_batch_costs_what_the_formula_says(name):
  # Entries of 1/2: lengths and products are exact, so every gap is exactly 0.
  x = np.zeros((20, 6), np.float32)
  x[:, :4] = 0.5
  batch = dict(BATCHES['random'], x=x)
  (value, _), grad = jitted(name)(x, relation_of(batch), NUMBERS[name])
  np.testing.assert_allclose(value, {'sct': 1.0, 'wat': 3.0}[name], rtol=1e-6)
  np.testing.assert_allclose(grad, 0.0, atol=1e-6)


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  batch = BATCHES['padded']
  loss, _ = jax.eval_shape(
    lambda x: LOSSES[name][0](x, relation_of(batch), stats=True), batch['x']
  )
  assert loss.shape == () and loss.dtype == jnp.float32


def test_wrong_options_are_refused():
  x, label = BATCHES['random']['x'], BATCHES['random']['label']
  for loss in (adaptive.sct, adaptive.wat):
    with pytest.raises(errors.UsageError, match="'mean'"):
      loss(x, label, reduction='meen')
    with pytest.raises(ValueError, match='item'):
      loss(x, label, gallery=(x, relations.Relation(jnp.asarray(label))))
  for k in (4, 4.0, -0.1, float('nan')):
    with pytest.raises(ValueError, match='k must be'):
      adaptive.wat(x, label, k=k)
  for options in ({'temperature': 0.0}, {'negative_weight': -1.0}):
    with pytest.raises(ValueError, match=next(iter(options))):
      adaptive.sct(x, label, **options)
