"""Counts across a row against a loop over triplets, ties included."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
import reference

from mammojax import ranking

# One shape for most cases, so that few programs are compiled.
SHAPE = (6, 37)
METHODS = ('auto', 'loop', 'network', 'sort')
SPREADS = ('few', 'many', 'unbalanced', 'none', 'all')
_counts = functools.partial(jax.jit, static_argnames=('inclusive', 'method'))(
  ranking.cross_counts
)
_both = functools.partial(jax.jit, static_argnames='method')(
  ranking.both_counts
)


def _case(rng, spread, n, m):
  """Distances and masks; the name says how the positives are spread."""
  dist = rng.random((n, m)).astype(np.float32)
  share = {
    'few': np.full(n, min(3 / m, 0.5)),
    'many': np.full(n, 0.6),
    'unbalanced': np.linspace(0, 1, n),
    'none': np.zeros(n),
    'all': np.ones(n),
  }[spread]
  positive = rng.random((n, m)) < share[:, None]
  negative = ~positive & (rng.random((n, m)) < 0.9)
  return dist, positive, negative


def _assert_equals_reference(dist, positive, negative, shift, inclusive):
  below, above = reference.cross_counts(
    dist, positive, negative, shift, inclusive
  )
  for method in METHODS:
    got = _counts(
      dist, positive, negative, shift, inclusive=inclusive, method=method
    )
    assert got.dtype == jnp.int32
    np.testing.assert_array_equal(got, below + above, err_msg=method)


@pytest.mark.parametrize(
  'inclusive', [False, True], ids=['strict', 'inclusive']
)
@pytest.mark.parametrize('spread', SPREADS)
def test_cross_counts_equal_the_loop(spread, inclusive, rng):
  dist, positive, negative = _case(rng, spread, *SHAPE)
  for shift in (0.0, 0.2, 1.5):
    _assert_equals_reference(dist, positive, negative, shift, inclusive)


@pytest.mark.parametrize('n, m', [(3, 64), (2, 1)])
def test_other_sizes_equal_the_loop(n, m, rng):
  _assert_equals_reference(*_case(rng, 'many', n, m), 0.2, False)


@pytest.mark.parametrize(
  'inclusive', [False, True], ids=['strict', 'inclusive']
)
@pytest.mark.parametrize('spread', ['few', 'many'])
def test_ties_are_decided_exactly(spread, inclusive, rng):
  _, positive, negative = _case(rng, spread, *SHAPE)
  # Multiples of 1/8: sums with the shift are exact, equality is frequent.
  dist = (rng.integers(0, 9, SHAPE) / 8).astype(np.float32)
  for shift in (0.0, 0.125, 0.5):
    _assert_equals_reference(dist, positive, negative, shift, inclusive)


@pytest.mark.parametrize('spread', ['few', 'many'])
def test_all_equal_distances(spread, rng):
  _, positive, negative = _case(rng, spread, *SHAPE)
  dist = np.full(SHAPE, 0.25, np.float32)
  for shift, inclusive in ((0.0, False), (0.0, True), (0.25, False)):
    _assert_equals_reference(dist, positive, negative, shift, inclusive)


def test_zero_and_negative_distances_are_ordered_by_value(rng):
  _, positive, negative = _case(rng, 'many', *SHAPE)
  dist = rng.normal(size=SHAPE).astype(np.float32)
  dist[:, ::7] = 0.0
  dist[:, 1::7] = -0.0
  for inclusive in (False, True):
    _assert_equals_reference(dist, positive, negative, 0.0, inclusive)
    _assert_equals_reference(dist, positive, negative, 0.3, inclusive)


def test_one_crowded_row_among_sparse_ones(rng):
  # A static bound on positives taken from the usual row would lose these.
  dist, positive, _ = _case(rng, 'few', *SHAPE)
  positive[4] = rng.random(SHAPE[1]) < 0.9
  _assert_equals_reference(dist, positive, ~positive, 0.2, False)


@pytest.mark.parametrize('spread', ['few', 'many'])
def test_cross_counts_under_vmap_with_a_traced_shift(spread, rng):
  cases = [_case(rng, spread, *SHAPE) for _ in range(2)]
  stacked = [np.stack(parts) for parts in zip(*cases, strict=True)]
  shifts = np.asarray([0.1, 0.4], np.float32)
  got = jax.jit(jax.vmap(ranking.cross_counts))(*stacked, shifts)
  for k, (dist, positive, negative) in enumerate(cases):
    below, above = reference.cross_counts(dist, positive, negative, shifts[k])
    np.testing.assert_array_equal(got[k], below + above)


def test_an_unknown_method_lists_the_known_ones(rng):
  with pytest.raises(ValueError, match='loop'):
    ranking.cross_counts(*_case(rng, 'few', 2, 4), 0.1, method='lopo')


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('spread', ['few', 'many', 'unbalanced'])
def test_both_counts_equal_the_loop_with_ties(spread, method, rng):
  _, positive, negative = _case(rng, spread, *SHAPE)
  dist = (rng.integers(0, 9, SHAPE) / 8).astype(np.float32)
  for shift in (0.0, 0.125, 1.5):
    got = _both(dist, positive, negative, shift, method=method)
    for bound in ('strict', 'inclusive'):
      below, above = reference.cross_counts(
        dist, positive, negative, shift, bound == 'inclusive'
      )
      np.testing.assert_array_equal(getattr(got, bound), below + above)


def test_distances_worlds_apart_are_counted_exactly(rng):
  # The network rounds keys to the spread of a row and has to repair this.
  _, positive, negative = _case(rng, 'many', *SHAPE)
  dist = (1e-6 * rng.random(SHAPE)).astype(np.float32)
  dist[:, 5] = 1e8
  dist[2] = 1e-30 * rng.random(SHAPE[1])
  for inclusive in (False, True):
    _assert_equals_reference(dist, positive, negative, 0.0, inclusive)
    _assert_equals_reference(dist, positive, negative, 2.5e-7, inclusive)


@pytest.mark.parametrize('transform', on_devices.TRANSFORMS)
@pytest.mark.parametrize('crowded', [0, 5], ids=['all rows', 'one row'])
def test_auto_counts_on_eight_devices(crowded, transform, rng):
  # More positives than the loop takes, on all devices or on one of them, so
  # that devices may choose differently.
  dist, positive, _ = _case(rng, 'many', 16, SHAPE[1])
  if crowded:
    positive &= (np.arange(16) == crowded)[:, None]
    positive[:, 0] = True
  assert positive.sum(1).max() > ranking.LOOP_LIMIT
  got = on_devices.run(
    lambda *rows: ranking.both_counts(*rows, 0.2),
    transform,
    (),
    (dist, positive, ~positive),
    splits_output=True,
  )
  for bound in ('strict', 'inclusive'):
    below, above = reference.cross_counts(
      dist, positive, ~positive, 0.2, bound == 'inclusive'
    )
    np.testing.assert_array_equal(getattr(got, bound), below + above)


def test_the_network_refuses_more_columns_than_it_can_count():
  wide = jax.ShapeDtypeStruct((1, 1 << 16), np.float32)
  mask = jax.ShapeDtypeStruct((1, 1 << 16), bool)

  def count(method):
    return jax.eval_shape(
      lambda *args: ranking.cross_counts(*args, 0.1, method=method),
      wide, mask, mask,
    )  # fmt: skip

  with pytest.raises(ValueError, match=r'65535.*65536'):
    count('network')
  assert count('auto').shape == (1, 1 << 16)


def test_no_dtype_or_rank_is_promoted_in_silence(rng, strict_promotion):
  case = [jnp.asarray(part) for part in _case(rng, 'many', *SHAPE)]
  for method in METHODS:
    got = jax.eval_shape(
      lambda *args, method=method: ranking.both_counts(
        *args, 0.2, method=method
      ),
      *case,
    )
    assert got.strict.dtype == got.inclusive.dtype == jnp.int32
