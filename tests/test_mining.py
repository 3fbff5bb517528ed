"""Selections, choices, draws and pair filters against loops."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_mining

from mammojax import distances, errors, mining

BATCHES = reference.batches()
SHAPE = (8, 40)
MARGINS = (0.0, 0.25, 0.75)
BETWEEN = ('semihard', 'ties')
every_name = pytest.mark.parametrize('name', reference_mining.SELECTIONS)
# Names that compile alike are tried where there is time.
OFTEN = ('semihard_region', 'semihard', 'batch_easy_positive_semihard')
some_names = pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=() if name in OFTEN else pytest.mark.slow)
    for name in reference_mining.SELECTIONS
  ],
)
_select = functools.partial(jax.jit, static_argnames='name')(mining.select)


def _case(rng, kind='mixed'):
  """Distances and masks; by row from few to many positives."""
  dist = rng.random(SHAPE).astype(np.float32)
  positive = rng.random(SHAPE) < np.linspace(0.05, 0.8, SHAPE[0])[:, None]
  negative = ~positive & (rng.random(SHAPE) < 0.9)
  if kind == 'ties':
    # Multiples of 1/4 meet every bound exactly, and each other.
    dist = (rng.integers(0, 6, SHAPE) / 4).astype(np.float32)
    dist[3] = 0.5
  if kind == 'sparse':
    positive &= np.arange(SHAPE[1]) < 6
    positive[1], negative[2] = False, False
    positive[4], negative[4] = False, False
    positive[5], negative[5] = True, False
    positive[6], negative[6] = False, True
  return dist, positive, negative


def _assert_selects(name, case, margin):
  dist, positive, _ = case
  chosen = reference_mining.triplets(name, *case, margin)
  selected, active = reference_mining.counts(chosen, dist, margin)
  got = _select(name, *case, margin)
  assert got.selected.dtype == got.active.dtype == jnp.int32
  np.testing.assert_array_equal(got.selected, selected)
  np.testing.assert_array_equal(got.active, active)
  weights = mining.pair_weights(got, positive)
  np.testing.assert_array_equal(weights, np.where(positive, active, -active))
  return len(chosen)


@pytest.mark.parametrize('soft', [False, True], ids=['hinge', 'soft'])
@every_name
def test_gradients_of_the_loops_are_those_of_their_values(name, soft):
  rng = np.random.default_rng(7)
  x, label = rng.normal(size=(9, 3)), np.array([0, 0, 0, 1, 1, 2, 2, 2, 3])
  masks = reference.masks(label)

  def loss(x):
    dist = reference.distances(x, x, 'euclidean')
    chosen = reference_mining.triplets(name, dist, *masks, 0.4)
    return reference_mining.triplet_loss(dist, chosen, 0.4, soft)

  weights = loss(x)[1]
  assert weights.any()
  np.testing.assert_allclose(
    reference.gradient(x, weights, 'euclidean'),
    reference.central_differences(lambda x: loss(x)[0], x),
    rtol=1e-5,
    atol=1e-8,
  )


def test_every_selection_has_a_loop():
  assert set(mining.SELECTIONS) == set(reference_mining.SELECTIONS)


@every_name
def test_select_equals_the_loop(name, rng):
  for kind in ('mixed', 'sparse', 'ties'):
    case = _case(rng, kind)
    found = [_assert_selects(name, case, margin) for margin in MARGINS]
    # Ranges that end at the margin are empty where it is 0.
    assert (found[0] > 0) == (name not in ('semihard', 'semihard_region'))
    # Nothing lies strictly between multiples of the margin.
    assert found[2] > 0 and (found[1] > 0 or (name, kind) == BETWEEN)


@every_name
def test_equal_distances_fall_where_the_definition_says(name, rng):
  _, positive, negative = _case(rng)
  dist = np.full(SHAPE, 0.5, np.float32)
  for margin in (0.0, 0.25):
    found = _assert_selects(name, (dist, positive, negative), margin)
    in_order = (
      'semihard', 'semihard_region', 'batch_easy_positive_semihard'
    )  # fmt: skip
    assert (found == 0) == (name in in_order)


@some_names
def test_select_on_batches_as_they_occur(name):
  # The masks of labels, items and padding, and the distances of embeddings.
  for batch in BATCHES.values():
    masks = reference.masks(
      batch['label'], item=batch['item'], valid=batch['valid']
    )
    dist = np.asarray(distances.pairwise(batch['x'], batch['x']))
    _assert_selects(name, (dist, *masks), 0.2)


@pytest.mark.parametrize('name', reference_mining.PAIR_CHOICES)
def test_chosen_columns_of_pairs_equal_the_loop(name, rng):
  for kind in ('mixed', 'sparse', 'ties'):
    case = _case(rng, kind)
    for margin in (0.25, 0.5):
      more = (margin,) if name == 'semihard' else ()
      got = getattr(mining, name)(*case, *more)
      chosen = reference_mining.triplets(name, *case, margin)
      assert got.dtype == jnp.int32
      np.testing.assert_array_equal(
        got, reference_mining.columns(chosen, SHAPE), err_msg=kind
      )


@pytest.mark.parametrize('name', reference_mining.ANCHOR_CHOICES)
def test_chosen_columns_of_anchors_equal_the_loop(name, rng):
  for kind in ('mixed', 'sparse', 'ties'):
    case = _case(rng, kind)
    got = getattr(mining, name)(*case)
    want = np.full((2, SHAPE[0]), -1)
    for a, p, n in reference_mining.triplets(name, *case, 0.0):
      want[:, a] = p, n
    np.testing.assert_array_equal(got.positive, want[0], err_msg=kind)
    np.testing.assert_array_equal(got.negative, want[1], err_msg=kind)


@some_names
def test_selections_map_over_a_leading_axis(name, rng):
  cases = [_case(rng, kind) for kind in ('mixed', 'sparse')]
  stacked = [np.stack(part) for part in zip(*cases, strict=True)]
  margins = np.float32([0.2, 0.4])
  got = jax.jit(jax.vmap(functools.partial(mining.select, name)))(
    *stacked, margins
  )
  for k, case in enumerate(cases):
    want = _select(name, *case, margins[k])
    np.testing.assert_array_equal(got.selected[k], want.selected)
    np.testing.assert_array_equal(got.active[k], want.active)


@every_name
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  case = [jnp.asarray(part) for part in _case(np.random.default_rng(0))]
  got = jax.eval_shape(functools.partial(mining.select, name), *case, 0.2)
  assert got.selected.shape == SHAPE and got.active.dtype == jnp.int32


def test_an_unknown_selection_is_answered_with_the_nearest(rng):
  with pytest.raises(errors.UsageError, match="'semihard'"):
    mining.select('seminard', *_case(rng), 0.2)
  with pytest.raises(ValueError, match="'batch_hard'"):
    mining.check_name('batchhard')


@pytest.mark.parametrize('kind', ['mixed', 'sparse', 'ties'])
def test_pair_margin_equals_the_loop(kind, rng):
  case = _case(rng, kind)
  for margins in ((0.0, 1.0), (0.5, 0.5), (0.75, 0.25)):
    got = mining.pair_margin(*case, *margins)
    want = reference_mining.pair_margin(*case, *margins)
    np.testing.assert_array_equal(got.positive, want[0])
    np.testing.assert_array_equal(got.negative, want[1])


@pytest.mark.parametrize('kind', ['mixed', 'sparse', 'ties'])
def test_multi_similarity_equals_the_loop(kind, rng):
  case = _case(rng, kind)
  kept = []
  # Below 0 the bounds of a row need not meet.
  for epsilon in (0.0, 0.25, -0.5):
    got = mining.multi_similarity(*case, epsilon)
    want = reference_mining.multi_similarity(*case, epsilon)
    np.testing.assert_array_equal(got.positive, want[0])
    np.testing.assert_array_equal(got.negative, want[1])
    kept.append(want[0].sum())
  assert kept[1] >= kept[0] > kept[2]
