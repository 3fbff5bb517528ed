"""Shuffled epochs, plain or balanced, each a function of (seed, step).

    sampler = ShuffledBatches(len(labels), batch_size=64, seed=0)
    positions = sampler[step]          # int64[64], positions in `labels`

Epochs follow each other without a gap: batches are cut from the whole sequence,
so one may hold the end of an epoch and the begin of the next, and no image is
left out. No batch is sure to hold a positive pair.
"""

import functools
import threading

import numpy as np

from mammojax import errors
from mammojax.data import samplers


class ShuffledBatches:
  """Every image once in an epoch, in a new order each time.

  Attributes:
    batch_size: images of a batch.
    epoch_size: images of an epoch.
  """

  def __init__(self, num_images: int, *, batch_size: int, seed: int):
    """Checks the numbers.

    Args:
      num_images: images of the training set.
      batch_size: 1 or more.
      seed: 0 or more.

    Raises:
      UsageError: a number out of range.
    """
    samplers.check_batch_size(batch_size, 1, 'images')
    self.batch_size, self.epoch_size = batch_size, num_images
    seed = samplers.check_seed(seed)
    self._walk = _Walk(np.arange(num_images), seed, 0)

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[batch_size], positions in the training set."""
    start = samplers.check_step(step) * self.batch_size
    return self._walk.between(start, start + self.batch_size)


class ResampledBatches:
  """Epochs in which all labels have as many images as one of them.

  With 'oversample' an epoch has as many images of every label as the largest
  has: images of smaller labels come several times. With 'undersample' it has
  as many as the smallest: images of larger labels wait for a later epoch.
  Images of a label are used in turn, in a new order each time all were used:
  none comes a second time more often than another. The order within an epoch
  is random, so single batches are balanced on average only.

  Attributes:
    batch_size: images of a batch.
    epoch_size: images of an epoch.

  Source: random over- and undersampling, He and Garcia 2009, Learning from
  imbalanced data, section 3.1.1.
  Differs: theirs draws once, before training; here every epoch draws anew, so
  that undersampling uses all images in the long run.
  """

  def __init__(
    self, labels: np.ndarray, *, how: str, batch_size: int, seed: int
  ):
    """Checks the numbers.

    Args:
      labels: int[n], the label of each training image.
      how: 'oversample' or 'undersample'.
      batch_size: 1 or more.
      seed: 0 or more.

    Raises:
      UsageError: a number out of range, another `how`, or a single label.
    """
    parity = {'oversample': max, 'undersample': min}
    if how not in parity:
      raise errors.unknown('resampling', how, parity)
    samplers.check_batch_size(batch_size, 1, 'images')
    self.batch_size = batch_size
    self._seed = samplers.check_seed(seed)
    self._walks = _walks(labels, seed)
    self._share = parity[how](len(walk) for walk in self._walks)
    self.epoch_size = self._share * len(self._walks)
    self._lock = threading.Lock()
    self._epoch = functools.lru_cache(maxsize=3)(self._make_epoch)

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[batch_size], positions in `labels`."""
    start = samplers.check_step(step) * self.batch_size
    return _joined(
      start, start + self.batch_size, self.epoch_size, self._locked_epoch
    )

  def _locked_epoch(self, index):
    with self._lock:
      return self._epoch(index)

  def _make_epoch(self, index):
    start = index * self._share
    images = np.concatenate(
      [walk.between(start, start + self._share) for walk in self._walks]
    )
    # The first key of walks is below the number of labels.
    rng = samplers.generator(self._seed, len(self._walks), index)
    return rng.permutation(images)


class BalancedBatches:
  """Batches with the same number of images of every label.

  Place k of the sequence that batches are cut from belongs to label k modulo
  the number of labels: counts in a batch differ by one at most, and not at all
  where the batch divides by the labels; any share of a batch is as balanced.
  Images of a label are used in turn, in a new order each time all were used.

  Attributes:
    batch_size: images of a batch.
  """

  def __init__(self, labels: np.ndarray, *, batch_size: int, seed: int):
    """Checks the numbers.

    Args:
      labels: int[n], the label of each training image.
      batch_size: at least the number of labels.
      seed: 0 or more.

    Raises:
      UsageError: a number out of range, or a single label.
    """
    samplers.check_batch_size(batch_size, 1, 'images')
    self.batch_size = batch_size
    self._walks = _walks(labels, samplers.check_seed(seed))
    if batch_size < len(self._walks):
      raise errors.UsageError(
        f'sampler.batch_size is {batch_size}, and the training images have'
        f' {len(self._walks)} labels: no batch can hold them all. Raise it, or'
        " draw a few labels at a time with sampler.name='subjects'."
      )

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[batch_size], positions in `labels`."""
    start = samplers.check_step(step) * self.batch_size
    count = len(self._walks)
    batch = np.empty(self.batch_size, np.int64)
    for label, walk in enumerate(self._walks):
      # The places of this label among the batch's, and before it.
      first = (label - start) % count
      used = (start - label + count - 1) // count
      places = batch[first::count]
      places[:] = walk.between(used, used + len(places))
    return batch


class _Walk:
  """Images in a random order, then in another, and so on without end."""

  def __init__(self, images: np.ndarray, seed: int, key: int):
    self._images, self._seed, self._key = images, seed, key
    self._lock = threading.Lock()
    self._order = functools.lru_cache(maxsize=3)(self._make_order)

  def __len__(self) -> int:
    return len(self._images)

  def between(self, start: int, stop: int) -> np.ndarray:
    """int64[stop - start]: the images from place start on."""
    return _joined(start, stop, len(self), self._locked_order)

  def _locked_order(self, index):
    # Without the lock several threads would make the same order.
    with self._lock:
      return self._order(index)

  def _make_order(self, index):
    rng = samplers.generator(self._seed, self._key, index)
    return rng.permutation(self._images)


def _walks(labels, seed) -> list[_Walk]:
  """One walk a label, in order of the labels."""
  unique, dense = np.unique(np.asarray(labels), return_inverse=True)
  if len(unique) < 2:
    raise errors.UsageError(
      'All training images have one label, so there is nothing to balance.'
      ' Check the column that sampler.label names.'
    )
  order = np.argsort(dense, kind='stable')
  ends = np.cumsum(np.bincount(dense))[:-1]
  return [
    _Walk(images, seed, key) for key, images in enumerate(np.split(order, ends))
  ]


def _joined(start, stop, size, epoch) -> np.ndarray:
  """Places start .. stop - 1 of epochs of one size put end to end."""
  parts = []
  while start < stop:
    index, offset = divmod(start, size)
    parts.append(epoch(index)[offset : offset + stop - start])
    start += len(parts[-1])
  return np.concatenate(parts)
