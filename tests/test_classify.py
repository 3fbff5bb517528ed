"""Heads on frozen embeddings, from made-up sets to the command line."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.apps import classify, probes

HEADS = pytest.mark.parametrize('head', sorted(probes.FITS))


def made_up(rng, gap, num=240, dim=6):
  """Embeddings whose classes lie `gap` standard deviations apart."""
  positive = np.arange(num) % 3 == 0
  direction = rng.normal(size=dim)
  direction /= np.linalg.norm(direction)
  x = rng.normal(size=(num, dim)) + gap * np.outer(positive - 0.5, direction)
  subjects = np.arange(num) // 2
  splits = np.array(['train', 'train', 'validation', 'test'])[subjects % 4]
  return np.float32(x), positive, subjects.astype(str), splits


@HEADS
@pytest.mark.parametrize('class_weight', probes.CLASS_WEIGHTS)
def test_separable_classes_are_told_apart(rng, head, class_weight):
  data = made_up(rng, 14.0)
  found = classify.run(*data, head=head, class_weight=class_weight, draws=50)
  for split in ('validation', 'test'):
    assert found.summary[split]['metrics']['accuracy']['value'] == 1.0
    assert found.summary[split]['metrics']['auc']['value'] == 1.0
  assert found.summary['temperature']['chosen_on'] == 'validation'


@HEADS
def test_shuffled_classes_are_chance(rng, head):
  x, positive, subjects, splits = made_up(rng, 14.0, num=600)
  found = classify.run(
    x, rng.permutation(positive), subjects, splits, head=head, draws=5
  )
  # 50 positives and 100 negatives: the standard error of the area is 0.05.
  area = found.summary['test']['metrics']['auc']['value']
  assert abs(area - 0.5) < 4 * 0.05


def test_one_half_is_chosen_by_nothing(rng):
  data = made_up(rng, 1.5)
  chosen = classify.run(*data, head='linear', draws=5)
  assert chosen.threshold != 0.5
  assert chosen.summary['threshold']['chosen_on'] == 'validation'
  fixed = classify.run(*data, head='linear', draws=5, rule='half')
  assert fixed.threshold == 0.5
  assert fixed.summary['threshold']['chosen_on'] is None
  test = data[3] == 'test'
  called = fixed.logits[test] >= 0
  right = (called == data[1][test]).mean()
  assert fixed.summary['test']['metrics']['accuracy']['value'] == right


@HEADS
def test_the_test_split_changes_nothing_that_is_chosen(rng, head):
  x, positive, subjects, splits = made_up(rng, 1.5)
  first = classify.run(x, positive, subjects, splits, head=head, draws=5)
  test = splits == 'test'
  other = x.copy()
  other[test] = rng.normal(size=other[test].shape)
  second = classify.run(
    other, positive ^ test, subjects, splits, head=head, draws=5
  )
  assert first.threshold == second.threshold
  assert first.temperature == second.temperature
  for name, array in first.head.arrays.items():
    np.testing.assert_array_equal(array, second.head.arrays[name])
  with pytest.raises(errors.IntegrityError, match='test split may not choose'):
    classify.run(
      x, positive, subjects, splits, head=head, choose_on='test', draws=5
    )


def test_balanced_weights_equal_classes_written_out_as_often(rng):
  x, positive, _, splits = made_up(rng, 1.0)
  balanced = probes.fit('linear', x, positive, splits, class_weight='balanced')
  # A third is positive: each twice gives as many of both.
  twice = np.flatnonzero(positive & (splits == 'train'))
  assert len(twice) * 3 == (splits == 'train').sum()
  rows = np.concatenate([np.arange(len(x)), twice])
  again = probes.fit('linear', x[rows], positive[rows], splits[rows])
  # Only the standardisation and the weight of C differ a little.
  a, b = probes.logits(balanced, x), probes.logits(again, x)
  assert np.corrcoef(a, b)[0, 1] > 0.995
  plain = probes.logits(probes.fit('linear', x, positive, splits), x)
  assert a.mean() > plain.mean()


def test_neighbours_vote_as_a_loop_says(rng):
  x, positive, _, splits = made_up(rng, 2.0)
  head = probes.fit('knn', x, positive, splits, class_weight='balanced')
  k, train_rows = head.options['k'], np.flatnonzero(splits == 'train')
  got = probes.logits(head, x)
  unit = x / np.linalg.norm(x, axis=1, keepdims=True)
  share = positive[train_rows].mean()
  for row in np.flatnonzero(splits == 'test')[:10]:
    near = train_rows[np.argsort(-unit[train_rows] @ unit[row])[:k]]
    votes = [
      sum(
        0.5 / (share if kind else 1 - share)
        for n in near
        if positive[n] == kind
      )
      for kind in (False, True)
    ]
    want = np.log((votes[1] + 0.5) / (votes[0] + 0.5))
    assert got[row] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize('class_weight', probes.CLASS_WEIGHTS)
def test_the_dense_head_keeps_the_epoch_of_least_loss(rng, class_weight):
  x, positive, _, splits = made_up(rng, 1.0)
  head = probes.fit(
    'mlp', x, positive, splits, epochs=30, class_weight=class_weight
  )
  losses = head.curves['validation_loss']
  assert len(losses) == 30
  assert head.options['epoch'] == int(np.argmin(losses)) + 1
  here = splits == 'validation'
  signed = np.where(positive, -1, 1)[here] * probes.logits(head, x)[here]
  share = positive[here].mean()
  weight = None
  if class_weight == 'balanced':
    weight = np.where(positive[here], 1.0 / share, 1.0 / (1.0 - share))
  least = np.average(np.logaddexp(0, signed), weights=weight)
  assert least == pytest.approx(min(losses), rel=1e-4)
  assert {n for n in head.arrays if 'kernel' in n} == {
    'dense1/kernel', 'dense2/kernel', 'dense/kernel',
  }  # fmt: skip


def test_bad_input_is_refused(rng):
  x, positive, subjects, splits = made_up(rng, 1.0)
  with pytest.raises(errors.IntegrityError, match='in two splits'):
    classify.run(x, positive, np.roll(subjects, 1), splits)
  with pytest.raises(errors.UsageError, match="mean 'linear'"):
    classify.run(x, positive, subjects, splits, head='linar')
  with pytest.raises(errors.DataError, match='train split 0 are positive'):
    classify.run(x, positive & (splits != 'train'), subjects, splits)
  broken = x.copy()
  broken[3, 2] = np.nan
  with pytest.raises(errors.DataError, match='not finite'):
    classify.run(broken, positive, subjects, splits)
  head = probes.fit('linear', x, positive, splits)
  with pytest.raises(errors.IntegrityError, match='of 6 values'):
    probes.logits(head, x[:, :5])


def test_the_plane_has_a_point_an_image(rng):
  x, *_ = made_up(rng, 3.0, num=40)
  rows, points = classify.plane(x)
  assert rows.tolist() == list(range(40))
  assert points.shape == (40, 2) and np.isfinite(points).all()
  assert not len(classify.plane(x[:4])[0])
