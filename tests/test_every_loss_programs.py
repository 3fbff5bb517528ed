"""Every loss in other programs: eager, in bfloat16, under vmap, in blocks.

Each needs operations or shapes that `test_every_loss` has not compiled, so
all but a few losses are slow here.
"""

import functools

import every_loss
from every_loss_checks import assert_close, assert_same, cases, changed
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import losses

CASES = every_loss.CASES
HARD = every_loss.hard_batches()
# One of each way to compute: a scan, chosen rows, a softmax, class weights.
FEW = ('contrastive', 'batch_hard_triplet', 'supcon', 'arcface')
# Those whose operations, compiled one by one, are few or shared.
EAGER = (
  'contrastive',
  'batch_hard_triplet',
  'nt_xent',
  'supcon',
  'circle',
  'squared_norm',
  'siamese_cross_entropy',
)


def eager(name, rows, **common):
  """Value and gradient, one operation at a time, with Python numbers."""
  case = CASES[name]
  loss = functools.partial(case, **common)
  relation = every_loss.relation_of(rows, case)
  with jax.disable_jit():
    return jax.value_and_grad(loss)(jnp.asarray(rows['x']), relation)


@cases(fast=EAGER, where=lambda case: case.kind == 'classes')
def test_renaming_classes_moves_their_weights(name):
  case, rows = CASES[name], every_loss.batch(2)
  per_class = case.options.get('centers_per_class', 1)
  order = np.random.default_rng(0).permutation(every_loss.CLASSES)
  weights = case.options['class_weights']
  moved = np.empty_like(weights).reshape(every_loss.CLASSES, per_class, -1)
  moved[order] = weights.reshape(moved.shape)
  new = changed(rows, label=order[rows['label']].astype(np.int32))
  got = eager(name, new, class_weights=moved.reshape(weights.shape))
  assert_same(got, every_loss.evaluate(name, rows))


@cases(fast=FEW, where=lambda case: case.ignores_order)
def test_padding_equals_a_shorter_batch(name):
  rows = every_loss.batch(3, num_padding=3)
  kept = {field: rows[field][rows['valid']] for field in rows}
  value, grad = every_loss.evaluate(name, rows)
  got = every_loss.evaluate(name, kept)
  assert_same(got, (value, grad[rows['valid']]))


@pytest.mark.slow
@cases(where=lambda case: case.takes('distance'))
@pytest.mark.parametrize('distance', ['euclidean', 'snr'])
def test_other_distances_give_finite_numbers_too(name, distance):
  case = CASES[name]
  if distance == 'snr' and case.function is losses.distance_weighted_triplet:
    distance = 'squared_euclidean'

  @jax.jit
  @jax.value_and_grad
  def function(x, relation):
    return case(x, relation, distance=distance)

  for key, rows in HARD.items():
    value, grad = function(rows['x'], every_loss.relation_of(rows, case))
    assert np.isfinite(value) and np.isfinite(grad).all(), key
    if key in case.zero_on:
      assert value == 0 and not np.asarray(grad).any(), key


@cases(fast=EAGER)
def test_eager_with_python_numbers_equals_jit_with_traced_ones(name):
  rows = every_loss.batch(1)
  assert_same(eager(name, rows), every_loss.evaluate(name, rows))


@cases(fast=EAGER, where=lambda case: case.takes('stats'))
def test_statistics_come_beside_the_same_loss(name):
  case, rows = CASES[name], every_loss.batch(1)
  relation = every_loss.relation_of(rows, case)
  with jax.disable_jit():
    value, stats = case(jnp.asarray(rows['x']), relation, stats=True)
  assert_close(value, every_loss.evaluate(name, rows)[0])
  assert isinstance(stats, tuple) and stats._fields
  assert all(np.isfinite(field) for field in stats)


@cases(fast=EAGER)
def test_bfloat16_is_widened_before_anything_is_computed(name):
  rows = every_loss.batch(1)
  half = changed(rows, x=rows['x'].astype(jnp.bfloat16))
  # The float32 rows nearest to the half ones: only the input is rounded.
  wide = changed(rows, x=half['x'].astype(np.float32))
  value, grad = eager(name, half)
  assert value.dtype == jnp.float32 and grad.dtype == jnp.bfloat16
  want, want_grad = every_loss.evaluate(name, wide)
  assert_close(value, want)
  assert_close(grad, want_grad, 2**-7)


@cases(
  fast=EAGER, where=lambda case: case.kind == 'pairs' and case.takes_gallery
)
def test_the_batch_as_its_own_gallery_is_the_loss_within_it(name):
  case = CASES[name]
  # Each row has a positive: rows of an explicit gallery are never anchors,
  # which form 'code' of AdaTriplet would see.
  rows = every_loss.batch(1, num_padding=1)
  rows['label'] = (rows['label'] > 0).astype(np.int32)
  relation = every_loss.relation_of(rows, case)

  def function(x, y):
    return case(x, relation, gallery=(y, relation))

  x = jnp.asarray(rows['x'])
  with jax.disable_jit():
    value, (by_x, by_y) = jax.value_and_grad(function, (0, 1))(x, x)
  assert_same((value, by_x + by_y), every_loss.evaluate(name, rows))


@cases(fast=FEW, where=lambda case: case.takes('block'))
def test_the_block_changes_nothing(name):
  case, rows = CASES[name], every_loss.batch(4)
  loss = jax.jit(jax.value_and_grad(functools.partial(case, block=3)))
  got = loss(rows['x'], every_loss.relation_of(rows, case))
  assert_same(got, every_loss.evaluate(name, rows), 3e-6)


@cases(fast=FEW)
def test_vmap_equals_a_loop(name):
  case = CASES[name]
  several = [every_loss.batch(seed) for seed in (0, 1, 2)]
  x = np.stack([rows['x'] for rows in several])
  relations_of = [every_loss.relation_of(rows, case) for rows in several]
  relation = jax.tree.map(lambda *leaves: jnp.stack(leaves), *relations_of)
  values, grads = jax.jit(jax.vmap(jax.value_and_grad(case)))(x, relation)
  for k, rows in enumerate(several):
    assert_same((values[k], grads[k]), every_loss.evaluate(name, rows))
