"""Quantiles against numpy's over an explicit list of all triplets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import on_devices
import pytest
import reference

from mammojax import errors, orderstats, quantiles, relations

BATCHES = reference.batches()
SHARES = {'q1': (0.25, 0.75), 'q2': (0.5, 0.5)}
BIN = 4 / 4096
FORMS = ('paper', 'code')


@functools.cache
def exact(mode, form, distance='cosine'):
  return jax.jit(
    functools.partial(
      quantiles.of_batch, mode=mode, form=form, distance=distance
    )
  )


@functools.cache
def counted(form):
  return jax.jit(functools.partial(quantiles.histogram_of_batch, form=form))


def relation_of(batch):
  return relations.Relation(
    jnp.asarray(batch['label']),
    item=jnp.asarray(batch['item']),
    valid=jnp.asarray(batch['valid']),
  )


def listed(batch, form, distance='cosine'):
  """Every gap and every phi_an, one by one."""
  masks = reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )
  dist = reference.distances(batch['x'], batch['x'], distance)
  return _lists(dist, masks, form)


def _lists(dist, masks, form):
  triplets = list(reference.triplets(*masks))
  gaps = [dist[a, n] - dist[a, p] for a, p, n in triplets]
  if form == 'paper':
    return gaps, [1.0 - dist[a, n] for a, p, n in triplets]
  return gaps, [1.0 - dist[pair] for pair in reference.negative_pairs(*masks)]


def check(found, lists, mode, tolerance):
  assert (found.num_triplets, found.num_an) == tuple(map(len, lists))
  for got, values, share in zip(found, lists, SHARES[mode], strict=False):
    want = np.quantile(values, share) if values else 0.0
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('mode', SHARES)
def test_quantiles_of_a_batch_are_exact(mode, form):
  for batch in BATCHES.values():
    found = exact(mode, form)(batch['x'], relation_of(batch))
    check(found, listed(batch, form), mode, 5e-7)


@pytest.mark.parametrize('form', FORMS)
def test_quantiles_of_a_histogram_are_right_to_one_bin(form):
  for batch in BATCHES.values():
    counts = counted(form)(batch['x'], relation_of(batch))
    for mode in SHARES:
      found = quantiles.of_histograms(counts, mode=mode, form=form)
      check(found, listed(batch, form), mode, BIN)


@pytest.mark.parametrize('form', FORMS)
def test_an_epoch_is_all_its_triplets(form):
  seen, lists = quantiles.empty(), ([], [])
  for batch in BATCHES.values():
    counts = counted(form)(batch['x'], relation_of(batch))
    seen = quantiles.merge(seen, counts)
    for values, more in zip(lists, listed(batch, form), strict=True):
      values.extend(more)
  for mode in SHARES:
    found = quantiles.of_histograms(seen, mode=mode, form=form)
    check(found, lists, mode, BIN)


def test_eager_and_other_distances():
  batch = BATCHES['duplicated']
  found = quantiles.of_batch(batch['x'], relation_of(batch))
  check(found, listed(batch, 'paper'), 'q1', 5e-7)
  for scale in (1e-4, 1e4):
    scaled = {**batch, 'x': np.float32(scale) * batch['x']}
    found = exact('q1', 'paper', 'euclidean')(scaled['x'], relation_of(scaled))
    lists = listed(scaled, 'paper', 'euclidean')
    check(found, lists, 'q1', 1e-6 * max(1.0, np.abs(lists).max()))


def test_a_collapsed_batch_has_gap_zero(rng):
  x = np.repeat(rng.normal(size=(1, 6)), 20, axis=0).astype(np.float32)
  relation = relation_of(BATCHES['random'])
  found = exact('q2', 'paper')(x, relation)
  np.testing.assert_allclose(found.gap, 0.0, atol=1e-6)
  np.testing.assert_allclose(found.an, 1.0, atol=1e-6)


def test_an_explicit_gallery(rng):
  batch, other = BATCHES['random'], BATCHES['unbalanced']
  x = rng.normal(size=(20, 6)).astype(np.float32)
  gallery = (x, relation_of({**other, 'item': other['item'] + 7}))
  masks = reference.masks(
    batch['label'],
    other['label'],
    batch['item'],
    other['item'] + 7,
    batch['valid'],
    other['valid'],
  )
  dist = reference.distances(batch['x'], x)
  lists = _lists(dist, masks, 'paper')
  found = quantiles.of_batch(batch['x'], relation_of(batch), gallery=gallery)
  check(found, lists, 'q1', 5e-7)
  # Rows of a gallery are no anchors: every ordered pair is one of its own.
  pairs = {(a, n) for a, _, n in reference.triplets(*masks)}
  counts = quantiles.histogram_of_batch(
    batch['x'], relation_of(batch), gallery=gallery, form='code'
  )
  lists = lists[0], [1.0 - dist[pair] for pair in pairs]
  found = quantiles.of_histograms(counts, form='code')
  check(found, lists, 'q1', BIN)


def test_eight_devices_count_the_same(rng):
  # Unequal counts: five labels crowd the first devices.
  label = [0] * 9 + [1] * 4 + [2] * 3 + list(range(10, 26))
  relation = relations.Relation(
    jnp.asarray(label, jnp.int32), valid=jnp.arange(32) != 11
  )
  x = rng.normal(size=(32, 5)).astype(np.float32)

  def both(x, relation, axis_name=None):
    options = {'form': 'code', 'axis_name': axis_name}
    return (
      quantiles.of_batch(x, relation, **options),
      quantiles.histogram_of_batch(x, relation, **options),
    )

  sharded = functools.partial(both, axis_name=on_devices.AXIS)
  found, counts = on_devices.run(sharded, 'shard_map', (), (x, relation))
  want, want_counts = jax.jit(both)(x, relation)
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=2e-7)
  assert want.num_triplets > 0
  for one, other in zip(counts, want_counts, strict=True):
    moved = np.abs(orderstats.as_float(one) - orderstats.as_float(other))
    # A value at the edge of a bin may fall on either side.
    assert moved.sum() <= 4


def test_no_gradient_flows():
  batch = BATCHES['random']

  def both(x):
    found = quantiles.of_batch(x, relation_of(batch))
    counts = quantiles.histogram_of_batch(x, relation_of(batch))
    return found.gap + found.an + quantiles.of_histograms(counts).gap

  assert not np.any(jax.jit(jax.grad(both))(batch['x']))


def words(number):
  return jnp.asarray([number >> 16, number & 0xFFFF], jnp.int32)


@pytest.mark.parametrize('level', [1, 2, 3])
@pytest.mark.parametrize(
  'total', [1, 2, 3, 4, 5, 2**31 + 1, 2**36 + 3, 2**44 + 2]
)
def test_ranks_are_exact_beyond_int32(total, level):
  # Values 0, 1, 2, 3, each a quarter of all; the first ones get what is left.
  size = -(-total // 4)
  edges = [min(size * (k + 1), total) for k in range(4)]
  values = np.arange(4, dtype=np.float32)

  def count(bound):
    upto = jnp.zeros(2, jnp.int32)
    for value, edge in zip(values, edges, strict=True):
      upto = jnp.where(bound >= value, words(edge), upto)
    above = jnp.min(jnp.where(values > bound, values, jnp.inf))
    return upto, above

  def at(index):
    return next(
      v for v, edge in zip(values, edges, strict=True) if index < edge
    )

  index, rest = divmod(level * (total - 1), 4)
  want = at(index) + rest / 4 * (at(min(index + 1, total - 1)) - at(index))
  assert float(orderstats.quantile(count, words(total), level)) == want


def test_counts_of_rows_add_up_beyond_int32():
  rows = np.array([2**30, 5, 2**30 + 77, 2**31 - 1, 0], np.int64)
  got = orderstats.wide(jnp.asarray(rows, jnp.int32))
  assert (int(got[0]) << 16) + int(got[1]) == rows.sum()
  one = quantiles.Histograms(*(jnp.full((2, 4096), 65535, jnp.int32),) * 2)
  for leaf in quantiles.merge(one, one):
    total = (np.asarray(leaf[0], np.int64) << 16) + np.asarray(leaf[1])
    assert np.all(total == 2 * (65535 * 65536 + 65535))


def test_weights_of_a_bin_add_up_beyond_int32():
  bins = jnp.zeros(70_000, jnp.int32).at[-1].set(4095)
  counts = orderstats.histogram(bins, jnp.full(70_000, 60_001, jnp.int32))
  total = (np.asarray(counts[0], np.int64) << 16) + np.asarray(counts[1])
  assert total[0] == 69_999 * 60_001 and total[4095] == 60_001
  assert total.sum() == 70_000 * 60_001


def test_bins_are_equal_on_minus_two_to_two_and_the_ends_take_the_rest():
  values = np.array([-9.0, -2.0, -BIN / 2, 0.0, BIN, 1.999, 2.0, 7.0])
  got = orderstats.bin_of(jnp.asarray(values, jnp.float32))
  want = [0, 0, 2047, 2048, 2049, int(3.999 * 1024), 4095, 4095]
  np.testing.assert_array_equal(got, want)


def test_unknown_names_are_answered_with_the_nearest():
  batch = BATCHES['random']
  with pytest.raises(errors.UsageError, match="Did you mean 'q2'"):
    quantiles.of_batch(batch['x'], relation_of(batch), mode='q3')
  with pytest.raises(errors.UsageError, match="'paper'"):
    quantiles.of_batch(batch['x'], relation_of(batch), form='papr')
  with pytest.raises(errors.UsageError, match="'code'"):
    quantiles.of_histograms(quantiles.empty(), form='cod')
