"""Which subjects train, which choose, which test: never by image.

    >>> from mammojax.data import splits
    >>> splits.sha256_bucket('HAM_0000000')
    2
    >>> list(splits.assign(['HAM_0000000']))
    ['train']

The rule by hash needs no stored list and no seed: the same subject falls on the
same side in every table, on every machine, and when more images arrive. The
other rules of `divided` share out the subjects of one table.
"""

from collections.abc import Iterable, Sequence
import hashlib
import math

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import strata, torn

NAMES = ('train', 'validation', 'test')
# Of rows that neither train nor choose, and are no test either.
HELD_OUT = 'held_out'
RULES = ('', 'column', 'hash', 'shuffled', 'stratified')
# Those that deal subjects out to fractions.
_DEALING = ('shuffled', 'stratified')
# Of the seven, one and two tenths of the rule by hash.
FRACTIONS = (0.7, 0.1, 0.2)
# Fractions are taken to a millionth.
_PARTS = 1_000_000


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


def _buckets(subjects: Iterable[str], modulo: int) -> list[int]:
  known: dict[str, int] = {}
  buckets = []
  for subject in subjects:
    if subject not in known:
      known[subject] = sha256_bucket(subject, modulo)
    buckets.append(known[subject])
  return buckets


def divided(
  frame: pd.DataFrame,
  rule: str = '',
  *,
  fractions: Sequence[float] = FRACTIONS,
  seed: int = 0,
  keep_test: bool = False,
  on_leak: str = 'stop',
) -> pd.DataFrame:
  """The table split by a rule.

  '' and 'column' leave the split as `table.read` gave it, 'hash' is `assign`,
  'shuffled' and 'stratified' deal the subjects out by `strata.divide`: to the
  fractions of all images, or of the images of every diagnosis (rows without
  one are a class of their own).

  Args:
    frame: one row an image: `subject`, `split` and, for 'stratified',
      `diagnosis`.
    rule: one of `RULES`.
    fractions: of 'shuffled' and 'stratified': the shares of train, validation
      and test; they add up to 1.
    seed: of 'shuffled' and 'stratified'.
    keep_test: of 'shuffled' and 'stratified': the test rows of the table stay,
      and the fractions, that of the test being 0, share out the rest.
    on_leak: 'stop', or 'stamp': a subject may be in two splits.

  Returns:
    A copy of the table.

  Raises:
    UsageError: an unknown rule, fractions that do not fit, no diagnosis, or
      `keep_test` with a rule that shares out nothing.
    IntegrityError: a subject in two splits.
  """
  if rule not in RULES:
    raise errors.unknown('data.split_rule', rule, filter(None, RULES))
  if keep_test and rule not in _DEALING:
    # By hash the table's own test rows would train.
    raise errors.UsageError(
      'data.keep_test shares out the rows that are no test rows, for which'
      f' data.split_rule must be {" or ".join(_DEALING)}, got {rule!r}.'
    )
  names = frame['split'].to_numpy(object).copy()
  if rule == 'hash':
    names = assign(frame['subject'])
  elif rule in _DEALING:
    weights = _weights(fractions, keep_test)
    rest = names != 'test' if keep_test else np.ones(len(frame), bool)
    part = _dealt(frame[rest], rule, weights, seed)
    names[rest] = np.array(NAMES, dtype=object)[part]
  divided_frame = frame.assign(split=names)
  if on_leak == 'stop':
    torn.check_disjoint(divided_frame)
  return divided_frame


def _weights(fractions: Sequence[float], keep_test: bool) -> list[int]:
  shares = [float(share) for share in fractions]
  fits = len(shares) == len(NAMES) and all(0 <= share <= 1 for share in shares)
  if not fits or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
    raise errors.UsageError(
      'data.split_fractions must be the shares of train, validation and test'
      f' and add up to 1, got {tuple(fractions)}.'
    )
  if keep_test and shares[2]:
    raise errors.UsageError(
      'data.keep_test keeps the test rows of the table, so the share of the'
      f' test in data.split_fractions must be 0.0, got {shares[2]}.'
    )
  return [round(share * _PARTS) for share in shares]


def _dealt(
  frame: pd.DataFrame, rule: str, weights: Sequence[int], seed: int
) -> np.ndarray:
  """int64[n]: the part of each image, by one of the two rules that deal."""
  classes = [''] * len(frame)
  if rule == 'stratified':
    classes = frame['diagnosis'].tolist()
    if not any(classes):
      raise errors.UsageError(
        "data.split_rule='stratified' needs a diagnosis, and the table has"
        " none. Map data.columns.diagnosis, or use 'shuffled'."
      )
  return strata.divide(frame['subject'], classes, weights, seed)


def with_folds(
  frame: pd.DataFrame,
  num_folds: int,
  test_fold: int,
  *,
  rule: str = '',
  seed: int = 0,
) -> pd.DataFrame:
  """The table split for one turn of a cross-validation by subject.

  The test split is the fold; of the other subjects every eighth, by a hash of
  its own, chooses the checkpoint, and the rest train. A split column of the
  table is replaced.

  Args:
    frame: one row an image.
    num_folds: at least 2.
    test_fold: 0 .. num_folds - 1.
    rule: '' and 'hash' make folds by `fold`; 'shuffled' and 'stratified' make
      equal ones by `strata.divide`, see `divided`.
    seed: of 'shuffled' and 'stratified'.

  Returns:
    A copy of the table.

  Raises:
    UsageError: a fold that does not exist, or a rule that makes none.
  """
  if rule not in RULES:
    raise errors.unknown('data.split_rule', rule, filter(None, RULES))
  if rule == 'column':
    raise errors.UsageError(
      "data.num_folds replaces the split column: data.split_rule='column' and"
      ' folds cannot both be had.'
    )
  if num_folds < 2 or not 0 <= test_fold < num_folds:
    raise errors.UsageError(
      f'data.fold must be 0 to data.num_folds - 1, got {test_fold} of '
      f'{num_folds} folds.'
    )
  subjects = frame['subject'].tolist()
  if rule in _DEALING:
    folds = _dealt(frame, rule, [1] * num_folds, seed)
  else:
    folds = fold(subjects, num_folds)
  chooses = np.array(
    [sha256_bucket(f'validation:{s}', 8) == 0 for s in subjects]
  )
  names = np.where(chooses, 'validation', 'train').astype(object)
  names[folds == test_fold] = 'test'
  return frame.assign(split=names)


def hold_out(frame: pd.DataFrame, diagnoses: Sequence[str]) -> pd.DataFrame:
  """A table whose diagnoses of these names are HELD_OUT, but for test rows.

  Args:
    frame: columns `diagnosis` and `split`.
    diagnoses: names.

  Raises:
    UsageError: a diagnosis that no row has.
  """
  known = sorted(set(frame['diagnosis']) - {''}) if len(diagnoses) else []
  for name in diagnoses:
    if name not in known:
      raise errors.unknown('diagnosis of data.held_out', name, known)
  is_held = frame['diagnosis'].isin(diagnoses) & (frame['split'] != 'test')
  return frame.assign(split=frame['split'].mask(is_held, HELD_OUT))
