"""The cross-batch memory is a ring of the newest rows, equal on all devices."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
import numpy as np
import pytest
import reference

from mammojax import errors, losses, memory, relations

DIM = 3


def rows_of(rng, count, first_item=0):
  """Random rows; some are padding."""
  return {
    'x': rng.normal(size=(count, DIM)).astype(np.float32),
    'label': rng.integers(0, 4, count).astype(np.int32),
    'item': np.arange(first_item, first_item + count, dtype=np.int32),
    'valid': rng.random(count) > 0.2,
  }


def relation_of(rows):
  return relations.Relation(
    jnp.asarray(rows['label']),
    item=jnp.asarray(rows['item']),
    valid=jnp.asarray(rows['valid']),
  )


@functools.partial(jax.jit, donate_argnums=0)
def _enqueue(state, x, relation):
  return memory.enqueue(state, x, relation)


def contents(state):
  """What is stored, by item."""
  x, relation = memory.gallery(state)
  return {
    int(relation.item[k]): (int(relation.label[k]), tuple(np.asarray(x[k])))
    for k in range(len(x))
    if relation.valid[k]
  }


def newest(history, size):
  """The last `size` valid rows, from a plain list."""
  kept = [
    (int(item), (int(label), tuple(x)))
    for rows in history
    for x, label, item, valid in zip(
      rows['x'], rows['label'], rows['item'], rows['valid'], strict=True
    )
    if valid
  ]
  return dict(kept[-size:])


@pytest.mark.parametrize(
  'size', [4, 6, 13, 50], ids=lambda size: f'size {size}'
)
def test_the_newest_rows_stay(rng, size):
  # A batch of 6: larger than the memory, equal to it, and no divisor of it.
  state, history = memory.init(size, DIM), []
  for step in range(7):
    rows = rows_of(rng, 6, 6 * step)
    history.append(rows)
    state = _enqueue(state, rows['x'], relation_of(rows))
    assert contents(state) == newest(history, size)
  assert int(state.step) == 7


def test_nothing_is_stored_before_the_warm_up_is_over(rng):
  state, history = memory.init(8, DIM, warmup_steps=2), []
  for step in range(4):
    rows = rows_of(rng, 6, 6 * step)
    state = _enqueue(state, rows['x'], relation_of(rows))
    history += [rows] if step >= 2 else []
    assert contents(state) == newest(history, 8)
    assert bool(memory.is_warm(state)) == (step >= 2)


def test_a_batch_of_padding_changes_nothing(rng):
  rows = rows_of(rng, 6)
  state = _enqueue(memory.init(8, DIM), rows['x'], relation_of(rows))
  before = contents(state)
  rows = {**rows_of(rng, 6, 6), 'valid': np.zeros(6, bool)}
  state = _enqueue(state, rows['x'], relation_of(rows))
  assert contents(state) == before


def _loss(x, relation, state):
  return losses.batch_all_triplet(
    x, relation, margin=0.3, gallery=memory.gallery(state), stats=True
  )


_graded = jax.jit(jax.value_and_grad(_loss, has_aux=True))


def test_the_loss_over_the_memory_equals_the_loop(rng):
  # Items 0 to 5 come twice, with other embeddings: old copies of an anchor
  # are neither its positives nor its negatives.
  state, history = memory.init(16, DIM), []
  for first in (0, 6, 0):
    rows = rows_of(rng, 6, first)
    history.append(rows)
    state = _enqueue(state, rows['x'], relation_of(rows))
  (value, stats), grad = _graded(rows['x'], relation_of(rows), state)
  stored = {
    field: np.concatenate([past[field] for past in history])
    for field in ('x', 'label', 'item', 'valid')
  }
  kept = np.flatnonzero(stored['valid'])[-16:]
  stored = {field: leaf[kept] for field, leaf in stored.items()}
  dist = reference.distances(rows['x'], stored['x'])
  masks = reference.masks(
    rows['label'],
    stored['label'],
    rows['item'],
    stored['item'],
    rows['valid'],
    stored['valid'],
  )
  want, weights, _, _ = reference.batch_all_triplet(dist, *masks, 0.3)
  assert want > 0 and stats.num_triplets > 0
  np.testing.assert_allclose(value, want, rtol=1e-5)
  # The memory is constant: only the anchors' side has a gradient.
  by_anchor, _ = reference.pull_back(rows['x'], stored['x'], weights)
  np.testing.assert_allclose(grad, by_anchor, atol=1e-5)


def test_an_empty_memory_costs_nothing(rng):
  rows = rows_of(rng, 6)
  state = memory.init(16, DIM, warmup_steps=5)
  state = _enqueue(state, rows['x'], relation_of(rows))
  (value, _), grad = _graded(rows['x'], relation_of(rows), state)
  assert value == 0 and not np.any(grad)
  assert not memory.is_warm(state)


def test_no_gradient_flows_into_the_memory(rng):
  rows = rows_of(rng, 6)

  def through(x):
    state = memory.enqueue(memory.init(8, DIM), x, relation_of(rows))
    return jnp.sum(state.embeddings)

  assert not np.any(jax.grad(through)(rows['x']))


def test_groups_go_along(rng):
  rows = rows_of(rng, 4)
  group = jnp.asarray([5, 6, 7, 8], jnp.int32)
  relation = relations.Relation(
    jnp.asarray(rows['label']), item=jnp.asarray(rows['item']), group=group
  )
  state = memory.enqueue(memory.init(4, DIM), rows['x'], relation)
  np.testing.assert_array_equal(memory.gallery(state)[1].group, group)


@pytest.mark.parametrize('transform', ['shard_map', 'pmap'])
def test_eight_devices_hold_what_one_does(rng, transform):
  def step(state, x, relation, axis_name=None):
    state = memory.enqueue(state, x, relation, axis_name)
    (value, _), grad = jax.value_and_grad(
      lambda w: losses.batch_all_triplet(
        x * w,
        relation,
        margin=0.3,
        gallery=memory.gallery(state),
        axis_name=axis_name,
        stats=True,
      ),
      has_aux=True,
    )(jnp.asarray([1.0, 2.0, 0.5]))
    if axis_name is not None:
      grad = jax.lax.pmean(grad, axis_name)
    return state, value, grad

  sharded = functools.partial(step, axis_name='data')
  if transform == 'pmap':
    run = jax.pmap(
      sharded, axis_name='data', in_axes=(None, 0, 0), out_axes=None
    )
  else:
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    rows, whole = PartitionSpec('data'), PartitionSpec()
    run = jax.jit(
      jax.shard_map(
        sharded, mesh=mesh, in_specs=(whole, rows, rows), out_specs=whole
      )
    )
  one, many = memory.init(21, DIM), memory.init(21, DIM)
  single = jax.jit(step)
  for number in range(3):
    batch = rows_of(rng, 16, 16 * number)
    args = (batch['x'], relation_of(batch))
    one, want, want_grad = single(one, *args)
    if transform == 'pmap':
      args = jax.tree.map(
        lambda leaf: leaf.reshape((8, 2) + leaf.shape[1:]), args
      )
    many, value, grad = run(many, *args)
    for left, right in zip(
      jax.tree.leaves(one), jax.tree.leaves(many), strict=True
    ):
      np.testing.assert_array_equal(left, right)
    np.testing.assert_allclose(value, want, rtol=1e-5)
    np.testing.assert_allclose(grad, want_grad, atol=1e-5)
  assert want > 0


def test_wrong_arguments_are_refused(rng):
  rows = rows_of(rng, 4)
  state = memory.init(8, DIM)
  with pytest.raises(errors.UsageError, match='item ids'):
    memory.enqueue(
      state, rows['x'], relations.Relation(jnp.asarray(rows['label']))
    )
  with pytest.raises(ValueError, match=r'\[b, 3\], got \(4, 2\)'):
    memory.enqueue(state, rows['x'][:, :2], relation_of(rows))
  for name in ('size', 'dim', 'warmup_steps'):
    with pytest.raises(ValueError, match=f'{name} must be at least'):
      memory.init(**{'size': 4, 'dim': 2, name: -1})
