"""Properties that the losses over all triplets and pairs share."""

import functools

import jax
import jax.numpy as jnp
from loss_checks import assert_close, relation_of
import numpy as np
import pytest
import reference

from mammojax import errors, losses, relations

BATCHES = reference.batches()
MARGIN = 0.2
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


@functools.cache
def value_and_grad(name):
  return jax.jit(jax.value_and_grad(LOSSES[name]))


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  batch = BATCHES['padded']
  shape = jax.eval_shape(
    lambda x: LOSSES[name](x, relation_of(batch), stats=True), batch['x']
  )
  assert shape[0].shape == () and shape[0].dtype == jnp.float32


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
