"""Batches of P subjects x K images as a pure function of (seed, step).

    sampler = SubjectBatches(
      labels, subjects_per_batch=16, images_per_subject=4, seed=0)
    positions = sampler[step]          # int64[64], positions in `labels`

A run is cut into passes. A pass is an independent permutation of the subjects
and a fresh draw of at most K images of each, cut into full batches; it has the
same number of batches every time, so step s lies in pass s // steps_per_pass
and no earlier step needs to be replayed.
"""

import functools
import threading

import numpy as np

from mammojax import errors

# How far ahead to look for a subject that fills the last places exactly.
_LOOK_AHEAD = 64


class SubjectBatches:
  """Full batches in which most subjects bring several images.

  Without replacement a subject with fewer than K images gives all it has and
  the remaining places go to further subjects, so a batch holds at least P
  subjects and no image twice. The subject in the last places is chosen among
  the next in line to fit exactly; where none does, it is cut to fit. What is
  left of a pass that does not fill a batch is dropped (another remainder in
  every pass). A subject that brings a single image is a negative only; a batch
  of nothing but such subjects gets two images of one larger subject in its
  last two places, so every batch has a positive pair.

  With replacement every subject brings exactly K images: a smaller subject all
  it has, then the same again in the same order.

  Attributes:
    batch_size: P * K.
    steps_per_pass: batches in one pass over the subjects.
    num_subjects: subjects that take part.
    num_dropped: subjects left out by `min_images`.
  """

  def __init__(
    self,
    labels: np.ndarray,
    *,
    subjects_per_batch: int,
    images_per_subject: int,
    seed: int,
    with_replacement: bool = False,
    min_images: int = 1,
  ):
    """Checks that the batches can be made.

    Args:
      labels: int[n], the subject of each training image.
      subjects_per_batch: P, at least 2.
      images_per_subject: K, at least 2.
      seed: 0 or more.
      with_replacement: see the class.
      min_images: subjects with fewer images are left out.

    Raises:
      UsageError: P, K or seed out of range, too few subjects or images, or no
        subject with two images.
    """
    labels = np.asarray(labels)
    self.batch_size = subjects_per_batch * images_per_subject
    self._num_images = images_per_subject
    self._with_replacement = with_replacement
    _check_numbers(subjects_per_batch, images_per_subject, seed)
    self._seed = seed
    self._index_subjects(labels, min_images)
    self._check_supply(subjects_per_batch, min_images)
    supply = int(self._take.sum())
    self.steps_per_pass = supply // self.batch_size
    self._lock = threading.Lock()
    # A few passes, because prefetching threads straddle their borders.
    self._pass = functools.lru_cache(maxsize=3)(self._make_pass)

  def __getitem__(self, step: int) -> np.ndarray:
    """int64[P * K], positions in `labels`, images of a subject together."""
    index, offset = divmod(check_step(step), self.steps_per_pass)
    with self._lock:
      batches = self._pass(index)
    return batches[offset].copy()

  def _index_subjects(self, labels: np.ndarray, min_images: int) -> None:
    _, dense, counts = np.unique(
      labels, return_inverse=True, return_counts=True
    )
    kept = counts >= min_images
    self.num_subjects = int(kept.sum())
    self.num_dropped = int(len(counts) - self.num_subjects)
    self._images = np.flatnonzero(kept[dense])
    self._subject = (np.cumsum(kept) - 1)[dense[self._images]]
    self._count = counts[kept]
    self._start = np.cumsum(self._count) - self._count
    full = np.full_like(self._count, self._num_images)
    self._take = (
      full if self._with_replacement else np.minimum(self._count, full)
    )

  def _check_supply(self, subjects_per_batch: int, min_images: int) -> None:
    supply = int(self._take.sum())
    if self.num_subjects < subjects_per_batch or supply < self.batch_size:
      raise errors.UsageError(
        f'A batch needs {subjects_per_batch} subjects and {self.batch_size}'
        f' images; the training set offers {self.num_subjects} subjects'
        f' (min_images={min_images} left out {self.num_dropped}), which give'
        f' {supply} images at up to {self._num_images} each. Lower'
        ' subjects_per_batch or images_per_subject, or add images.'
      )
    if self._count.max() < 2 and not self._with_replacement:
      raise errors.UsageError(
        'No subject has two images, so no batch would hold a positive pair.'
        ' Check the subject column, or draw with replacement.'
      )

  def _make_pass(self, index: int) -> np.ndarray:
    """int64[steps_per_pass, P * K]: one pass over the subjects."""
    rng = generator(self._seed, index)
    order = rng.permutation(self.num_subjects)
    images = self._shuffle_images(rng)
    if np.all(self._take == self._num_images):
      wanted = self.steps_per_pass * self.batch_size // self._num_images
      return self._equal_batches(order[:wanted], images)
    line = order[::-1].tolist()
    return np.stack(
      [self._fill(rng, line, images) for _ in range(self.steps_per_pass)]
    )

  def _shuffle_images(self, rng: np.random.Generator) -> np.ndarray:
    """int64[m]: images grouped by subject, in random order in each group."""
    keys = rng.random(len(self._images))
    return self._images[np.lexsort((keys, self._subject))]

  def _equal_batches(self, order: np.ndarray, images: np.ndarray) -> np.ndarray:
    turn = np.arange(self._num_images) % self._count[order][:, None]
    picked = images[self._start[order][:, None] + turn]
    return picked.reshape(self.steps_per_pass, self.batch_size)

  def _fill(
    self, rng: np.random.Generator, line: list[int], images: np.ndarray
  ) -> np.ndarray:
    """Takes subjects from the end of `line` until the batch is full."""
    parts = []
    chosen: set[int] = set()
    room = self.batch_size
    while room:
      if not line:
        # Cut subjects used up the pass early; the next round skips those that
        # this batch already holds.
        line.extend(rng.permutation(self.num_subjects).tolist())
      subject = self._next_subject(line, chosen, room)
      if subject in chosen:
        continue
      chosen.add(subject)
      count = min(int(self._take[subject]), room)
      start = self._start[subject]
      parts.append(images[start : start + count])
      room -= count
    batch = np.concatenate(parts)
    if max(len(part) for part in parts) < 2:
      batch[-2:] = self._pair(rng, images)
    return batch

  def _next_subject(self, line: list[int], chosen: set[int], room: int) -> int:
    """The next in line, or one soon after it that fills the room exactly."""
    if self._take[line[-1]] > room:
      for back in range(2, min(_LOOK_AHEAD, len(line)) + 1):
        if self._take[line[-back]] == room and line[-back] not in chosen:
          return line.pop(-back)
    return line.pop()

  def _pair(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    subject = rng.choice(np.flatnonzero(self._count >= 2))
    return images[self._start[subject] : self._start[subject] + 2]


def _check_numbers(num_subjects: int, num_images: int, seed: int) -> None:
  if num_images < 2:
    raise errors.UsageError(
      f'images_per_subject is {num_images}: a batch would hold no two images'
      ' of one subject, so no positive pair. Use 2 or more.'
    )
  if num_subjects < 2:
    raise errors.UsageError(
      f'subjects_per_batch is {num_subjects}: a batch of one subject holds no'
      ' negative pair. Use 2 or more.'
    )
  check_seed(seed)


def check_seed(seed: int) -> int:
  """The seed; UsageError when it is negative."""
  if seed < 0:
    raise errors.UsageError(f'seed is {seed}; it must be 0 or more.')
  return seed


def check_step(step: int) -> int:
  """The step; IndexError when it is negative."""
  if step < 0:
    raise IndexError(f'step is {step}; it must be 0 or more.')
  return int(step)


def check_batch_size(batch_size: int, multiple: int, what: str) -> None:
  """Refuses a batch that is empty or cuts a tuple.

  Args:
    batch_size: images of a batch.
    multiple: what must divide it.
    what: what it is made of.

  Raises:
    UsageError: with the nearest sizes that do.
  """
  if batch_size < 1 or batch_size % multiple:
    below = batch_size // multiple * multiple
    near = ' or '.join(
      str(size) for size in (below, below + multiple) if size > 0
    )
    raise errors.UsageError(
      f'sampler.batch_size is {batch_size}; a batch of {what} needs a multiple'
      f' of {multiple}, such as {near}.'
    )


def generator(seed: int, *key: int) -> np.random.Generator:
  """Random numbers that depend on the seed and the key alone."""
  sequence = np.random.SeedSequence(seed, spawn_key=key)
  return np.random.Generator(np.random.Philox(sequence))
