"""Which subjects train, which choose, which test: by hash, never by image.

    >>> from mammojax.data import splits
    >>> splits.sha256_bucket('HAM_0000000')
    2
    >>> list(splits.assign(['HAM_0000000']))
    ['train']

The rule needs no stored list and no seed: the same subject falls on the same
side in every table, on every machine, and when more images arrive.
"""

from collections.abc import Iterable
import hashlib

import numpy as np
import pandas as pd

from mammojax import errors

NAMES = ('train', 'validation', 'test')
_SHOWN = 20


def sha256_bucket(subject: str, modulo: int = 10) -> int:
  """The SHA-256 of the UTF-8 bytes, as an integer, modulo `modulo`.

  Args:
    subject: the identity, as written in the table.
    modulo: number of buckets, at least 1.

  Returns:
    0 .. modulo - 1.
  """
  return int(hashlib.sha256(subject.encode('utf-8')).hexdigest(), 16) % modulo


def assign(subjects: Iterable[str]) -> np.ndarray:
  """A split for every image, the same for all images of a subject.

  Args:
    subjects: str[n], the subject of each image.

  Returns:
    object[n] of str: bucket 0-6 'train', 7 'validation', 8-9 'test'.
  """
  names = ['train'] * 7 + ['validation'] + ['test'] * 2
  return np.array(
    [names[bucket] for bucket in _buckets(subjects, 10)], dtype=object
  )


def fold(subjects: Iterable[str], num_folds: int) -> np.ndarray:
  """A fold for every image by the same hash.

  Args:
    subjects: str[n], the subject of each image.
    num_folds: number of folds.

  Returns:
    int64[n], `sha256_bucket(subject, num_folds)`.

  Raises:
    UsageError: fewer than two folds.
  """
  if num_folds < 2:
    raise errors.UsageError(f'num_folds is {num_folds}; it must be 2 or more.')
  return np.array(_buckets(subjects, num_folds), dtype=np.int64)


def leaks(frame: pd.DataFrame) -> dict[str, dict[str, list[int]]]:
  """Subjects that occur in more than one split.

  Args:
    frame: columns `subject` and `split`; `row`, when there, names the rows,
      otherwise the index does.

  Returns:
    subject -> split -> rows, in order of first occurrence.
  """
  splits_of = frame.groupby('subject', sort=False)['split'].nunique()
  guilty = splits_of.index[splits_of > 1]
  rows = frame['row'] if 'row' in frame else frame.index.to_series()
  found: dict[str, dict[str, list[int]]] = {name: {} for name in guilty}
  chosen = frame['subject'].isin(guilty)
  for subject, split, row in zip(
    frame.loc[chosen, 'subject'],
    frame.loc[chosen, 'split'],
    rows[chosen],
    strict=True,
  ):
    found[subject].setdefault(split, []).append(int(row))
  return found


def describe_leak(subject: str, rows_by_split: dict[str, list[int]]) -> str:
  """One line on one subject: its splits and the first rows in each."""
  parts = [
    f'{split} (row {_rows(rows)})' for split, rows in rows_by_split.items()
  ]
  return f'subject {subject!r} is in {" and ".join(parts)}'


def check_disjoint(frame: pd.DataFrame) -> None:
  """Refuses a table in which a subject is in two splits.

  Args:
    frame: columns `subject` and `split`, optionally `row`.

  Raises:
    IntegrityError: with the first 20 such subjects, their rows, the count.
  """
  found = leaks(frame)
  if not found:
    return
  lines = [
    f'  {describe_leak(subject, where)}'
    for subject, where in list(found.items())[:_SHOWN]
  ]
  if len(found) > _SHOWN:
    lines.append(f'  and {len(found) - _SHOWN} more')
  raise errors.IntegrityError(
    f'{len(found)} subjects are in more than one split; what is learnt of a'
    ' subject in training would be rewarded in the test:\n' + '\n'.join(lines)
  )


def _buckets(subjects: Iterable[str], modulo: int) -> list[int]:
  known: dict[str, int] = {}
  buckets = []
  for subject in subjects:
    if subject not in known:
      known[subject] = sha256_bucket(subject, modulo)
    buckets.append(known[subject])
  return buckets


def _rows(rows: list[int]) -> str:
  shown = ', '.join(str(row) for row in rows[:5])
  return shown + (f' and {len(rows) - 5} more' if len(rows) > 5 else '')


def with_folds(frame: pd.DataFrame, num_folds: int, test_fold: int):
  """The table split for one turn of a cross-validation by subject.

  The test split is the fold; of the other subjects every eighth, by a hash of
  its own, chooses the checkpoint, and the rest train. A split column of the
  table is replaced.

  Args:
    frame: one row an image.
    num_folds: at least 2.
    test_fold: 0 .. num_folds - 1.

  Returns:
    A copy of the table.

  Raises:
    UsageError: a fold that does not exist.
  """
  if num_folds < 2 or not 0 <= test_fold < num_folds:
    raise errors.UsageError(
      f'data.fold must be 0 to data.num_folds - 1, got {test_fold} of '
      f'{num_folds} folds.'
    )
  subjects = frame['subject'].tolist()
  chooses = np.array(
    [sha256_bucket(f'validation:{s}', 8) == 0 for s in subjects]
  )
  names = np.where(chooses, 'validation', 'train').astype(object)
  names[fold(subjects, num_folds) == test_fold] = 'test'
  return frame.assign(split=names)
