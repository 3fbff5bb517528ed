"""Distances against their definitions, one pair at a time in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import distances, errors


def _vectors(rng, n=7, m=5, d=9):
  # Shifted and scaled, so that nothing is normalised or centred by chance.
  x = 1.7 * rng.normal(size=(n, d)) + 0.3
  y = 0.8 * rng.normal(size=(m, d)) - 0.2
  return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize('jitted', [False, True], ids=['eager', 'jitted'])
@pytest.mark.parametrize('name', reference.DISTANCES)
def test_pairwise_equals_the_loop(name, jitted, rng, strict_promotion):
  x, y = _vectors(rng)

  def function(x, y):
    return distances.pairwise(x, y, name)

  got = (jax.jit(function) if jitted else function)(x, y)
  assert got.shape == (7, 5) and got.dtype == jnp.float32
  np.testing.assert_allclose(got, reference.distances(x, y, name), rtol=2e-5)


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_gradients_by_both_arguments_equal_the_hand_derivation(name, rng):
  x, y = _vectors(rng)
  weights = rng.normal(size=(7, 5))

  def function(x, y):
    return jnp.sum(
      jnp.asarray(weights, jnp.float32) * distances.pairwise(x, y, name)
    )

  got = jax.grad(function, argnums=(0, 1))(x, y)
  want = reference.pull_back(x, y, weights, name)
  for one, other in zip(got, want, strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_columns_have_the_distances_and_gradients_of_rows(name, rng):
  x, y = _vectors(rng)
  weights = rng.normal(size=(7, 5)).astype(np.float32)

  def function(x, y):
    x, y = distances.prepare(x, name), distances.prepare(y, name)
    dist = distances.between_columns(x, x.T, y.T, name)
    return jnp.sum(weights * dist), dist

  got, dist = jax.jit(jax.grad(function, argnums=(0, 1), has_aux=True))(x, y)
  np.testing.assert_allclose(dist, reference.distances(x, y, name), rtol=2e-5)
  want = reference.pull_back(x, y, weights.astype(np.float64), name)
  for one, other in zip(got, want, strict=True):
    np.testing.assert_allclose(one, other, atol=2e-5 * np.abs(other).max())


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_reference_derivatives_are_those_of_the_reference_values(name, rng):
  x, y = _vectors(rng, 3, 4, 5)
  weights = rng.normal(size=(3, 4))
  by_x, by_y = reference.pull_back(x, y, weights, name)
  np.testing.assert_allclose(
    by_x,
    reference.central_differences(
      lambda x: np.sum(weights * reference.distances(x, y, name)), x
    ),
    rtol=1e-6,
    atol=1e-7,
  )
  np.testing.assert_allclose(
    by_y,
    reference.central_differences(
      lambda y: np.sum(weights * reference.distances(x, y, name)), y
    ),
    rtol=1e-6,
    atol=1e-7,
  )


def test_pairwise_is_cosine_when_no_name_is_given(rng):
  x, y = _vectors(rng)
  np.testing.assert_allclose(
    distances.pairwise(x, y), reference.distances(x, y), rtol=2e-5
  )


def test_cosine_ignores_length_and_the_others_do_not(rng):
  x, y = _vectors(rng)
  for name in reference.DISTANCES:
    before = np.asarray(distances.pairwise(x, y, name))
    after = np.asarray(distances.pairwise(4.0 * x, y, name))
    assert np.allclose(before, after, atol=1e-6) == (name == 'cosine'), name


def test_snr_is_measured_against_the_anchor():
  # var(x) = 1, var(x - y) = 4 for the pair below; the other way 9.
  x = np.array([[1.0, -1.0, 1.0, -1.0]], np.float32)
  y = np.array([[3.0, -3.0, 3.0, -3.0]], np.float32)
  np.testing.assert_allclose(distances.pairwise(x, y, 'snr'), [[4.0]])
  np.testing.assert_allclose(
    distances.pairwise(y, x, 'snr'), [[4.0 / 9.0]], rtol=1e-6
  )


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_gradients_are_finite_for_duplicates_and_zero_vectors(name, rng):
  x, _ = _vectors(rng)
  x[3] = x[1]
  x[4:6] = 0.0

  def function(x):
    return jnp.sum(distances.pairwise(x, x, name) ** 2)

  assert np.isfinite(distances.pairwise(x, x, name)).all()
  assert np.isfinite(jax.grad(function)(x)).all()

  def plain(x):
    return jnp.sum(distances.pairwise(x, x, name))

  assert np.isfinite(jax.jit(jax.grad(plain))(x)).all()


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_equal_vectors_pull_nowhere(name):
  # Every distance has its minimum here, so no direction may be preferred:
  # a collapsed batch would drift along it.
  x = np.array([[0.5, -1.0, 2.0, 0.0]], np.float32)

  def function(x, y):
    return jnp.sum(distances.pairwise(x, y, name))

  for grad in jax.grad(function, (0, 1))(x, x):
    np.testing.assert_allclose(grad, np.zeros_like(x), atol=1e-6)


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_masked_pairs_at_zero_distance_leave_no_nan(name):
  # 0 * inf is the trap: a root whose pair is masked away afterwards.
  x = np.ones((4, 3), np.float32)
  x[3] = 0.0
  keep = ~np.eye(4, dtype=bool)

  def function(x):
    return jnp.sum(jnp.where(keep, distances.pairwise(x, x, name), 0.0))

  assert np.isfinite(jax.grad(function)(x)).all()


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_distances_are_never_negative_beyond_rounding(name, rng):
  x = np.repeat(50.0 + rng.normal(size=(3, 16)), 3, axis=0)
  x = x.astype(np.float32)
  got = np.asarray(distances.pairwise(x, x, name))
  assert got.min() >= (-1e-6 if name == 'cosine' else 0.0)


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_bfloat16_is_accumulated_in_float32(name, rng):
  x, y = (jnp.asarray(v, jnp.bfloat16) for v in _vectors(rng, d=64))
  got = distances.pairwise(x, y, name)
  assert got.dtype == jnp.float32
  want = reference.distances(np.asarray(x, 'f4'), np.asarray(y, 'f4'), name)
  np.testing.assert_allclose(got, want, rtol=1e-4)


def test_pairwise_maps_over_a_leading_axis(rng):
  x = rng.normal(size=(3, 4, 5)).astype(np.float32)
  got = jax.vmap(lambda v: distances.pairwise(v, v, 'manhattan'))(x)
  want = np.stack([reference.distances(v, v, 'manhattan') for v in x])
  np.testing.assert_allclose(got, want, rtol=1e-5)


def test_an_unknown_name_is_answered_with_the_nearest(rng):
  x, y = _vectors(rng)
  with pytest.raises(errors.UsageError, match='euclidean') as caught:
    distances.pairwise(x, y, 'euclidian')
  assert isinstance(caught.value, ValueError)
  for name in reference.DISTANCES:
    assert name in str(caught.value)


@pytest.mark.parametrize(
  'x_shape, y_shape',
  [((4,), (4, 3)), ((4, 3), (3,)), ((4, 3), (5, 2)), ((2, 4, 3), (5, 3))],
  ids=['vector', 'gallery vector', 'widths', 'cube'],
)
def test_wrong_shapes_are_refused_with_what_was_got(x_shape, y_shape):
  x, y = np.ones(x_shape, np.float32), np.ones(y_shape, np.float32)
  with pytest.raises(ValueError, match=r'\d'):
    distances.pairwise(x, y)


@pytest.mark.parametrize('dtype', [np.int32, np.uint8, bool])
def test_embeddings_that_are_no_floats_are_refused(dtype):
  good, bad = np.ones((3, 2), np.float32), np.ones((3, 2), dtype)
  with pytest.raises(TypeError, match=np.dtype(dtype).name):
    distances.pairwise(bad, good)
  with pytest.raises(TypeError, match=np.dtype(dtype).name):
    distances.pairwise(good, bad)


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_paired_equals_the_loop_and_its_derivative(name, rng, strict_promotion):
  x, y = _vectors(rng, 6, 6)
  got = jax.jit(lambda x, y: distances.paired(x, y, name))(x, y)
  assert got.shape == (6,) and got.dtype == jnp.float32
  want = np.diagonal(reference.distances(x, y, name))
  np.testing.assert_allclose(got, want, rtol=2e-5)
  weights = rng.normal(size=6)
  grads = jax.grad(
    lambda x, y: jnp.vdot(
      jnp.asarray(weights, jnp.float32), distances.paired(x, y, name)
    ),
    (0, 1),
  )(x, y)
  wants = reference.pull_back(x, y, np.diag(weights), name)
  for grad, want in zip(grads, wants, strict=True):
    np.testing.assert_allclose(grad, want, atol=2e-5 * np.abs(want).max())


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_paired_keeps_close_pairs_that_pairwise_loses(name):
  # Entries of one binade, about 1e-6 apart in a few coordinates.
  x = np.random.default_rng(3).uniform(1.0, 1.9, (4, 8)).astype(np.float32)
  y = x.copy()
  y[:, 2:5] += np.float32([[1e-6, -2e-6, 1e-6]])
  want = np.diagonal(reference.distances(x, y, name))
  if name == 'cosine':
    # Unit rows are rounded to 1e-7 themselves.
    np.testing.assert_allclose(distances.paired(x, y), want, atol=5e-13)
  else:
    np.testing.assert_allclose(distances.paired(x, y, name), want, rtol=0.2)
  if name in ('euclidean', 'squared_euclidean'):
    np.testing.assert_allclose(distances.paired(x, y, name), want, rtol=1e-5)
    assert not np.diagonal(distances.pairwise(x, y, name)).any()


@pytest.mark.parametrize('name', reference.DISTANCES)
def test_paired_is_finite_and_level_for_equal_and_zero_rows(name, rng):
  x, _ = _vectors(rng, 4)
  y = x.copy()
  x[2], y[3] = 0.0, 0.0
  x[3] = 0.0
  value, grads = jax.value_and_grad(
    lambda x, y: jnp.sum(distances.paired(x, y, name)), (0, 1)
  )(x, y)
  assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)
  for grad in grads:
    np.testing.assert_allclose(np.delete(grad, 2, 0), 0.0, atol=1e-6)
  want = distances.pairwise(x, y, name)[3, 3]
  np.testing.assert_array_equal(distances.paired(x, y, name)[3], want)


@pytest.mark.parametrize('shapes', [((4, 3), (5, 3)), ((4, 3), (4, 2))])
def test_paired_refuses_rows_that_do_not_pair(shapes):
  x, y = (np.ones(shape, np.float32) for shape in shapes)
  with pytest.raises(ValueError, match=r'\(4, 3\)'):
    distances.paired(x, y)
  with pytest.raises(ValueError, match=r'\(3,\)'):
    distances.paired(x[0], x[0])
  with pytest.raises(errors.UsageError, match='euclidean'):
    distances.paired(x, x, 'euclidian')
  with pytest.raises(errors.UsageError, match='manhattan'):
    distances.paired_between(x, x, 'manhatan')
