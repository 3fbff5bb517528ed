"""Batches of random pairs or random triplets, each a function of (seed, step).

`one_each` draws what is measured: a triplet for every image.

    sampler = PairBatches(labels, batch_size=64, seed=0)
    first, second = sampler[step][0::2], sampler[step][1::2]

Draws are independent: an image may come in several tuples of a batch, and a
pass is nothing but a number of draws. Within a tuple no image comes twice, and
no two rows of one item make a positive pair.
"""

import abc

import numpy as np

from mammojax import errors
from mammojax.data import samplers


class _Batches(abc.ABC):
  """Batches of tuples; a sampler says its size and draws the places.

  Attributes:
    batch_size: rows of a batch, a number of whole tuples.
  """

  SIZE: int
  # What divides a batch, and what it is made of.
  _MULTIPLE: int
  _WHAT: str

  def __init__(
    self,
    labels: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    items: np.ndarray | None = None,
  ):
    """Checks that tuples can be drawn.

    Args:
      labels: int[n], the label of each training image.
      batch_size: a multiple of 4 for pairs, of 3 for triplets.
      seed: 0 or more.
      items: int[n], the item of each; two rows of one item are no pair. None:
        each row is an item of its own.

    Raises:
      UsageError: a batch size or seed out of range, no label with two items,
        or a single label.
    """
    samplers.check_batch_size(batch_size, self._MULTIPLE, self._WHAT)
    self.batch_size = batch_size
    self._seed = samplers.check_seed(seed)
    self._drawn = _Drawn(labels, items)

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[batch_size], positions in `labels`."""
    rng = samplers.generator(self._seed, samplers.check_step(step))
    return self._drawn.images[self._places(rng).reshape(-1)]

  @abc.abstractmethod
  def _places(self, rng: np.random.Generator) -> np.ndarray:
    """int64[n, rows], places of `_Drawn` in order of the batch."""


class PairBatches(_Batches):
  """Random pairs, the even ones of one label and the odd ones of two.

  Contract: pair i is rows 2i and 2i + 1 of the batch; it is positive where i
  is even and negative where i is odd, so exactly half are positive, also in
  every share of the batch that is a multiple of four rows. A loss on given
  pairs reads

      is_same = label[0::2] == label[1::2]

  The first of a pair is any image, of a positive pair any that has another of
  its label; the second any image of the same label, or of all other labels.

  Source: random same and different pairs, Koch et al. 2015, Siamese neural
  networks for one-shot image recognition.
  """

  SIZE = 2
  _MULTIPLE, _WHAT = 4, 'pairs, half positive'

  def _places(self, rng):
    half = self.batch_size // self._MULTIPLE
    anchor = self._drawn.anchors(rng, half)
    other = self._drawn.any(rng, half)
    positive = self._drawn.positives(rng, anchor)
    negative = self._drawn.negatives(rng, other)
    return np.stack([anchor, positive, other, negative], axis=1)


class TripletBatches(_Batches):
  """Random triplets: an anchor, one of its label, one of another.

  Contract: rows 3i, 3i + 1 and 3i + 2 are anchor, positive and negative of
  triplet i. The anchor is any image whose label has another.

  Source: random triplets, Hoffer and Ailon 2015, Deep metric learning using
  triplet network, arXiv:1412.6622.
  """

  SIZE = 3
  _MULTIPLE, _WHAT = 3, 'triplets'

  def _places(self, rng):
    anchor = self._drawn.anchors(rng, self.batch_size // self.SIZE)
    positive = self._drawn.positives(rng, anchor)
    negative = self._drawn.negatives(rng, anchor)
    return np.stack([anchor, positive, negative], axis=1)


def one_each(
  labels: np.ndarray, *, seed: int, items: np.ndarray | None = None
) -> np.ndarray:
  """A random triplet for every image that has a positive.

  Args:
    labels: int[n].
    seed: 0 or more.
    items: see `PairBatches`.

  Returns:
    int64[m, 3]: anchor, positive and negative, positions in `labels`, in
    order of the anchors.

  Raises:
    UsageError: see `PairBatches`.
  """
  drawn = _Drawn(labels, items)
  rng = samplers.generator(samplers.check_seed(seed), 0)
  anchor = drawn.with_positive
  places = np.stack(
    [anchor, drawn.positives(rng, anchor), drawn.negatives(rng, anchor)],
    axis=1,
  )
  found = drawn.images[places]
  return found[np.argsort(found[:, 0], kind='stable')]


class _Drawn:
  """Images in order of label and item; what is drawn are places in it."""

  def __init__(self, labels: np.ndarray, items: np.ndarray | None):
    labels = np.asarray(labels)
    items = np.arange(len(labels)) if items is None else np.asarray(items)
    self.images = np.lexsort((items, labels))
    labels, items = labels[self.images], items[self.images]
    new_label = np.append(True, labels[1:] != labels[:-1])
    new_item = new_label | np.append(True, items[1:] != items[:-1])
    self._label_span, self._item_span = _spans(new_label), _spans(new_item)
    alone = _lengths(self._label_span) == _lengths(self._item_span)
    self.with_positive = np.flatnonzero(~alone)
    if not len(self.with_positive):
      raise errors.UsageError(
        'No label has two images, so there is no positive pair to draw. Check'
        ' the column that sampler.label names.'
      )
    if new_label.sum() < 2:
      raise errors.UsageError(
        'All training images have one label, so there is no negative pair to'
        ' draw. Check the column that sampler.label names.'
      )

  def any(self, rng, count):
    """Places of any image."""
    return rng.integers(len(self.images), size=count)

  def anchors(self, rng, count):
    """Places of images that have a positive."""
    chosen = rng.integers(len(self.with_positive), size=count)
    return self.with_positive[chosen]

  def positives(self, rng, anchor):
    """A place of the anchor's label and of another item, for each anchor."""
    start, _ = self._label_span[:, anchor]
    length = _lengths(self._label_span)[anchor]
    return start + _outside(rng, self._item_span[:, anchor] - start, length)

  def negatives(self, rng, anchor):
    """A place of another label, for each anchor."""
    whole = np.full(len(anchor), len(self.images))
    return _outside(rng, self._label_span[:, anchor], whole)


def _spans(is_first):
  """int64[2, n]: start and end of the run that each place lies in."""
  starts = np.flatnonzero(is_first)
  ends = np.append(starts[1:], len(is_first))
  run = np.cumsum(is_first) - 1
  return np.stack([starts[run], ends[run]])


def _lengths(span):
  return span[1] - span[0]


def _outside(rng, span, length):
  """A number in 0 .. length - 1 outside the span, for each column."""
  drawn = rng.integers(length - _lengths(span))
  return drawn + (drawn >= span[0]) * _lengths(span)
