"""Pair-weighting losses against loops, and properties of all softmax losses."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
import numpy as np
import pytest
import reference
import reference_softmax as loops

from mammojax import errors, relations
from mammojax.losses import softmax, weighting

BATCHES = loops.batches()
# name -> (loss, loop over what `scores` makes, distance, options, numbers)
CASES = {
  'mined': (
    weighting.multi_similarity,
    loops.multi_similarity,
    'cosine',
    {},
    {'alpha': 2.0, 'beta': 50.0, 'base': 0.5, 'epsilon': 0.1},
  ),
  'unmined': (
    weighting.multi_similarity,
    loops.multi_similarity,
    'euclidean',
    {'epsilon': None},
    {'alpha': 1.5, 'beta': 4.0, 'base': -1.2},
  ),
  'circle': (
    weighting.circle,
    loops.circle,
    'cosine',
    {},
    {'relaxation': 0.25, 'scale': 80.0},
  ),
  'generalized': (
    weighting.lifted_structure,
    loops.lifted_structure,
    'euclidean',
    {},
    {'margin': 1.0},
  ),
  'generalized_soft': (
    weighting.lifted_structure,
    functools.partial(loops.lifted_structure, soft=True),
    'manhattan',
    {'variant': 'generalized_soft'},
    {'margin': 0.3},
  ),
  'original': (
    weighting.lifted_structure,
    loops.lifted_structure_original,
    'euclidean',
    {'variant': 'original'},
    {'margin': 1.0},
  ),
}
EVERY = {
  **{name: functools.partial(case[0], distance=case[2], **case[3])
     for name, case in CASES.items()},
  'nt_xent': softmax.nt_xent,
  'outside': softmax.supcon,
  'inside': functools.partial(softmax.supcon, positives='inside'),
  'n_pair': softmax.n_pair,
}  # fmt: skip
every_case = pytest.mark.parametrize('name', CASES)
every_loss = pytest.mark.parametrize('name', EVERY)


def relation_of(batch):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def masks_of(batch):
  return reference.masks(**{k: batch[k] for k in ('label', 'item', 'valid')})


@functools.cache
def jitted(name, reduction='mean'):
  """(x, relation, traced numbers) -> ((loss, statistics), gradient)."""
  loss = functools.partial(EVERY[name], reduction=reduction, stats=True)

  def function(x, relation, numbers):
    return loss(x, relation, block=4, **numbers)

  return jax.jit(jax.value_and_grad(function, has_aux=True))


def run(name, batch, numbers=None):
  """((loss, statistics), gradient) with the numbers of the case."""
  if numbers is None:
    numbers = CASES[name][4] if name in CASES else {}
  return jitted(name)(batch['x'], relation_of(batch), numbers)


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


@every_loss
def test_permuting_relabelling_and_padding_change_nothing(name):
  batch, order = BATCHES['padded'], np.random.default_rng(5).permutation(10)
  (value, _), grad = run(name, batch)
  scale = np.abs(grad).max()
  assert value > 0 and scale > 0
  moved = {field: batch[field][order] for field in batch}
  (again, _), moved_grad = run(name, moved)
  np.testing.assert_allclose(again, value, rtol=1e-5)
  np.testing.assert_allclose(
    moved_grad, np.asarray(grad)[order], rtol=0, atol=1e-5 * scale
  )
  # Neighbours near 1e8 are one number in float32.
  other = {field: batch[field].copy() for field in batch}
  other['label'] = (100000003 - batch['label']).astype(np.int32)
  empty = ~batch['valid']
  other['x'][empty] = 1e3 * other['x'][empty] ** 2
  other['label'][empty] = other['label'][0]
  other['item'][empty] = other['item'][2]
  (again, _), new_grad = run(name, other)
  assert again == value
  np.testing.assert_array_equal(new_grad, grad)
  assert not np.asarray(grad)[empty].any()


@every_loss
def test_an_empty_selection_is_zero_with_zero_gradient(name):
  nothing = dict(BATCHES['random'], valid=np.zeros(10, bool))
  batches = [nothing, BATCHES['one_class'], BATCHES['all_distinct']]
  if name == 'unmined':
    # Without mining a lone positive is pulled and a lone negative pushed.
    batches = [nothing]
    for key in ('one_class', 'all_distinct'):
      (value, _), grad = run(name, BATCHES[key])
      assert value > 0 and np.abs(grad).max() > 0
  for batch in batches:
    (value, _), grad = run(name, batch)
    assert value == 0 and not np.asarray(grad).any()


@every_loss
def test_extremes_of_float32_stay_finite(name):
  batch = BATCHES['duplicated']
  x, ones = batch['x'], np.ones_like(batch['x'])
  zeros = x.copy()
  zeros[[0, 3, 6]] = 0.0
  for rows in (1e-4 * x, 1e4 * x, ones, 0 * ones, zeros):
    (value, _), grad = run(name, dict(batch, x=rows))
    assert np.isfinite(value) and value >= 0 and np.isfinite(grad).all()


def test_the_circle_stays_finite_on_long_embeddings():
  relation = relation_of(BATCHES['duplicated'])
  function = jax.jit(
    jax.value_and_grad(
      functools.partial(weighting.circle, distance='euclidean')
    )
  )
  for scale in (1e-4, 1e4):
    value, grad = function(scale * BATCHES['duplicated']['x'], relation)
    assert np.isfinite(value) and np.isfinite(grad).all()


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


# Eight devices. Embeddings are rows times a replicated matrix, so that the
# gradient crosses the gather and both places a row is used in.
DEVICES = 8


def _global_batch():
  """24 rows: two labels crowd the first devices, the last have no pair."""
  rng = np.random.default_rng(9)
  label = [0] * 7 + [1] * 4 + [2] * 2 + list(range(10, 21))
  x = rng.normal(size=(24, 5)).astype(np.float32)
  item = np.arange(24, dtype=np.int32)
  item[5], x[5] = item[2], x[2]
  relation = relations.Relation(
    jnp.asarray(label, jnp.int32),
    item=jnp.asarray(item),
    valid=jnp.arange(24) != 9,
  )
  return rng.normal(size=(5, 3)).astype(np.float32), x, relation


def _step(loss, axis_name):
  def step(w, x, relation):
    def function(w):
      return loss(x @ w, relation, axis_name=axis_name, stats=True)

    (value, stats), grad = jax.value_and_grad(function, has_aux=True)(w)
    if axis_name is not None:
      grad = jax.lax.pmean(grad, axis_name)
    return value, stats, grad

  return step


def _on_devices(loss, transform, w, x, relation):
  step = _step(loss, 'data')
  if transform == 'pmap':
    split = jax.tree.map(
      lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), (x, relation)
    )
    mapped = jax.pmap(
      step, axis_name='data', in_axes=(None, 0, 0), out_axes=None
    )
    return mapped(w, *split)
  mesh = jax.make_mesh((DEVICES,), ('data',), axis_types=(AxisType.Auto,))
  rows = PartitionSpec('data')
  mapped = jax.shard_map(
    step,
    mesh=mesh,
    in_specs=(PartitionSpec(), rows, rows),
    out_specs=PartitionSpec(),
  )
  return jax.jit(mapped)(w, x, relation)


FAST = (
  ('nt_xent', 'shard_map'),
  ('original', 'shard_map'),
  ('original', 'pmap'),
)


@pytest.mark.parametrize(
  'name, transform',
  [
    pytest.param(*case, marks=[] if case in FAST else pytest.mark.slow)
    for case in (
      (name, transform) for name in EVERY for transform in ('shard_map', 'pmap')
    )
  ],
)
def test_eight_devices_equal_one(name, transform):
  w, x, relation = _global_batch()
  got = _on_devices(EVERY[name], transform, w, x, relation)
  want = jax.jit(_step(EVERY[name], None))(w, x, relation)
  scale = np.abs(want[2]).max()
  assert want[0] > 0 and scale > 1e-3
  np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
  np.testing.assert_allclose(got[2], want[2], rtol=0, atol=1e-5 * scale)
  for one, other in zip(got[1], want[1], strict=True):
    np.testing.assert_allclose(one, other, rtol=5e-5)
