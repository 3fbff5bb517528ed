"""P x K batches: full, without repeats, even, a function of (seed, step)."""

import collections
import threading
import time

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import samplers


def _labels(counts):
  """Labels with counts[i] images of subject i, in a fixed mixed order."""
  labels = np.repeat(np.arange(len(counts)), counts)
  return np.random.default_rng(5).permutation(labels).astype(np.int32)


def _cases():
  """Random tables, sampler sizes included."""
  # Every batch cuts a subject, so a pass runs through all of them and on.
  yield 99, np.full(8, 3), 2, 4
  rng = np.random.default_rng(11)
  for case in range(25):
    counts = rng.integers(1, int(rng.integers(3, 9)), int(rng.integers(6, 40)))
    counts[0] = max(2, counts[0])
    num_images = int(rng.integers(2, 5))
    room = int(np.minimum(counts, num_images).sum()) // num_images
    num_subjects = int(rng.integers(2, max(3, room + 1)))
    if num_subjects * num_images <= np.minimum(counts, num_images).sum():
      yield case, counts, num_subjects, num_images


@pytest.mark.parametrize(
  'case, counts, num_subjects, num_images', list(_cases())
)
def test_batches_are_full_without_repeats_and_hold_a_positive(
  case, counts, num_subjects, num_images
):
  labels = _labels(counts)
  sampler = samplers.SubjectBatches(
    labels,
    subjects_per_batch=num_subjects,
    images_per_subject=num_images,
    seed=case,
  )
  for step in range(60):
    batch = sampler[step]
    assert batch.shape == (num_subjects * num_images,)
    assert batch.dtype == np.int64
    assert len(set(batch.tolist())) == len(batch)
    given = collections.Counter(labels[batch].tolist())
    assert max(given.values()) <= num_images
    assert max(given.values()) >= 2
    # All but the one in the last places give as many as they have, up to K;
    # a batch of single images that was repaired ends with a pair.
    cut = [s for s, n in given.items() if n < min(num_images, counts[s])]
    assert len(cut) <= 1
    if cut:
      assert labels[batch[-1]] == cut[0]


def test_images_of_a_subject_lie_together():
  labels = _labels([4] * 10)
  batch = samplers.SubjectBatches(
    labels, subjects_per_batch=3, images_per_subject=4, seed=0
  )[0]
  rows = labels[batch].reshape(3, 4)
  assert np.all(rows == rows[:, :1]) and len(set(rows[:, 0])) == 3


def test_any_order_of_steps_gives_the_same_batches():
  labels = _labels([1, 2, 3, 4, 5, 6, 7] * 5)
  make = lambda seed: samplers.SubjectBatches(  # noqa: E731
    labels, subjects_per_batch=4, images_per_subject=3, seed=seed
  )
  forward = [make(3)[step] for step in range(40)]
  one = make(3)
  for step in np.random.default_rng(0).permutation(40):
    np.testing.assert_array_equal(one[int(step)], forward[step])
  other = make(4)
  assert any(not np.array_equal(other[s], forward[s]) for s in range(3))


def test_a_caller_who_writes_into_a_batch_spoils_nothing():
  sampler = samplers.SubjectBatches(
    _labels([2] * 8), subjects_per_batch=2, images_per_subject=2, seed=0
  )
  want = sampler[1].copy()
  sampler[1][:] = -1
  np.testing.assert_array_equal(sampler[1], want)


@pytest.mark.parametrize('counts', [[3] * 12, [2, 3, 4, 5] * 6], ids=str)
def test_a_pass_visits_every_subject_about_once(counts):
  labels = _labels(counts)
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=3, images_per_subject=2, seed=1
  )
  per_pass = sampler.steps_per_pass
  assert per_pass == len(counts) // 3
  for number in range(3):
    steps = range(number * per_pass, (number + 1) * per_pass)
    want = dict.fromkeys(range(len(counts)), 2)
    seen = np.concatenate([labels[sampler[step]] for step in steps])
    assert collections.Counter(seen.tolist()) == want


def test_visits_stay_even_when_subjects_are_cut():
  counts = [1, 2, 3, 4, 5, 6] * 7
  labels = _labels(counts)
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=4, images_per_subject=4, seed=2
  )
  passes = 200
  visits = np.zeros(len(counts))
  for step in range(passes * sampler.steps_per_pass):
    visits[np.unique(labels[sampler[step]])] += 1
  # The remainder of a pass (under one batch in seven) is dropped.
  assert visits.min() > 0.75 * passes and visits.max() <= 1.05 * passes


def test_passes_differ_in_order_and_in_images():
  labels = _labels([6] * 6)
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=6, images_per_subject=2, seed=0
  )
  assert sampler.steps_per_pass == 1
  orders = {tuple(labels[sampler[step]][::2]) for step in range(10)}
  assert len(orders) > 5
  pairs = collections.Counter()
  for step in range(400):
    batch = sampler[step]
    for pair in batch.reshape(6, 2):
      pairs[tuple(sorted(pair.tolist()))] += 1
  # 15 pairs of each of 6 subjects; each is drawn 400 / 15 = 27 times or so.
  assert len(pairs) == 6 * 15
  assert min(pairs.values()) > 8 and max(pairs.values()) < 60


def test_min_images_leaves_small_subjects_out():
  counts = [1, 1, 1, 2, 2, 3, 3]
  labels = _labels(counts)
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=2, images_per_subject=2, seed=0, min_images=2
  )
  assert (sampler.num_subjects, sampler.num_dropped) == (4, 3)
  for step in range(20):
    assert set(labels[sampler[step]].tolist()) <= {3, 4, 5, 6}


def test_rare_pairs_still_reach_every_batch():
  labels = _labels([1] * 60 + [2])
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=2, images_per_subject=2, seed=0
  )
  for step in range(60):
    given = np.bincount(labels[sampler[step]])
    assert given.max() == 2 and len(np.unique(sampler[step])) == 4


def test_with_replacement_gives_p_subjects_of_k():
  counts = [1, 2, 3, 5, 8]
  labels = _labels(counts)
  sampler = samplers.SubjectBatches(
    labels,
    subjects_per_batch=2,
    images_per_subject=4,
    seed=0,
    with_replacement=True,
  )
  for step in range(30):
    rows = sampler[step].reshape(2, 4)
    for row in rows:
      (subject,) = set(labels[row].tolist())
      assert len(set(row.tolist())) == min(4, counts[subject])
    assert labels[rows[0, 0]] != labels[rows[1, 0]]


def test_labels_need_not_be_dense():
  labels = np.array([7, 100000001, 100000000, 7, 100000000, 100000001])
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=3, images_per_subject=2, seed=0
  )
  assert sorted(labels[sampler[0]][::2]) == [7, 100000000, 100000001]


@pytest.mark.parametrize(
  'kwargs, message',
  [
    (dict(images_per_subject=1), 'images_per_subject is 1.*positive'),
    (dict(subjects_per_batch=1), 'subjects_per_batch is 1.*negative'),
    (dict(subjects_per_batch=9), 'offers 8 subjects'),
    (dict(images_per_subject=3, subjects_per_batch=6), 'give 16 images'),
    (dict(min_images=3), 'min_images=3 left out 8'),
    (dict(seed=-1), 'seed is -1'),
  ],
  ids=lambda value: '-'.join(value) if isinstance(value, dict) else '',
)
def test_impossible_batches_are_refused(kwargs, message):
  usual = dict(subjects_per_batch=2, images_per_subject=2, seed=0)
  with pytest.raises(errors.UsageError, match=message):
    samplers.SubjectBatches(_labels([2] * 8), **usual | kwargs)


def test_only_single_images_are_refused():
  with pytest.raises(errors.UsageError, match='No subject has two images'):
    samplers.SubjectBatches(
      np.arange(50), subjects_per_batch=4, images_per_subject=2, seed=0
    )


def test_threads_see_the_same_batches():
  labels = _labels([1, 2, 3, 4] * 10)
  make = lambda: samplers.SubjectBatches(  # noqa: E731
    labels, subjects_per_batch=4, images_per_subject=3, seed=0
  )
  want = [make()[step] for step in range(60)]
  shared, wrong = make(), []

  def work(offset):
    for turn in range(60):
      step = (turn * 7 + offset) % 60
      if not np.array_equal(shared[step], want[step]):
        wrong.append(step)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong


def test_a_batch_takes_under_a_millisecond():
  labels = _labels(np.random.default_rng(0).integers(1, 6, 3000))
  sampler = samplers.SubjectBatches(
    labels, subjects_per_batch=16, images_per_subject=4, seed=0
  )
  start = time.process_time()
  for step in range(400):
    sampler[step]
  assert (time.process_time() - start) / 400 < 1e-3
