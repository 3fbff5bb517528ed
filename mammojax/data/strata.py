"""Subjects dealt out to parts so that every class is shared alike.

part = divide(['a', 'a', 'b', 'c'], ['x', 'x', 'y', 'x'], (3, 1), seed=0)

All arithmetic is on integers and the random order is one of hashes, so the
parts are the same on every machine and under every version of every library.
"""

import collections
from collections.abc import Iterable, Sequence
import hashlib
import math

import numpy as np


def divide(
  subjects: Iterable[str],
  classes: Iterable[str],
  weights: Sequence[int],
  seed: int,
) -> np.ndarray:
  """A part for every image, the same for all images of a subject.

  Subjects come in order of falling size, those of one size in an order of
  hashes, and each goes to the part in which it raises the least

      sum over parts s and classes c of (O_sc - E_sc)^2 / E_sc

  where O counts images and E = weight * images of the class / all weights.
  Where every subject has one image, this is the method of Sainte-Lague in
  each class: no part of up to three misses its share by a whole image.

  Args:
    subjects: str[n], the subject of each image.
    classes: str[n], the class of each image; all '' for none.
    weights: one a part, 0 or more, not all 0; a part of 0 stays empty.
    seed: another seed is another order.

  Returns:
    int64[n], 0 .. len(weights) - 1. Time: subjects x parts x classes that a
    subject has.

  Differs: scikit-learn's StratifiedGroupKFold makes equal parts only, and its
  parts may change with its version.
  """
  subjects = list(subjects)
  counts = _counts(subjects, classes)
  totals: collections.Counter[str] = collections.Counter()
  for count in counts.values():
    totals.update(count)
  # With a common multiple of all denominators the costs are whole numbers.
  multiple = math.lcm(*filter(None, weights)) * math.lcm(*totals.values())
  parts = [
    _Part(weight, totals, multiple, number)
    for number, weight in enumerate(weights)
    if weight
  ]
  chosen = {}
  for subject in sorted(
    counts, key=lambda name: (-counts[name].total(), _rank(seed, name))
  ):
    # `min` takes the first of equals.
    part = min(parts, key=lambda part: part.cost(counts[subject]))
    part.add(counts[subject])
    chosen[subject] = part.number
  return np.array([chosen[subject] for subject in subjects], np.int64)


class _Part:
  """Images that a part holds of each class."""

  def __init__(self, weight, totals, multiple, number):
    self.number = number
    self._held = dict.fromkeys(totals, 0)
    self._inverse = {
      name: multiple // (weight * total) for name, total in totals.items()
    }

  def cost(self, count):
    """How much a subject would raise the sum, but for a factor and a term.

    (O + g - E)^2 - (O - E)^2 = g (2 O + g) - 2 g E for g images, and the last,
    divided by E, is the same for all parts.
    """
    return sum(
      images * (2 * self._held[name] + images) * self._inverse[name]
      for name, images in count.items()
    )

  def add(self, count):
    """Takes a subject in."""
    for name, images in count.items():
      self._held[name] += images


def _counts(subjects, classes) -> dict[str, collections.Counter[str]]:
  """Images by subject and class."""
  counts: dict[str, collections.Counter[str]] = {}
  for subject, name in zip(subjects, classes, strict=True):
    counts.setdefault(subject, collections.Counter())[name] += 1
  return counts


def _rank(seed: int, subject: str) -> str:
  return hashlib.sha256(f'{seed}:{subject}'.encode()).hexdigest()
