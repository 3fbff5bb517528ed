"""Nearest, farthest and next pairs against loops, ties included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
import reference_mining

from mammojax import errors, neighbors, ranking

SHAPE = (5, 41)
_next = functools.partial(jax.jit, static_argnames='method')(
  neighbors.next_negative
)


def _case(rng, share, shape=SHAPE):
  """Masks; positives are `share` of a row, a tenth of pairs is in neither."""
  positive = rng.random(shape) < share
  negative = ~positive & (rng.random(shape) < 0.9)
  return positive, negative


def _assert_equals_reference(dist, positive, negative):
  want = reference_mining.next_negative(dist, positive, negative)
  for method in neighbors.METHODS:
    got = _next(dist, positive, negative, method=method)
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, want, err_msg=method)


@pytest.mark.parametrize('share', [0.1, 0.7], ids=['few', 'many'])
def test_next_negative_equals_the_loop(share, rng):
  positive, negative = _case(rng, share)
  assert (positive.sum(1).max() > ranking.LOOP_LIMIT) == (share > 0.5)
  dist = rng.random(SHAPE).astype(np.float32)
  _assert_equals_reference(dist, positive, negative)
  _assert_equals_reference(dist - 0.5, positive, negative)


@pytest.mark.parametrize('share', [0.1, 0.7], ids=['few', 'many'])
def test_of_equal_negatives_the_first_is_taken_and_a_level_one_is_not(
  share, rng
):
  positive, negative = _case(rng, share)
  dist = (rng.integers(0, 4, SHAPE) / 4).astype(np.float32)
  dist[0] = 0.5
  dist[1] = rng.choice(np.float32([0.0, -0.0]), SHAPE[1])
  want = reference_mining.next_negative(dist, positive, negative)
  assert (want[:2] == -1).all() and (want[2:] >= 0).any()
  _assert_equals_reference(dist, positive, negative)


def test_rows_of_one_kind_have_no_next_negative(rng):
  dist = rng.random(SHAPE).astype(np.float32)
  every, none = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
  for positive, negative in ((every, none), (none, every), (none, none)):
    _assert_equals_reference(dist, positive, negative)
  mixed, other = _case(rng, 0.6)
  mixed[0], other[0] = True, False
  mixed[1], other[1] = False, True
  mixed[2], other[2] = False, False
  _assert_equals_reference(dist, mixed, other)


def test_distances_worlds_apart_are_ordered_exactly(rng):
  positive, negative = _case(rng, 0.6)
  dist = (1e-6 * rng.random(SHAPE)).astype(np.float32)
  dist[:, 7] = 1e8
  _assert_equals_reference(dist, positive, negative)


@pytest.mark.parametrize('m', [1, 2, 8])
def test_other_sizes_equal_the_loop(m, rng):
  shape = (3, m)
  dist = rng.random(shape).astype(np.float32)
  _assert_equals_reference(dist, *_case(rng, 0.5, shape))


def test_next_negative_under_vmap(rng):
  masks = [_case(rng, share) for share in (0.1, 0.7)]
  dist = rng.random((2, *SHAPE)).astype(np.float32)
  stacked = [np.stack(part) for part in zip(*masks, strict=True)]
  got = jax.jit(jax.vmap(neighbors.next_negative))(dist, *stacked)
  for k, pair in enumerate(masks):
    want = reference_mining.next_negative(dist[k], *pair)
    np.testing.assert_array_equal(got[k], want)


@pytest.mark.parametrize('transform', on_devices.TRANSFORMS)
def test_next_negative_on_eight_devices(transform, rng):
  # One device has more positives than the loop takes, the others have not.
  positive, negative = _case(rng, 0.1, (16, SHAPE[1]))
  positive[3], negative[3] = _case(rng, 0.7, (1, SHAPE[1]))
  dist = rng.random(positive.shape).astype(np.float32)
  got = on_devices.run(
    neighbors.next_negative,
    transform,
    (),
    (dist, positive, negative),
    splits_output=True,
  )
  want = reference_mining.next_negative(dist, positive, negative)
  np.testing.assert_array_equal(got, want)


def test_nearest_and_farthest_equal_the_loop(rng):
  dist = (rng.integers(-3, 4, SHAPE) / 4).astype(np.float32)
  where, _ = _case(rng, 0.2)
  where[2] = False
  for function, sign in ((neighbors.nearest, 1), (neighbors.farthest, -1)):
    got = function(dist, where)
    assert got.dtype == jnp.int32 and got[2] == -1
    for i in (0, 1, 3, 4):
      of_row = [(sign * dist[i, j], j) for j in np.flatnonzero(where[i])]
      assert got[i] == min(of_row)[1]


def test_no_dtype_or_rank_is_promoted_in_silence(rng, strict_promotion):
  dist = jnp.asarray(rng.random(SHAPE), jnp.float32)
  positive, negative = (jnp.asarray(mask) for mask in _case(rng, 0.5))
  for method in neighbors.METHODS:
    got = jax.eval_shape(
      functools.partial(neighbors.next_negative, method=method),
      dist,
      positive,
      negative,
    )
    assert got.shape == SHAPE and got.dtype == jnp.int32


def test_an_unknown_method_is_answered_with_the_nearest(rng):
  dist = rng.random(SHAPE).astype(np.float32)
  with pytest.raises(errors.UsageError, match="'network'"):
    neighbors.next_negative(dist, *_case(rng, 0.5), method='netwerk')
