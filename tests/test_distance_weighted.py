"""Wu's distance-weighted draw against its probabilities in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_mining

from mammojax import losses, mining

SHAPE = (6, 24)
DRAWS = 4000


def _case(rng):
  """Distances over all of [0, 2]; a row without, one with one near negative."""
  dist = rng.uniform(0.05, 1.95, SHAPE).astype(np.float32)
  dist[0, :6] = np.linspace(0.0, 0.5, 6)
  dist[1, 3] = dist[1, 4]
  positive = np.zeros(SHAPE, bool)
  positive[:, [2, 9, 20]] = True
  negative = ~positive & (rng.random(SHAPE) < 0.8)
  dist[4] = np.where(negative[4], 1.4, dist[4])
  negative[5] = False
  negative[5, 11], dist[5, 11] = True, 0.9
  return dist, positive, negative


@functools.cache
def _drawn(dim, cutoff=0.5, nonzero_loss_cutoff=1.4):
  """int32[DRAWS, n, m], one draw a key."""
  case = _case(np.random.default_rng(5))

  def draw(key):
    return mining.distance_weighted(
      *case,
      key,
      dim=dim,
      cutoff=cutoff,
      nonzero_loss_cutoff=nonzero_loss_cutoff,
    )

  keys = jax.random.split(jax.random.key(3), DRAWS)
  return case, np.asarray(jax.jit(jax.vmap(draw))(keys))


@pytest.mark.parametrize(
  'dim, bounds', [(2, ()), (3, ()), (8, ()), (128, ()), (8, (0.8, 1.2))]
)
def test_frequencies_are_those_of_the_formula(dim, bounds):
  (dist, positive, negative), drawn = _drawn(dim, *bounds)
  want = reference_mining.draw_probabilities(dist, negative, dim, *bounds)
  for a in (0, 1, 2, 3, 5):
    # The three positives of an anchor draw on their own.
    for p in np.flatnonzero(positive[a]):
      got = np.bincount(drawn[:, a, p], minlength=SHAPE[1]) / DRAWS
      error = np.sqrt(want[a] * (1 - want[a]) / DRAWS)
      assert (np.abs(got - want[a]) <= 4.5 * error + 2 / DRAWS).all()
      assert not got[want[a] == 0].any()
  # Were the formula flat, the comparison would show little.
  assert want[3].max() > 1.2 * want[3][want[3] > 0].min()


def test_draws_of_one_anchor_are_independent():
  (_, positive, _), drawn = _drawn(3)
  first, second = np.flatnonzero(positive[2])[:2]
  one, other = drawn[:, 2, first], drawn[:, 2, second]
  shares = np.bincount(one, minlength=SHAPE[1]) / DRAWS
  equal = np.sum(shares**2)
  error = np.sqrt(equal * (1 - equal) / DRAWS)
  assert abs(np.mean(one == other) - equal) < 5 * error


@pytest.mark.parametrize('dim', [3, 128])
def test_nothing_is_drawn_at_or_beyond_the_cut_off(dim):
  (dist, positive, negative), drawn = _drawn(dim)
  assert (drawn[:, ~positive] == -1).all()
  assert (drawn[:, 4] == -1).all()
  others = [0, 1, 2, 3, 5]
  for a in others:
    chosen = np.unique(drawn[:, a, positive[a]])
    assert negative[a, chosen].all() and (dist[a, chosen] < 1.4).all()
  assert (drawn[:, 5, positive[5]] == 11).all()


@pytest.mark.parametrize('uniform', [0.0, 1.0, 0.3])
def test_a_draw_at_the_edge_of_a_weight_stays_with_the_drawable(
  uniform, monkeypatch
):
  # Rounding can put a draw at the total itself, or inside a step of a total
  # that no column makes.
  case = dist, positive, negative = _case(np.random.default_rng(5))
  monkeypatch.setattr(
    jax.random, 'uniform', lambda key, shape: jnp.full(shape, uniform)
  )
  got = np.asarray(mining.distance_weighted(*case, jax.random.key(0), dim=3))
  for a in (0, 1, 2, 3, 5):
    for p in np.flatnonzero(positive[a]):
      assert negative[a, got[a, p]] and dist[a, got[a, p]] < 1.4


def test_totals_that_rounding_disorders_draw_no_other_column(monkeypatch):
  # A sum that is not made from left to right may rise by a bit where nothing
  # is added.
  case = dist, positive, negative = _case(np.random.default_rng(5))
  cumsum = jnp.cumsum

  def uneven(x, axis):
    return cumsum(x + 0.05 * (x == 0), axis=axis)

  monkeypatch.setattr(jnp, 'cumsum', uneven)
  for seed in range(20):
    got = mining.distance_weighted(*case, jax.random.key(seed), dim=3)
    got = np.asarray(got)
    for a in (0, 1, 2, 3, 5):
      chosen = got[a, positive[a]]
      assert negative[a, chosen].all() and (dist[a, chosen] < 1.4).all()


def test_a_row_draws_by_its_number_and_the_key_alone():
  case = _case(np.random.default_rng(5))
  key = jax.random.key(8)
  draw = functools.partial(mining.distance_weighted, key=key, dim=3)
  whole = np.asarray(draw(*case))
  rows = jnp.asarray([4, 1, 3], jnp.int32)
  part = draw(*(x[np.asarray(rows)] for x in case), row=rows)
  np.testing.assert_array_equal(part, whole[np.asarray(rows)])
  other = mining.distance_weighted(*case, jax.random.key(9), dim=3)
  assert (np.asarray(other) != whole).any()


def _sphere(rng):
  x = rng.normal(size=(24, 4))
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  return x.astype(np.float32), rng.integers(0, 4, 24).astype(np.int32)


@pytest.mark.parametrize('block', [1, 7, 24])
def test_the_block_size_changes_no_draw(block, rng):
  x, label = _sphere(rng)
  draw = functools.partial(
    losses.distance_weighted_triplet, key=jax.random.key(2), margin=0.3
  )
  want, want_grad = jax.value_and_grad(draw)(x, label)
  got, grad = jax.value_and_grad(functools.partial(draw, block=block))(x, label)
  assert want > 0
  np.testing.assert_allclose(got, want, rtol=1e-6)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-6)


@pytest.mark.parametrize('soft', [False, True], ids=['hinge', 'soft'])
@pytest.mark.parametrize(
  'distance', ['euclidean', 'squared_euclidean', 'cosine']
)
def test_the_loss_equals_the_loop_over_what_was_drawn(distance, soft, rng):
  x, label = _sphere(rng)
  masks = reference.masks(label)
  key = jax.random.key(6)
  sphere = reference.distances(x, x, 'euclidean')
  column = np.asarray(
    mining.distance_weighted(np.float32(sphere), *masks, key, dim=4)
  )
  chosen = [(a, p, column[a, p]) for a, p in np.argwhere(column >= 0)]
  dist = reference.distances(x, x, distance)
  want, weights, num_selected, num_active = reference_mining.triplet_loss(
    dist, chosen, 0.3, soft, 'mean_pairs', masks[0].sum()
  )
  (got, stats), grad = jax.value_and_grad(
    lambda x: losses.distance_weighted_triplet(
      x,
      label,
      key=key,
      margin=0.3,
      soft=soft,
      distance=distance,
      reduction='mean_pairs',
      stats=True,
    ),
    has_aux=True,
  )(x)
  assert want > 0.01
  np.testing.assert_allclose(got, want, rtol=2e-5)
  assert (stats.num_selected, stats.num_active) == (num_selected, num_active)
  want_grad = reference.gradient(x, weights, distance)
  np.testing.assert_allclose(grad, want_grad, rtol=0, atol=1e-5)
