"""Softmax losses against loops over pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_softmax as loops

from mammojax import errors, relations
from mammojax.losses import softmax

BATCHES = loops.batches()
# name -> (loss, loop, distance, options of both)
CASES = {
  'nt_xent': (softmax.nt_xent, loops.nt_xent, 'cosine', {}),
  'outside': (softmax.supcon, loops.supcon, 'cosine', {}),
  'inside': (
    softmax.supcon, loops.supcon, 'cosine', {'positives': 'inside'},
  ),
  'n_pair': (softmax.n_pair, loops.n_pair, 'inner', {}),
}  # fmt: skip
every_case = pytest.mark.parametrize('name', CASES)


def relation_of(batch, **rules):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields, **rules)


def masks_of(batch, **rules):
  fields = {k: batch[k] for k in ('label', 'item', 'valid')}
  return reference.masks(**fields, **rules)


@functools.cache
def jitted(name, distance):
  """(x, relation, traced numbers) -> ((loss, statistics), gradient)."""
  loss, _, _, options = CASES[name]

  def function(x, relation, numbers):
    return loss(
      x,
      relation,
      distance=distance,
      stats=True,
      block=4,
      **options,
      **numbers,
    )

  return jax.jit(jax.value_and_grad(function, has_aux=True))


def loop_value(name, x, masks, numbers, distance, reduction='mean'):
  _, loop, _, options = CASES[name]
  sim = loops.similarity(x, x, distance)
  return loops.reduced(loop(sim, *masks, **options, **numbers), reduction)


def check(name, batch, numbers, distance, slope=True):
  relation, masks = relation_of(batch), masks_of(batch)
  (value, stats), grad = jitted(name, distance)(batch['x'], relation, numbers)

  def want(x):
    return loop_value(name, x, masks, numbers, distance)

  np.testing.assert_allclose(value, want(batch['x']), rtol=3e-5, atol=1e-6)
  assert np.isfinite(grad).all()
  if slope:
    want_grad = reference.central_differences(want, batch['x'])
    scale = max(np.abs(want_grad).max(), 1e-3)
    np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-4 * scale)
  return stats


@every_case
def test_every_loss_equals_the_loop(name):
  _, loop, kind, options = CASES[name]
  numbers = {} if name == 'n_pair' else {'temperature': 0.1}
  for key, batch in BATCHES.items():
    slope = key in ('random', 'duplicated', 'padded')
    stats = check(name, batch, numbers, kind, slope)
    sim = loops.similarity(batch['x'], batch['x'], kind)
    values = loop(sim, *masks_of(batch), **options)
    assert stats.num_selected == len(values)
    # A value below the last bit of 1 may vanish in float32.
    assert stats.num_active <= sum(v > 0 for v in values)
    assert stats.num_active >= sum(v > 1e-6 for v in values)


@pytest.mark.parametrize(
  'name, distance',
  [('nt_xent', 'euclidean'), ('inside', 'manhattan'), ('n_pair', 'snr')],
)
def test_other_distances_score_minus_the_distance(name, distance):
  numbers = {} if name == 'n_pair' else {'temperature': 0.7}
  for key in ('random', 'padded'):
    check(name, BATCHES[key], numbers, distance)


def test_a_new_temperature_does_not_retrace_and_carries_no_gradient():
  traces = []

  def function(temperature, x, relation):
    traces.append(1)
    return softmax.nt_xent(x, relation, temperature=temperature)

  batch, found = BATCHES['unbalanced'], []
  relation, masks = relation_of(batch), masks_of(batch)
  loss = jax.jit(jax.value_and_grad(function))
  for temperature in (0.05, 0.5, 3.0):
    value, slope = loss(temperature, batch['x'], relation)
    numbers = {'temperature': temperature}
    want = loop_value('nt_xent', batch['x'], masks, numbers, 'cosine')
    np.testing.assert_allclose(value, want, rtol=3e-5)
    assert slope == 0
    found.append(float(value))
  assert len(traces) == 1 and len(set(found)) == 3


def test_eager_sum_with_defaults_equals_the_loop(strict_promotion):
  batch = BATCHES['padded']
  for name, (loss, _, kind, options) in CASES.items():
    value = loss(batch['x'], relation_of(batch), reduction='sum', **options)
    masks = masks_of(batch)
    want = loop_value(name, batch['x'], masks, {}, kind, reduction='sum')
    np.testing.assert_allclose(value, want, rtol=3e-5)


@pytest.mark.parametrize(
  'loss, want',
  [
    # Cosines: 0.8 within the pair, 0.6 and 0 to the only negative.
    (
      functools.partial(softmax.nt_xent, temperature=0.2),
      (np.log1p(np.exp((0.6 - 0.8) / 0.2)) + np.log1p(np.exp(-0.8 / 0.2))) / 2,
    ),
    # Inner products of rows twice as long: four times as much.
    (
      lambda x, label: softmax.n_pair(2 * x, label),
      (np.log1p(np.exp(2.4 - 3.2)) + np.log1p(np.exp(-3.2))) / 2,
    ),
  ],
  ids=['nt_xent', 'n_pair'],
)
def test_three_points_by_hand(loss, want):
  x = jnp.asarray([[1, 0], [0.8, 0.6], [0.6, -0.8]], jnp.float32)
  label = jnp.asarray([0, 0, 1], jnp.int32)
  np.testing.assert_allclose(loss(x, label), want, rtol=1e-5)


def test_two_views_of_each_image_give_simclr(rng):
  one, two = rng.normal(size=(2, 4, 3))
  rows = np.concatenate([one, two])
  unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  scores = unit @ unit.T / 0.5
  np.fill_diagonal(scores, -np.inf)
  partner = np.roll(np.arange(8), 4)
  # Cross-entropy of the partner among all other rows.
  want = np.mean(np.log(np.exp(scores).sum(1)) - scores[np.arange(8), partner])
  x = jnp.asarray(rows, jnp.float32)
  image = jnp.arange(8, dtype=jnp.int32) % 4
  for labels in (
    image,
    relations.Relation(image, item=image, same_item='positive'),
  ):
    got = softmax.nt_xent(x, labels, temperature=0.5)
    np.testing.assert_allclose(got, want, rtol=1e-5)
  # Views of one item are no pair under the rule that training images have.
  assert softmax.nt_xent(x, relations.Relation(image, item=image)) == 0


def test_with_one_positive_supcon_is_nt_xent(rng):
  x = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
  label = jnp.arange(8, dtype=jnp.int32) % 4
  want = softmax.nt_xent(x, label)
  for place in softmax.POSITIVES:
    got = softmax.supcon(x, label, positives=place)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_inside_is_at_most_outside():
  # Jensen: the log of a mean is at least the mean of the logs.
  batch = BATCHES['two_classes']
  (outside, _), (inside, _) = (
    jitted(name, 'cosine')(
      batch['x'], relation_of(batch), {'temperature': 0.1}
    )[0]
    for name in ('outside', 'inside')
  )
  assert inside < outside - 1e-3


@pytest.mark.parametrize('name', ['outside', 'n_pair'])
def test_an_explicit_gallery_equals_the_loop(name):
  loss, loop, kind, _ = CASES[name]
  one, other = BATCHES['random'], BATCHES['padded']
  rows = {k: v[:7].copy() for k, v in other.items()}
  rows['item'] += 1000
  rows['item'][:2], rows['label'][:2] = one['item'][:2], one['label'][:2]
  masks = reference.masks(
    one['label'], rows['label'], one['item'], rows['item'],
    one['valid'], rows['valid'],
  )  # fmt: skip

  def ours(x, y):
    return loss(x, relation_of(one), gallery=(y, relation_of(rows)))

  def want(x, y):
    return loops.reduced(loop(loops.similarity(x, y, kind), *masks))

  x, y = one['x'], rows['x']
  value, (by_x, by_y) = jax.jit(jax.value_and_grad(ours, (0, 1)))(x, y)
  assert value > 0.1
  np.testing.assert_allclose(value, want(x, y), rtol=3e-5)
  for got, other in (
    (by_x, reference.central_differences(lambda x: want(x, y), x)),
    (by_y, reference.central_differences(lambda y: want(x, y), y)),
  ):
    np.testing.assert_allclose(got, other, rtol=0, atol=1e-4 * abs(got).max())


@pytest.mark.parametrize(
  'name, distance',
  [
    ('nt_xent', 'euclidean'),
    ('outside', 'cosine'),
    ('inside', 'manhattan'),
    ('n_pair', 'inner'),
  ],
)
def test_extremes_of_float32_stay_finite(name, distance):
  batch = BATCHES['duplicated']
  function = functools.partial(
    jitted(name, distance),
    relation=relation_of(batch),
    numbers={} if name == 'n_pair' else {'temperature': 0.7},
  )
  ones = np.ones_like(batch['x'])
  for x in (1e-4 * batch['x'], 1e4 * batch['x'], ones, 0 * ones):
    (value, _), grad = function(x)
    assert np.isfinite(value) and value >= 0 and np.isfinite(grad).all()
  # All similarities are equal now, so the shares are known.
  (value, stats), _ = function(ones)
  positive, negative = (mask.sum(1) for mask in masks_of(batch))
  if name in ('outside', 'inside'):
    want = np.mean(np.log(positive + negative)[positive > 0])
  else:
    want = np.sum(positive * np.log1p(negative)) / positive.sum()
  np.testing.assert_allclose(value, want, rtol=1e-5)
  np.testing.assert_allclose(stats.mean_gap, 0.0, atol=1e-5)


def test_many_positives_need_no_cube():
  rows = 1024
  x = jax.ShapeDtypeStruct((rows, 16), jnp.float32)
  label = jax.ShapeDtypeStruct((rows,), jnp.int32)
  loss = functools.partial(softmax.nt_xent, block=16)
  program = jax.jit(jax.grad(loss)).lower(x, label).compile()
  assert program.memory_analysis().temp_size_in_bytes < 4 * rows * rows


@every_case
def test_wrong_options_are_refused(name):
  loss, batch = CASES[name][0], BATCHES['random']
  x, label = batch['x'], batch['label']
  with pytest.raises(errors.UsageError, match="'mean'"):
    loss(x, label, reduction='meen')
  if name == 'n_pair':
    with pytest.raises(errors.UsageError, match="'inner'"):
      loss(x, label, distance='iner')
    return
  with pytest.raises(errors.UsageError, match="'cosine'"):
    loss(x, label, distance='cosin')
  for temperature in (0.0, -1, float('nan')):
    with pytest.raises(ValueError, match='temperature'):
      loss(x, label, temperature=temperature)
  if name == 'inside':
    with pytest.raises(errors.UsageError, match="'outside'"):
      loss(x, label, positives='outsid')
