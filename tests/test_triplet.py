"""Batch-all triplet against loops, and properties that every loss shares."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import errors, losses, relations

BATCHES = reference.batches()
MARGIN = 0.2
# Properties below hold for each of these.
LOSSES = {
  'all': functools.partial(losses.batch_all_triplet, margin=MARGIN),
  'semihard': functools.partial(
    losses.batch_all_triplet, margin=MARGIN, selection='semihard_region'
  ),
  'hard': functools.partial(
    losses.batch_all_triplet, margin=MARGIN, selection='hard_region'
  ),
  'paper': functools.partial(losses.adatriplet, margin=MARGIN, beta=0.1),
  'code': functools.partial(
    losses.adatriplet, margin=MARGIN, beta=0.1, form='code'
  ),
  'contrastive': functools.partial(losses.contrastive, margin=2.5),
}
every_loss = pytest.mark.parametrize('name', LOSSES)


def relation_of(batch):
  return relations.Relation(
    jnp.asarray(batch['label']),
    item=jnp.asarray(batch['item']),
    valid=jnp.asarray(batch['valid']),
  )


def masks_of(batch):
  return reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )


def assert_close(got, want, tolerance=2e-5):
  """To a share of the largest entry; gradients have no other scale."""
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


@functools.cache
def value_and_grad(name):
  return jax.jit(jax.value_and_grad(LOSSES[name]))


@functools.cache
def _triplet(selection, reduction, distance='cosine'):
  def function(x, relation, margin):
    return losses.batch_all_triplet(
      x,
      relation,
      margin=margin,
      selection=selection,
      reduction=reduction,
      distance=distance,
      stats=True,
    )

  return jax.value_and_grad(function, has_aux=True)


@functools.cache
def _jitted_triplet(*names):
  return jax.jit(_triplet(*names))


def _check_triplet(function, batch, names, distance='cosine', margin=MARGIN):
  selection, reduction = names
  (value, stats), grad = function(batch['x'], relation_of(batch), margin)
  dist = reference.distances(batch['x'], batch['x'], distance)
  want, weights, num_selected, num_active = reference.batch_all_triplet(
    dist, *masks_of(batch), margin, selection, reduction
  )
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  assert_close(grad, reference.gradient(batch['x'], weights, distance))
  assert (stats.num_selected, stats.num_active) == (num_selected, num_active)


def test_reference_gradient_is_that_of_its_value():
  batch = BATCHES['unbalanced']
  masks = masks_of(batch)

  def value(x):
    dist = reference.distances(x, x)
    return reference.batch_all_triplet(dist, *masks, MARGIN)[0]

  dist = reference.distances(batch['x'], batch['x'])
  weights = reference.batch_all_triplet(dist, *masks, MARGIN)[1]
  rows = np.array(batch['x'], np.float64)
  got = reference.gradient(rows, weights)
  numeric = np.zeros(3)
  for k, (i, j) in enumerate([(0, 1), (12, 4), (19, 2)]):
    up, down = rows.copy(), rows.copy()
    up[i, j] += 1e-6
    down[i, j] -= 1e-6
    numeric[k] = (value(up) - value(down)) / 2e-6
  want = [got[0, 1], got[12, 4], got[19, 2]]
  np.testing.assert_allclose(numeric, want, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
  'selection, reduction',
  [
    ('all', 'mean'),
    ('all', 'sum'),
    ('semihard_region', 'mean'),
    ('hard_region', 'mean'),
    ('all', 'mean_active'),
  ],
)
def test_batch_all_equals_the_triple_loop(selection, reduction):
  names = (selection, reduction)
  for batch in BATCHES.values():
    _check_triplet(_jitted_triplet(*names), batch, names)


def test_eager_equals_the_triple_loop():
  names = ('semihard_region', 'mean')
  batch = BATCHES['padded']
  (value, _), grad = _triplet(*names)(batch['x'], relation_of(batch), MARGIN)
  dist = reference.distances(batch['x'], batch['x'])
  want, weights, _, _ = reference.batch_all_triplet(
    dist, *masks_of(batch), MARGIN, *names
  )
  np.testing.assert_allclose(value, want, rtol=2e-5)
  assert_close(grad, reference.gradient(batch['x'], weights))


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  batch = BATCHES['padded']
  shape = jax.eval_shape(
    lambda x: LOSSES[name](x, relation_of(batch), stats=True), batch['x']
  )
  assert shape[0].shape == () and shape[0].dtype == jnp.float32


@pytest.mark.parametrize(
  'distance',
  [
    'euclidean',
    pytest.param('squared_euclidean', marks=pytest.mark.slow),
    'manhattan',
    pytest.param('snr', marks=pytest.mark.slow),
  ],
)
def test_every_distance_equals_the_triple_loop(distance):
  names = ('semihard_region', 'mean')
  function = _jitted_triplet(*names, distance)
  for batch in (BATCHES['random'], BATCHES['padded']):
    _check_triplet(function, batch, names, distance, margin=0.7)


@pytest.mark.parametrize('selection', reference.SELECTIONS)
def test_exact_ties_fall_where_the_definition_says(selection):
  # Manhattan distances of multiples of 1/4 are exact, so gaps of exactly 0
  # and exactly the margin abound: (0, m] is semi-hard, 0 is hard. No two
  # coordinates agree, which keeps away from the kinks of the distance.
  rng = np.random.default_rng(3)
  batch = dict(BATCHES['random'])
  columns = [rng.permutation(20) for _ in range(6)]
  batch['x'] = (np.stack(columns, 1) / 4 - 2).astype(np.float32)
  names = (selection, 'mean')
  function = _jitted_triplet(*names, 'manhattan')
  _check_triplet(function, batch, names, 'manhattan', margin=0.5)


@pytest.mark.parametrize(
  'selection, reduction, want',
  [
    ('all', 'mean', (0.3 + 0.0) / 2),
    ('all', 'mean_active', 0.3),
    ('all', 'sum', 0.3),
    ('semihard_region', 'mean', 0.3),
    ('hard_region', 'mean', 0.0),
  ],
)
def test_two_triplets_by_hand(selection, reduction, want):
  # phi_01 = 0.8, phi_02 = 0.6, phi_12 = 0: gap 0.2 at anchor 0, 0.8 at 1.
  batch = dict(BATCHES['all_distinct'], x=BATCHES['random']['x'].copy())
  batch['x'][:3] = 0.0
  batch['x'][:3, :2] = [[1, 0], [0.8, 0.6], [0.6, -0.8]]
  batch['label'] = np.array([0, 0, 1] + [0] * 17, np.int32)
  batch['valid'] = np.arange(20) < 3
  (got, _), _ = _jitted_triplet(selection, reduction)(
    batch['x'], relation_of(batch), 0.5
  )
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_statistics_equal_the_triple_loop():
  for batch in BATCHES.values():
    (_, stats), _ = _jitted_triplet('all', 'mean')(
      batch['x'], relation_of(batch), MARGIN
    )
    masks = masks_of(batch)
    dist = reference.distances(batch['x'], batch['x'])
    want = reference.margin_means(dist, *masks)
    assert stats.num_triplets == want['num_triplets']
    if want['num_triplets']:
      np.testing.assert_allclose(stats.mean_gap, want['gap'], atol=2e-6)
      np.testing.assert_allclose(stats.mean_an, want['an'], atol=2e-6)
    positive, negative = masks
    both = positive.any(1) & negative.any(1)
    assert stats.num_anchors == both.sum()


@pytest.mark.parametrize('block', [pytest.param(1, marks=pytest.mark.slow), 7])
def test_the_block_size_changes_nothing(block):
  batch = BATCHES['padded']
  function = functools.partial(LOSSES['all'], block=block)
  value, grad = jax.value_and_grad(function)(batch['x'], relation_of(batch))
  want, want_grad = value_and_grad('all')(batch['x'], relation_of(batch))
  np.testing.assert_allclose(value, want, rtol=1e-6)
  assert_close(grad, want_grad, 1e-6)


@pytest.mark.parametrize(
  'name',
  [pytest.param('all', marks=pytest.mark.slow), 'paper', 'contrastive'],
)
def test_an_explicit_gallery_equals_the_loop(name):
  one, other = BATCHES['random'], BATCHES['padded']
  x, y = one['x'], other['x'][:13]
  relation = relation_of(one)
  rows = {k: v[:13] for k, v in other.items()}
  rows['item'] = rows['item'] + 1000
  rows['item'][:3], rows['label'][:3] = one['item'][:3], one['label'][:3]
  gallery = relation_of(rows)
  masks = reference.masks(
    one['label'], rows['label'], one['item'], rows['item'],
    one['valid'], rows['valid'],
  )  # fmt: skip
  kind = 'euclidean' if name == 'contrastive' else 'cosine'
  dist = reference.distances(x, y, kind)
  value, weights = {
    'all': lambda: reference.batch_all_triplet(dist, *masks, MARGIN)[:2],
    'paper': lambda: reference.adatriplet_paper(dist, *masks, MARGIN, 0.1),
    'contrastive': lambda: reference.contrastive(dist, *masks, margin=2.5),
  }[name]()
  got, grads = jax.value_and_grad(
    lambda x, y: LOSSES[name](x, relation, gallery=(y, gallery)), (0, 1)
  )(x, y)
  np.testing.assert_allclose(got, value, rtol=2e-5)
  for grad, want in zip(
    grads, reference.pull_back(x, y, weights, kind), strict=True
  ):
    assert_close(grad, want)


@every_loss
def test_permuting_the_batch_permutes_the_gradient(name):
  rng = np.random.default_rng(5)
  for key in ('unbalanced', 'padded'):
    batch, order = BATCHES[key], rng.permutation(20)
    moved = {field: batch[field][order] for field in batch}
    value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
    again, moved_grad = value_and_grad(name)(moved['x'], relation_of(moved))
    np.testing.assert_allclose(again, value, rtol=1e-5, atol=1e-7)
    assert_close(moved_grad, np.asarray(grad)[order], 1e-5)


@every_loss
def test_relabelling_changes_nothing(name):
  batch = BATCHES['random']
  # Neighbours near 1e8 are one number in float32.
  new = dict(batch, label=(100000000 + 3 - batch['label']).astype(np.int32))
  new['item'] = (100000000 + batch['item']).astype(np.int32)
  value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
  again, new_grad = value_and_grad(name)(new['x'], relation_of(new))
  assert value == again and value > 0
  np.testing.assert_array_equal(grad, new_grad)


@every_loss
def test_what_stands_in_padding_is_never_read(name):
  batch = BATCHES['padded']
  empty = ~batch['valid']
  other = {field: batch[field].copy() for field in batch}
  other['x'][empty] = 1e3 * other['x'][empty] ** 2
  other['label'][empty] = batch['label'][0]
  other['item'][empty] = batch['item'][1]
  value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
  again, new_grad = value_and_grad(name)(other['x'], relation_of(other))
  assert value == again and value > 0
  np.testing.assert_array_equal(grad, new_grad)
  assert not np.asarray(grad)[empty].any()


@pytest.mark.parametrize('name', [n for n in LOSSES if n != 'contrastive'])
@pytest.mark.parametrize('key', ['one_class', 'all_distinct'])
def test_an_empty_selection_is_zero_with_zero_gradient(key, name):
  batch = BATCHES[key]
  value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
  assert value == 0 and not np.asarray(grad).any()


@every_loss
def test_a_batch_of_padding_is_zero_with_zero_gradient(name):
  batch = dict(BATCHES['random'], valid=np.zeros(20, bool))
  value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
  assert value == 0 and not np.asarray(grad).any()


@every_loss
def test_duplicates_and_zero_vectors_give_finite_gradients(name):
  batch = dict(BATCHES['random'], x=BATCHES['random']['x'].copy())
  batch['x'][[2, 3, 4]] = 0.0
  batch['x'][10:14] = batch['x'][9]
  value, grad = value_and_grad(name)(batch['x'], relation_of(batch))
  assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
  'name, want', [('all', MARGIN), ('hard', MARGIN), ('semihard', 0.0)]
)
def test_a_collapsed_batch_costs_the_margin_and_gives_no_gradient(name, want):
  # Entries of 1/2: lengths and products are exact, so every gap is exactly 0.
  x = np.full((20, 6), 0.0, np.float32)
  x[:, :4] = 0.5
  value, grad = value_and_grad(name)(x, relation_of(BATCHES['random']))
  np.testing.assert_allclose(value, want, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-7)


def test_a_collapsed_batch_gives_no_gradient_under_manhattan():
  x = np.ones((20, 6), np.float32)
  function = _jitted_triplet('semihard_region', 'mean', 'manhattan')
  relation = relation_of(BATCHES['unbalanced'])
  assert not np.asarray(function(x, relation, 0.5)[1]).any()
  function = _jitted_triplet('all', 'mean', 'manhattan')
  (value, _), grad = function(x, relation, 0.5)
  np.testing.assert_allclose(value, 0.5, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-6)


@pytest.mark.parametrize(
  'name', [pytest.param('all', marks=pytest.mark.slow), 'paper']
)
def test_new_margins_do_not_retrace_and_carry_no_gradient(name):
  traces = []
  function = LOSSES[name].func
  more = {'beta': 0.1} if name == 'paper' else {}

  @jax.jit
  def loss(margin, x, relation):
    traces.append(1)
    return function(x, relation, margin=margin, **more)

  batch = BATCHES['random']
  relation = relation_of(batch)
  values = [float(loss(m, batch['x'], relation)) for m in (0.1, 0.3, 0.5)]
  assert len(traces) == 1 and values == sorted(set(values))
  assert jax.grad(loss)(0.3, batch['x'], relation) == 0


@every_loss
def test_wrong_ids_and_embeddings_are_refused(name):
  loss, x = LOSSES[name], BATCHES['random']['x']
  good = BATCHES['random']['label']
  for dtype in (np.float32, np.int64, np.uint8):
    with pytest.raises(TypeError, match='int32'):
      loss(x, good.astype(dtype))
  with pytest.raises(TypeError, match='int32'):
    loss(x.astype(np.int32), good)
  for labels in (good[:-1], good[:, None]):
    with pytest.raises(ValueError, match='20'):
      loss(x, labels)
  with pytest.raises(ValueError, match=r'\(2, 20, 3\)'):
    loss(np.ones((2, 20, 3), np.float32), good)


@every_loss
def test_wrong_options_are_refused(name):
  loss, batch = LOSSES[name], BATCHES['random']
  x, label = batch['x'], batch['label']
  for margin in (-0.1, float('nan'), -1):
    with pytest.raises(ValueError, match='margin'):
      loss(x, label, margin=margin)
  with pytest.raises(errors.UsageError, match="'mean'"):
    loss(x, label, reduction='meen')
  with pytest.raises(ValueError, match='item'):
    loss(x, label, gallery=(x, relations.Relation(jnp.asarray(label))))
  with pytest.raises(ValueError, match='item'):
    loss(x, label, gallery=(x, relation_of(batch)))
  with pytest.raises(ValueError, match='gallery'):
    loss(x, relation_of(batch), gallery=(x[:, :4], relation_of(batch)))


def test_unknown_names_are_answered_with_the_nearest():
  x, label = BATCHES['random']['x'], BATCHES['random']['label']
  with pytest.raises(errors.UsageError, match="'semihard_region'"):
    losses.batch_all_triplet(x, label, margin=0.2, selection='seminard_region')
  with pytest.raises(errors.UsageError, match="'cosine'"):
    losses.batch_all_triplet(x, label, margin=0.2, distance='cosin')
