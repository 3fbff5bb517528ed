"""The sorting network against numpy's stable sort, which shares nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import sorting

COLUMNS = 6
_order = jax.jit(sorting.order)


@pytest.fixture(autouse=True)
def strict(strict_promotion):
  """No dtype or rank is promoted in silence anywhere in this file."""


def _keys(kind, rng, num_rows):
  """float32[num_rows, COLUMNS] of the named kind."""
  shape = (num_rows, COLUMNS)
  key = rng.random(shape).astype(np.float32)
  if kind == 'ties':
    return np.round(4 * key) / 4
  if kind == 'equal':
    return np.full(shape, 0.25, np.float32)
  if kind == 'infinite':
    return np.where(key < 0.4, np.float32(np.inf), key)
  if kind == 'all infinite':
    return np.full(shape, np.inf, np.float32)
  if kind == 'both infinities':
    return np.where(key < 0.2, np.float32(-np.inf), 2 * key - 1)
  if kind == 'negative':
    return rng.normal(size=shape).astype(np.float32)
  if kind == 'zeros':
    return rng.choice(np.float32([0.0, -0.0, 1.0, -1.0]), shape)
  if kind == 'dense':
    return (1 + 1e-6 * key).astype(np.float32)
  if kind == 'clump':
    key = (1e-7 * key).astype(np.float32)
    key[num_rows // 3] = 1e6
    return key
  if kind == 'subnormal spread':
    # Normal numbers whose differences are not.
    return (np.float32(1.2e-38) * (1 + key)).astype(np.float32)
  if kind == 'whole range':
    return (3.4e38 * (2 * key - 1)).astype(np.float32)
  assert kind == 'random'
  return key


KINDS = (
  'random', 'ties', 'equal', 'infinite', 'all infinite', 'both infinities',
  'negative', 'zeros', 'dense', 'clump', 'subnormal spread', 'whole range',
)  # fmt: skip


def _want(key, is_second):
  """lexsort: by key, then second rows last, then as they stood."""
  rows = np.arange(len(key))
  by_column = [
    np.lexsort((rows, is_second[:, j], key[:, j])) for j in range(key.shape[1])
  ]
  return np.stack(by_column, axis=1)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('num_rows', [1, 2, 4, 8, 64, 256])
def test_order_equals_the_stable_sort(num_rows, kind, rng):
  key = _keys(kind, rng, num_rows)
  is_second = rng.random(key.shape) < 0.5
  got = _order(key, is_second)
  assert got.dtype == jnp.int32
  np.testing.assert_array_equal(got, _want(key, is_second))


@pytest.mark.parametrize('kind', ['equal', 'all infinite', 'whole range'])
def test_rounding_makes_no_nan_and_keeps_the_order(kind, rng):
  key = _keys(kind, rng, 8)
  with jax.debug_nans(True):
    rounded = np.asarray(sorting._round(jnp.asarray(key), 20), np.int64)
  assert rounded.max() < 2**20
  ordered = np.take_along_axis(rounded, np.argsort(key, axis=0), axis=0)
  assert (np.diff(ordered, axis=0) >= 0).all()


def _backwards(num_rows):
  """Columns that rounding cannot tell apart, from largest to smallest."""
  key = 1e-7 * np.arange(num_rows, 0, -1, dtype=np.float32)
  key[0] = 1e6
  return np.repeat(key[:, None], COLUMNS, axis=1)


def _without_fallback(monkeypatch):
  """Replaces the compiler's sort by one that leaves everything in place."""
  monkeypatch.setattr(jax.lax, 'sort', lambda operands, **_: operands)


@pytest.mark.parametrize('num_rows, is_exchanged', [(8, True), (32, False)])
def test_few_exchanges_suffice_or_the_compiler_sorts(
  num_rows, is_exchanged, monkeypatch
):
  key = _backwards(num_rows)
  is_second = np.zeros(key.shape, bool)
  want = _want(key, is_second)
  np.testing.assert_array_equal(_order(key, is_second), want)
  _without_fallback(monkeypatch)
  got = np.asarray(jax.jit(lambda *args: sorting.order(*args))(key, is_second))
  assert (got == want).all() == is_exchanged


def test_without_patience_every_disorder_goes_to_the_compiler(monkeypatch):
  key = _backwards(8)
  is_second = np.zeros(key.shape, bool)
  want = _want(key, is_second)
  monkeypatch.setattr(sorting, 'PATIENCE', 0)
  got = jax.jit(lambda *args: sorting.order(*args))(key, is_second)
  np.testing.assert_array_equal(got, want)
  _without_fallback(monkeypatch)
  got = jax.jit(lambda *args: sorting.order(*args))(key, is_second)
  assert (np.asarray(got) != want).any()


def test_put_back_is_the_inverse_of_take(rng):
  x = rng.normal(size=(8, COLUMNS)).astype(np.float32)
  rows = rng.permuted(np.tile(np.arange(8), (COLUMNS, 1)), axis=1).T
  rows = jnp.asarray(rows, jnp.int32)
  taken = sorting.take(jnp.asarray(x), rows)
  np.testing.assert_array_equal(taken, np.take_along_axis(x, rows, axis=0))
  np.testing.assert_array_equal(sorting.put_back(taken, rows), x)
  back = sorting.take(sorting.put_back(jnp.asarray(x), rows), rows)
  np.testing.assert_array_equal(back, x)


@pytest.mark.parametrize(
  'num_rows', [1, sorting.LANES, sorting.LANES + 5, 2 * sorting.LANES]
)
def test_by_columns_treats_each_row_alone(num_rows, rng):
  x = rng.normal(size=(num_rows, 3)).astype(np.float32)
  keep = rng.random((num_rows, 3)) < 0.5

  def column_fn(x, keep):
    assert x.shape == keep.shape == (3, sorting.LANES)
    return {'sum': jnp.cumsum(x, axis=0), 'kept': jnp.where(keep, x, 0)}

  got = jax.jit(lambda *arrays: sorting.by_columns(column_fn, *arrays))(x, keep)
  np.testing.assert_allclose(got['sum'], np.cumsum(x, axis=1), rtol=1e-5)
  np.testing.assert_array_equal(got['kept'], np.where(keep, x, 0))


@pytest.mark.parametrize(
  'num_rows, want', [(0, 1), (1, 1), (2, 2), (3, 4), (64, 64), (65, 128)]
)
def test_power_of_two(num_rows, want):
  assert sorting.power_of_two(num_rows) == want


def test_pad_rows():
  got = sorting.pad_rows(jnp.ones((2, 3), jnp.float32), 4, jnp.inf)
  np.testing.assert_array_equal(got, [[1] * 3] * 2 + [[np.inf] * 3] * 2)
