"""Random pairs and triplets: valid, in their layout, of (seed, step) alone."""

import collections

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import tuples

KINDS = {'pairs': tuples.PairBatches, 'triplets': tuples.TripletBatches}


def _labels(counts, rng):
  return rng.permutation(np.repeat(np.arange(len(counts)), counts))


@pytest.fixture
def labels():
  return _labels([1, 2, 3, 40, 1, 7], np.random.default_rng(0))


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request):
  return request.param


def test_even_pairs_are_positive_and_odd_pairs_negative(labels):
  sampler = tuples.PairBatches(labels, batch_size=16, seed=0)
  for step in range(200):
    batch = sampler[step]
    assert batch.shape == (16,) and batch.dtype == np.int64
    same = labels[batch[0::2]] == labels[batch[1::2]]
    assert same.tolist() == [True, False] * 4
    assert (batch[0::2] != batch[1::2]).all()


def test_triplets_are_anchor_positive_negative(labels):
  sampler = tuples.TripletBatches(labels, batch_size=15, seed=0)
  for step in range(200):
    anchor, positive, negative = sampler[step].reshape(5, 3).T
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()
    assert (anchor != positive).all()


def _chi_square(counts, shares):
  expected = np.asarray(shares) * sum(counts)
  return float(np.sum((np.asarray(counts) - expected) ** 2 / expected))


def test_draws_are_even_over_what_may_be_drawn(labels):
  """Chi-squares stay below their mean plus five standard deviations."""
  sampler = tuples.PairBatches(labels, batch_size=400, seed=0)
  rows = np.concatenate([sampler[step] for step in range(50)]).reshape(-1, 4)
  sizes = np.bincount(labels)[labels]
  anchors = np.flatnonzero(sizes > 1)
  for column, allowed in ((0, anchors), (2, np.arange(len(labels)))):
    counts = np.bincount(rows[:, column], minlength=len(labels))
    assert counts.sum() == counts[allowed].sum()
    degrees = len(allowed) - 1
    found = _chi_square(
      counts[allowed], np.full(len(allowed), 1 / len(allowed))
    )
    assert found < degrees + 5 * np.sqrt(2 * degrees)
  # The partners of one anchor, positive and negative.
  anchor = int(np.flatnonzero(labels == 5)[0])
  for first, second, same in ((0, 1, True), (2, 3, False)):
    partners = rows[rows[:, first] == anchor, second]
    allowed = np.flatnonzero((labels == 5) == same)
    allowed = allowed[allowed != anchor]
    counts = collections.Counter(partners.tolist())
    assert set(counts) <= set(allowed.tolist())
    degrees = len(allowed) - 1
    found = _chi_square(
      [counts[i] for i in allowed], np.full(len(allowed), 1 / len(allowed))
    )
    assert found < degrees + 5 * np.sqrt(2 * degrees)


def test_rows_of_one_item_are_no_positive_pair(kind):
  labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
  items = np.array([0, 0, 1, 2, 3, 4, 5, 5])
  sampler = kind(labels, items=items, batch_size=12, seed=0)
  anchors = set()
  for step in range(100):
    batch = sampler[step]
    if kind is tuples.PairBatches:
      first, second = batch[0::4], batch[1::4]
    else:
      first, second = batch[0::3], batch[1::3]
    assert (items[first] != items[second]).all()
    assert (labels[first] == labels[second]).all()
    anchors |= set(first.tolist())
  # Label 2 has one item, so none of its images is an anchor.
  assert anchors == {0, 1, 2, 3, 4, 5}


def test_a_batch_is_a_function_of_seed_and_step(kind, labels):
  one, again = (kind(labels, batch_size=12, seed=3) for _ in range(2))
  wanted = [one[step] for step in range(30)]
  for step in reversed(range(30)):
    np.testing.assert_array_equal(again[step], wanted[step])
  other = kind(labels, batch_size=12, seed=4)
  assert any((other[step] != wanted[step]).any() for step in range(30))
  with pytest.raises(IndexError, match='step is -1'):
    one[-1]


@pytest.mark.parametrize(
  'labels, size, message',
  [
    (
      [0, 0, 1, 1],
      14,
      'sampler.batch_size is 14.*multiple of [34], such as 12',
    ),
    ([0, 0, 1, 1], 0, 'sampler.batch_size is 0.*such as [34]'),
    ([0, 1, 2, 3], 12, 'No label has two images'),
    ([5, 5, 5, 5], 12, 'have one label'),
  ],
  ids=['cut', 'empty', 'no positive', 'no negative'],
)
def test_impossible_batches_are_refused(kind, labels, size, message):
  with pytest.raises(errors.UsageError, match=message):
    kind(np.array(labels), batch_size=size, seed=0)
