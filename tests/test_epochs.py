"""Shuffled, balanced and resampled epochs, counted image by image."""

import collections
import threading

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import epochs

COUNTS = (30, 7, 12)


@pytest.fixture
def labels():
  order = np.random.default_rng(0).permutation(sum(COUNTS))
  return np.repeat([5, 6, 9], COUNTS)[order]


def _stream(sampler, length):
  """The first images of the sequence that batches are cut from."""
  steps = -(-length // sampler.batch_size)
  return np.concatenate([sampler[step] for step in range(steps)])[:length]


@pytest.mark.parametrize('batch_size', [1, 8, 49, 60, 200])
def test_shuffle_covers_every_image_once_an_epoch(batch_size):
  sampler = epochs.ShuffledBatches(49, batch_size=batch_size, seed=0)
  assert sampler.epoch_size == 49
  found = _stream(sampler, 49 * 9).reshape(9, 49)
  np.testing.assert_array_equal(np.sort(found), np.tile(np.arange(49), (9, 1)))
  assert len(np.unique(found, axis=0)) == 9


@pytest.mark.parametrize('how', ['oversample', 'undersample'])
def test_resampled_epochs_have_as_many_of_every_label(labels, how):
  sampler = epochs.ResampledBatches(labels, how=how, batch_size=8, seed=0)
  share = {'oversample': 30, 'undersample': 7}[how]
  assert sampler.epoch_size == 3 * share
  num_epochs = 40
  found = _stream(sampler, num_epochs * 3 * share)
  for epoch in found.reshape(num_epochs, -1):
    counts = collections.Counter(labels[epoch].tolist())
    assert counts == {5: share, 6: share, 9: share}
  # Over all, images of one label are used alike.
  uses = np.bincount(found, minlength=len(labels))
  for label in (5, 6, 9):
    own = uses[labels == label]
    assert own.max() - own.min() <= 1 and own.min() > 0


def test_oversampling_uses_the_largest_label_once_an_epoch(labels):
  sampler = epochs.ResampledBatches(
    labels, how='oversample', batch_size=8, seed=0
  )
  for epoch in _stream(sampler, 90 * 5).reshape(5, 90):
    uses = np.bincount(epoch, minlength=len(labels))
    assert (uses[labels == 5] == 1).all()


def test_the_order_within_a_resampled_epoch_is_random(labels):
  """Labels of neighbours agree as often as chance has it, 29 of 89."""
  sampler = epochs.ResampledBatches(
    labels, how='oversample', batch_size=90, seed=0
  )
  drawn = labels[_stream(sampler, 90 * 100)]
  agree = np.mean(drawn[1:] == drawn[:-1])
  assert abs(agree - 29 / 89) < 5 * np.sqrt(29 / 89 * 60 / 89 / 9000)


@pytest.mark.parametrize('batch_size', [3, 8, 9, 64])
def test_balanced_batches_hold_every_label_alike(labels, batch_size):
  sampler = epochs.BalancedBatches(labels, batch_size=batch_size, seed=0)
  total = collections.Counter()
  for step in range(90):
    batch = sampler[step]
    assert batch.shape == (batch_size,) and batch.dtype == np.int64
    counts = collections.Counter(labels[batch].tolist())
    assert max(counts.values()) - min(counts.values()) <= (batch_size % 3 > 0)
    total += counts
    assert max(total.values()) - min(total.values()) <= 1
  uses = np.bincount(_stream(sampler, 90 * batch_size), minlength=len(labels))
  for label in (5, 6, 9):
    own = uses[labels == label]
    assert own.max() - own.min() <= 1


def _make(name, labels, seed=0):
  if name == 'shuffle':
    return epochs.ShuffledBatches(len(labels), batch_size=8, seed=seed)
  if name == 'balanced':
    return epochs.BalancedBatches(labels, batch_size=8, seed=seed)
  return epochs.ResampledBatches(labels, how=name, batch_size=8, seed=seed)


@pytest.mark.parametrize(
  'name', ['shuffle', 'balanced', 'oversample', 'undersample']
)
def test_a_batch_is_a_function_of_seed_and_step(labels, name):
  one, again = _make(name, labels), _make(name, labels)
  wanted = [one[step] for step in range(60)]
  wrong = []

  def work(offset):
    for turn in range(60):
      step = (turn * 7 + offset) % 60
      if not np.array_equal(again[step], wanted[step]):
        wrong.append(step)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong
  other = _make(name, labels, seed=1)
  assert any((other[step] != wanted[step]).any() for step in range(60))
  with pytest.raises(IndexError, match='step is -1'):
    one[-1]


def test_batches_that_cannot_be_made_are_refused(labels):
  with pytest.raises(
    errors.UsageError, match=r'batch_size is 2.*have 3 labels'
  ):
    epochs.BalancedBatches(labels, batch_size=2, seed=0)
  with pytest.raises(errors.UsageError, match='nothing to balance'):
    epochs.BalancedBatches(np.zeros(9, int), batch_size=2, seed=0)
  with pytest.raises(errors.UsageError, match="Did you mean 'oversample'"):
    epochs.ResampledBatches(labels, how='oversampel', batch_size=8, seed=0)
  with pytest.raises(errors.UsageError, match='seed is -1'):
    epochs.ShuffledBatches(9, batch_size=2, seed=-1)
  with pytest.raises(errors.UsageError, match='batch_size is 0'):
    epochs.ShuffledBatches(9, batch_size=0, seed=0)
