"""Splits by hash, and leaks between splits."""

import hashlib
import os
import pathlib

import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import splits


def _bucket_by_digits(subject, modulo):
  """The rule digit by digit, without the whole integer."""
  rest = 0
  for byte in hashlib.sha256(subject.encode()).digest():
    rest = (rest * 256 + byte) % modulo
  return rest


@pytest.mark.parametrize('subject', ['HAM_0000000', '00012', '12', 'Zoë', ''])
def test_sha256_bucket_follows_the_digits(subject):
  for modulo in (2, 5, 10, 97):
    want = _bucket_by_digits(subject, modulo)
    assert splits.sha256_bucket(subject, modulo) == want


def test_assign_gives_seven_one_two():
  subjects = [f's{i}' for i in range(2000)]
  names = splits.assign(subjects)
  for subject, name in zip(subjects, names, strict=True):
    bucket = _bucket_by_digits(subject, 10)
    want = 'train' if bucket < 7 else 'validation' if bucket == 7 else 'test'
    assert name == want
  share = pd.Series(names).value_counts(normalize=True)
  assert abs(share['train'] - 0.7) < 0.04
  assert abs(share['validation'] - 0.1) < 0.04


def test_assign_keeps_a_subject_together_in_any_order():
  subjects = ['a', 'b', 'a', 'c', 'b', 'a']
  there = dict(zip(subjects, splits.assign(subjects), strict=True))
  again = splits.assign(subjects[::-1])
  assert [there[s] for s in subjects[::-1]] == list(again)


def test_fold_covers_every_fold():
  subjects = [f'w{i}' for i in range(200)]
  folds = splits.fold(subjects, 5)
  assert [_bucket_by_digits(s, 5) for s in subjects] == folds.tolist()
  assert set(folds) == {0, 1, 2, 3, 4}
  with pytest.raises(errors.UsageError, match='num_folds is 1'):
    splits.fold(subjects, 1)


def test_check_disjoint_names_subjects_and_rows():
  frame = pd.DataFrame(
    {
      'subject': ['a', 'b', 'a', 'c'],
      'split': ['train', 'test', 'test', 'test'],
      'row': [2, 3, 4, 5],
    }
  )
  with pytest.raises(errors.IntegrityError) as caught:
    splits.check_disjoint(frame)
  text = str(caught.value)
  assert "subject 'a' is in train (row 2) and test (row 4)" in text
  assert "'b'" not in text and caught.value.exit_code == 4
  splits.check_disjoint(frame.iloc[1:])


def test_check_disjoint_shows_twenty_and_the_count():
  names = [f's{i}' for i in range(30)]
  frame = pd.DataFrame(
    {'subject': names * 2, 'split': ['train'] * 30 + ['test'] * 30}
  )
  with pytest.raises(errors.IntegrityError) as caught:
    splits.check_disjoint(frame)
  text = str(caught.value)
  assert text.startswith('30 subjects')
  assert text.count('is in train') == 20 and 'and 10 more' in text


@pytest.mark.skipif('MAMMOJAX_DATA' not in os.environ, reason='no real data')
def test_assign_gives_the_published_counts_of_ham10000():
  folder = pathlib.Path(os.environ['MAMMOJAX_DATA'], 'ham10000_multi')
  frame = pd.read_csv(folder / 'manifest.csv', dtype=str)
  names = splits.assign(frame['subject_id'])
  counts = frame[names == 'test'].groupby('subject_id').size()
  assert (counts > 1).sum() == 391
  assert (counts[counts > 1] - 1).sum() == 512
