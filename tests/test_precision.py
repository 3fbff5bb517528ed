"""What float32 costs at 4,096 rows, what is counted, and memory at 8,192.

Measured on a CPU, batch-all triplet, cosine, margin 0.2, 4,096 rows of 32
numbers in two classes (17 billion triplets), float32 against float64 on
sorted rows:

    value     4e-8, relative
    gradient  8e-7 of its largest entry
    counts    4e-8 of the triplets, 1e-7 of the active ones, relative

Temporary memory of value and gradient at 8,192 rows of 128 numbers:

    batch_hard_triplet  30 MiB      adatriplet        53 MiB
    batch_all_triplet   49 MiB      semihard_triplet  61 MiB
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import losses, relations

MARGIN = 0.2
MIB = 2**20


def _two_classes(num_rows, dim=32, seed=4):
  """Two overlapping clouds, unequal in size; x float32, label int32."""
  rng = np.random.default_rng(seed)
  label = rng.permutation(np.arange(num_rows) * 100 // num_rows >= 45)
  centers = 0.35 * rng.normal(size=(2, dim))
  x = centers[label.astype(int)] + rng.normal(size=(num_rows, dim))
  return x.astype(np.float32), label.astype(np.int32)


def _counts_below(values, bounds):
  """How many of `values` are below each bound."""
  return np.searchsorted(np.sort(values), bounds, side='left')


def _reference(x, label):
  """Float64 value, gradient and number of active triplets, by sorting.

  Anchor by anchor: a positive is in as many active triplets as negatives lie
  below d_ap + m, a negative in as many as positives lie above d_an - m.
  """
  x = x.astype(np.float64)
  length = np.linalg.norm(x, axis=1, keepdims=True)
  unit = x / length
  dist = 1.0 - unit @ unit.T
  weights = np.zeros_like(dist)
  total, active, selected = 0.0, 0, 0
  for anchor, row in enumerate(dist):
    is_negative = label != label[anchor]
    is_positive = ~is_negative
    is_positive[anchor] = False
    reach, far = row[is_positive] + MARGIN, row[is_negative]
    below = _counts_below(far, reach)
    above = len(reach) - np.searchsorted(np.sort(reach), far, side='right')
    total += np.dot(below, reach) - np.dot(above, far)
    weights[anchor, is_positive] = below
    weights[anchor, is_negative] = -above
    active += int(below.sum())
    selected += len(reach) * len(far)
  # d = 1 - u.v, and u = x / |x|.
  by_unit = -(weights + weights.T) @ unit / selected
  along = np.sum(by_unit * unit, axis=1, keepdims=True)
  return total / selected, (by_unit - along * unit) / length, active, selected


def test_the_sorted_reference_equals_the_triple_loop():
  x, label = _two_classes(24, dim=3)
  value, grad, active, selected = _reference(x, label)
  masks = reference.masks(label)
  dist = reference.distances(x, x)
  want, weights, num_selected, num_active = reference.batch_all_triplet(
    dist, *masks, MARGIN
  )
  assert (active, selected) == (num_active, num_selected)
  np.testing.assert_allclose(value, want, rtol=1e-12)
  np.testing.assert_allclose(grad, reference.gradient(x, weights), atol=1e-12)


@pytest.fixture
def optimized():
  """Programs as users compile them; conftest turns optimizations off."""
  jax.config.update('jax_disable_most_optimizations', False)
  yield
  jax.config.update('jax_disable_most_optimizations', True)


@pytest.mark.slow
def test_batch_all_at_4096_is_within_float32_of_float64(optimized):
  x, label = _two_classes(4096)
  loss = functools.partial(losses.batch_all_triplet, margin=MARGIN, stats=True)
  (value, stats), grad = jax.jit(jax.value_and_grad(loss, has_aux=True))(
    x, label
  )
  want, want_grad, active, selected = _reference(x, label)
  errors = {
    'value': abs(float(value) - want) / want,
    'grad': np.abs(grad - want_grad).max() / np.abs(want_grad).max(),
    'active': abs(float(stats.num_active) - active) / active,
    'selected': abs(float(stats.num_selected) - selected) / selected,
  }
  assert selected > 2**31 and active > 2**31
  assert errors['value'] < 1e-6 and errors['grad'] < 2e-5
  assert errors['selected'] < 1e-6
  # Rounding moves triplets across the margin, both ways.
  assert errors['active'] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['batch_all_triplet', 'adatriplet', 'contrastive', 'hard_triplet']
)
def test_totals_above_the_largest_int_are_right_and_finite(name, optimized):
  num_rows = 4096
  _, label = _two_classes(num_rows)
  # All rows are one point, so that each triplet costs exactly the margin.
  x = np.full((num_rows, 4), 0.5, np.float32)
  more = {'adatriplet': {'beta': 1.0}, 'contrastive': {'distance': 'cosine'}}
  loss = functools.partial(
    getattr(losses, name), margin=1.0, **more.get(name, {})
  )
  total, stats = jax.jit(functools.partial(loss, reduction='sum', stats=True))(
    x, label
  )
  sizes = np.bincount(label).astype(object)
  ordered = sum(size * (size - 1) for size in sizes)
  triplets = sum(size * (size - 1) * (num_rows - size) for size in sizes)
  want = {
    'batch_all_triplet': triplets,
    'adatriplet': triplets,
    'hard_triplet': ordered,
    'contrastive': 2 * sizes[0] * sizes[1],
  }[name]
  np.testing.assert_allclose(float(total), float(want), rtol=1e-6)
  assert all(np.isfinite(field) for field in stats)
  if name != 'contrastive':
    assert triplets > 2**31
    np.testing.assert_allclose(
      float(stats.num_triplets), float(triplets), rtol=1e-6
    )


MEMORY = {
  'batch_all_triplet': (64, {'margin': MARGIN}),
  'semihard_triplet': (128, {'margin': MARGIN}),
  'batch_hard_triplet': (64, {'margin': MARGIN}),
  'adatriplet': (128, {'margin': MARGIN, 'beta': 0.1}),
}


@pytest.mark.parametrize(
  'name',
  [
    name
    if name == 'batch_hard_triplet'
    else pytest.param(name, marks=pytest.mark.slow)
    for name in MEMORY
  ],
)
def test_memory_at_8192_is_far_below_a_matrix_of_pairs(name, optimized):
  limit, arguments = MEMORY[name]
  loss = functools.partial(getattr(losses, name), **arguments)
  x = jax.ShapeDtypeStruct((8192, 128), jnp.float32)
  rows = jax.ShapeDtypeStruct((8192,), jnp.int32)
  relation = relations.Relation(rows, item=rows)
  program = jax.jit(jax.value_and_grad(loss)).lower(x, relation).compile()
  used = program.memory_analysis().temp_size_in_bytes
  # A float32 matrix of all pairs would be 256 MiB.
  assert used < limit * MIB
