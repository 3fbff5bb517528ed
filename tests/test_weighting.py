"""Pair-weighting losses against loops and by hand, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
from loss_checks import masks_of, relation_of
import numpy as np
import pytest
import reference
import reference_softmax as loops
from weighting_cases import BATCHES, CASES, jitted, run

from mammojax import errors, relations
from mammojax.losses import weighting

every_case = pytest.mark.parametrize('name', CASES)


def scores(name, x, y):
  """What the loop of this case reads: distances or similarities."""
  loss, _, distance = CASES[name][:3]
  if loss is weighting.lifted_structure:
    return reference.distances(x, y, distance)
  return loops.similarity(x, y, distance)


def loop_values(name, x, masks, numbers, y=None, held=None):
  loss, loop, _, options = CASES[name][:4]
  if loss is weighting.lifted_structure:
    options = {}
  elif loss is weighting.circle:
    options = {'held': held}
  found = scores(name, x, x if y is None else y)
  return loop(found, *masks, **options, **numbers)


def assert_slope(got, function, x):
  want = reference.central_differences(function, x)
  scale = max(np.abs(want).max(), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * scale)


@every_case
def test_every_loss_equals_the_loop(name):
  numbers = CASES[name][4]
  for key, batch in BATCHES.items():
    (value, stats), grad = run(name, batch)
    x, masks = batch['x'], masks_of(batch)
    values = loop_values(name, x, masks, numbers)
    want = loops.reduced(values)
    np.testing.assert_allclose(value, want, rtol=5e-5, atol=1e-6)
    assert stats.num_selected == len(values)
    assert stats.num_active == sum(v > 1e-35 for v in values)
    gap = reference.margin_means(reference.distances(x, x, CASES[name][2]),
                                 *masks)['gap']  # fmt: skip
    np.testing.assert_allclose(stats.mean_gap, gap or 0.0, atol=1e-5)
    if key in ('random', 'duplicated', 'padded'):
      # Weights of the circle are held where they are.
      held = scores(name, x, x)
      assert_slope(
        grad,
        lambda x, masks=masks, held=held: loops.reduced(
          loop_values(name, x, masks, numbers, held=held)
        ),
        x,
      )


@pytest.mark.parametrize(
  'name, numbers',
  [
    ('mined', {'alpha': 5.0, 'beta': 9.0, 'base': -0.1, 'epsilon': 0.6}),
    ('circle', {'relaxation': 0.4, 'scale': 12.0}),
    ('generalized', {'margin': 0.0}),
    ('original', {'margin': 2.5}),
  ],
)
def test_traced_numbers_take_their_place_and_carry_no_gradient(name, numbers):
  batch = BATCHES['unbalanced']
  (value, _), _ = run(name, batch, numbers)
  want = loop_values(name, batch['x'], masks_of(batch), numbers)
  np.testing.assert_allclose(value, loops.reduced(want), rtol=5e-5)
  assert jitted(name)._cache_size() == 1


def test_numbers_carry_no_gradient():
  batch = BATCHES['random']
  numbers = jax.tree.map(jnp.float32, CASES['mined'][4])
  slope = jax.jit(
    jax.grad(
      lambda numbers: weighting.multi_similarity(
        batch['x'], relation_of(batch), **numbers
      )
    )
  )(numbers)
  assert not any(slope.values())


@pytest.mark.parametrize(
  'name, reduction',
  [('mined', 'mean_active'), ('circle', 'sum'), ('original', 'mean_active')],
)
def test_eager_reductions_with_defaults_equal_the_loop(
  name, reduction, strict_promotion
):
  loss, _, _, options, numbers = CASES[name]
  batch = BATCHES['padded']
  got = loss(batch['x'], relation_of(batch), reduction=reduction, **options)
  values = loop_values(name, batch['x'], masks_of(batch), numbers)
  want = loops.reduced(values, reduction)
  np.testing.assert_allclose(got, want, rtol=5e-5)


def test_mining_by_hand():
  # Anchor 0: positive at 0.8, negatives at 0.6 and 0. The nearer negative is
  # within 0.3 of the positive, the farther is not.
  x = np.array(
    [[1, 0, 0], [0.8, 0.6, 0], [0.6, -0.8, 0], [0, 0, 1]], np.float32
  )
  label = jnp.asarray([0, 0, 1, 2], jnp.int32)
  gallery = (x, relations.Relation(label, item=jnp.arange(4, dtype=jnp.int32)))
  anchor = relations.Relation(label[:1], item=jnp.zeros(1, jnp.int32))
  pull = np.log1p(np.exp(-2 * (0.8 - 0.5))) / 2
  push = np.log1p(np.exp(50 * (0.6 - 0.5))) / 50
  for epsilon, want in ((0.3, pull + push), (0.1, 0.0)):
    got = weighting.multi_similarity(
      x[:1], anchor, epsilon=epsilon, gallery=gallery
    )
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_three_points_of_the_circle_by_hand():
  x = jnp.asarray([[1, 0], [0.8, 0.6], [0.6, -0.8]], jnp.float32)
  label = jnp.asarray([0, 0, 1], jnp.int32)
  pull = -10 * (1.25 - 0.8) * (0.8 - 0.75)
  want = [
    np.log1p(np.exp(pull + 10 * (sim + 0.25) * (sim - 0.25)))
    for sim in (0.6, 0.0)
  ]
  got = weighting.circle(x, label, scale=10.0)
  np.testing.assert_allclose(got, np.mean(want), rtol=1e-5)


def test_a_lifted_pair_by_hand():
  # A positive pair at distance 2, negatives at 3 and 5 from its ends.
  x = jnp.asarray([[0, 0], [2, 0], [-3, 0]], jnp.float32)
  label = jnp.asarray([0, 0, 1], jnp.int32)
  near = np.log(np.exp(6 - 3) + np.exp(6 - 5))
  want = {
    'original': (2 + near) ** 2 / 2,
    'generalized': ((2 + 6 - 3) + (2 + 6 - 5)) / 2,
  }
  for variant, value in want.items():
    got = weighting.lifted_structure(x, label, margin=6.0, variant=variant)
    np.testing.assert_allclose(got, value, rtol=1e-6)


@pytest.mark.parametrize('name', ['mined', 'generalized'])
def test_an_explicit_gallery_equals_the_loop(name):
  loss, _, distance, _, numbers = CASES[name]
  one, other = BATCHES['random'], BATCHES['padded']
  rows = {k: v[:7].copy() for k, v in other.items()}
  rows['item'] += 1000
  rows['item'][:2], rows['label'][:2] = one['item'][:2], one['label'][:2]
  masks = reference.masks(
    one['label'], rows['label'], one['item'], rows['item'],
    one['valid'], rows['valid'],
  )  # fmt: skip

  @jax.jit
  def ours(x, y):
    gallery = (y, relation_of(rows))
    function = functools.partial(
      loss, distance=distance, gallery=gallery, **numbers
    )
    return jax.value_and_grad(
      lambda x: function(x, relation_of(one)),
    )(x)

  x, y = one['x'], rows['x']
  held = scores(name, x, y)
  value, grad = ours(x, y)

  def want(x):
    values = loop_values(name, x, masks, numbers, y=y, held=held)
    return loops.reduced(values)

  assert value > 0.1
  np.testing.assert_allclose(value, want(x), rtol=5e-5)
  assert_slope(grad, want, x)


def test_original_refuses_an_explicit_gallery():
  batch = BATCHES['random']
  gallery = (batch['x'], relation_of(batch))
  with pytest.raises(errors.UsageError, match='both ends'):
    weighting.lifted_structure(
      batch['x'], relation_of(batch), variant='original', gallery=gallery
    )


@every_case
def test_wrong_options_are_refused(name):
  loss, _, _, _, numbers = CASES[name]
  x, label = BATCHES['random']['x'], BATCHES['random']['label']
  with pytest.raises(errors.UsageError, match="'mean'"):
    loss(x, label, reduction='meen')
  with pytest.raises(errors.UsageError, match="'cosine'"):
    loss(x, label, distance='cosin')
  with pytest.raises(TypeError, match='int32'):
    loss(x, label.astype(np.float32))
  for field in numbers:
    with pytest.raises(ValueError, match=field):
      loss(x, label, **{field: float('nan')})
    if field != 'base':
      with pytest.raises(ValueError, match=field):
        loss(x, label, **{field: -1.0})
  if loss is weighting.lifted_structure:
    with pytest.raises(errors.UsageError, match="'generalized'"):
      loss(x, label, variant='generalised')
