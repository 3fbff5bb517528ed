"""Splits by hash and by rule, and leaks between splits."""

import hashlib
import os
import pathlib

import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import splits, torn


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
    torn.check_disjoint(frame)
  text = str(caught.value)
  assert "subject 'a' is in train (row 2) and test (row 4)" in text
  assert "'b'" not in text and caught.value.exit_code == 4
  torn.check_disjoint(frame.iloc[1:])


def test_check_disjoint_shows_twenty_and_the_count():
  names = [f's{i}' for i in range(30)]
  frame = pd.DataFrame(
    {'subject': names * 2, 'split': ['train'] * 30 + ['test'] * 30}
  )
  with pytest.raises(errors.IntegrityError) as caught:
    torn.check_disjoint(frame)
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


def _frame(num_subjects=200):
  """Three images a subject, a sixth of the subjects malignant."""
  return pd.DataFrame(
    [
      (f's{i}', 'malignant' if i % 6 == 0 else 'benign', 'train', 3 * i + k)
      for i in range(num_subjects)
      for k in range(3)
    ],
    columns=['subject', 'diagnosis', 'split', 'row'],
  )


def _share(frame, split):
  return (frame['split'] == split).mean()


@pytest.mark.parametrize('rule', ['', 'column'])
def test_divided_leaves_the_split_of_the_table(rule):
  frame = _frame()
  pd.testing.assert_frame_equal(splits.divided(frame, rule), frame)


def test_divided_by_hash_is_assign():
  made = splits.divided(_frame(), 'hash')
  want = splits.assign(made['subject'])
  assert made['split'].tolist() == want.tolist()


@pytest.mark.parametrize('rule', ['shuffled', 'stratified'])
@pytest.mark.parametrize(
  'fractions', [(0.7, 0.1, 0.2), (0.8, 0.0, 0.2), (0.8, 0.2, 0.0)], ids=str
)
def test_divided_shares_out_by_the_fractions(rule, fractions):
  frame = _frame()
  made = splits.divided(frame, rule, fractions=fractions)
  torn.check_disjoint(made)
  for name, fraction in zip(splits.NAMES, fractions, strict=True):
    assert abs(_share(made, name) - fraction) <= 3 / len(frame)
  if rule == 'stratified':
    for _, part in made.groupby('diagnosis'):
      for name, fraction in zip(splits.NAMES, fractions, strict=True):
        assert abs(_share(part, name) - fraction) <= 3 / len(part)
  other = splits.divided(frame, rule, fractions=fractions, seed=1)
  assert (other['split'] != made['split']).any()


def test_keep_test_shares_out_the_rest():
  frame = _frame()
  frame.loc[frame['subject'].isin([f's{i}' for i in range(50)]), 'split'] = (
    'test'
  )
  made = splits.divided(
    frame, 'stratified', fractions=(0.8, 0.2, 0.0), keep_test=True
  )
  pd.testing.assert_series_equal(
    made['split'] == 'test', frame['split'] == 'test'
  )
  rest = made[made['split'] != 'test']
  assert abs(_share(rest, 'train') - 0.8) <= 3 / len(rest)


@pytest.mark.parametrize('rule', splits.RULES)
def test_divided_refuses_a_subject_in_two_splits_or_heals_it(rule):
  frame = _frame()
  frame.loc[1, 'split'] = 'test'
  if rule in ('', 'column'):
    with pytest.raises(errors.IntegrityError, match="subject 's0' is in"):
      splits.divided(frame, rule)
  else:
    torn.check_disjoint(splits.divided(frame, rule))
  with pytest.raises(errors.IntegrityError, match="subject 's0' is in"):
    splits.divided(
      frame,
      'shuffled',
      fractions=(0.8, 0.2, 0.0),
      keep_test=True,
    )


@pytest.mark.parametrize(
  'kwargs, message',
  [
    (dict(rule='stratifed'), "Did you mean 'stratified'"),
    (dict(fractions=(0.7, 0.2, 0.2)), r'add up to 1, got \(0.7, 0.2, 0.2\)'),
    (dict(fractions=(0.8, 0.2)), 'shares of train, validation and test'),
    (dict(fractions=(1.2, -0.2, 0.0)), 'add up to 1'),
    (dict(fractions=(float('nan'), 0.5, 0.5)), 'add up to 1'),
    (dict(keep_test=True), r'must be 0\.0, got 0\.2'),
    (dict(rule='hash', keep_test=True), "shuffled or stratified, got 'hash'"),
    (dict(rule='', keep_test=True), "shuffled or stratified, got ''"),
  ],
  ids=['name', 'sum', 'two', 'negative', 'nan', 'keep_test', 'hash', 'none'],
)
def test_divided_refuses(kwargs, message):
  with pytest.raises(errors.UsageError, match=message):
    splits.divided(_frame(), **{'rule': 'shuffled'} | kwargs)


def test_stratified_needs_a_diagnosis():
  with pytest.raises(errors.UsageError, match=r'data\.columns\.diagnosis'):
    splits.divided(_frame().assign(diagnosis=''), 'stratified')


@pytest.mark.parametrize('rule', ['shuffled', 'stratified'])
def test_folds_by_rule_are_equal_and_cover_everybody_once(rule):
  frame = _frame()
  turns = [splits.with_folds(frame, 5, turn, rule=rule) for turn in range(5)]
  tested = np.stack([turn['split'] == 'test' for turn in turns])
  np.testing.assert_array_equal(tested.sum(axis=0), 1)
  # Within a subject of three images, in each class where classes are told.
  sizes = tested.sum(axis=1)
  assert np.ptp(sizes) <= (6 if rule == 'stratified' else 3)
  sick = (frame['diagnosis'] == 'malignant').to_numpy()
  if rule == 'stratified':
    assert np.ptp(tested[:, sick].sum(axis=1)) <= 3
  for turn in turns:
    torn.check_disjoint(turn)


def test_folds_of_a_split_column_are_refused():
  with pytest.raises(errors.UsageError, match='cannot both be had'):
    splits.with_folds(_frame(), 5, 0, rule='column')
  with pytest.raises(errors.UsageError, match=r'Unknown data\.split_rule'):
    splits.with_folds(_frame(), 5, 0, rule='leave_one_out')
