"""What is known of an image besides its pixels, as numbers for a head.

    frame = clinical.read('manifest.csv', rows, ('age', 'sex'))
    columns = clinical.learn(frame, is_train, positive)
    numbers = clinical.encode(columns, frame)          # float32[n, k]

A column whose values are numbers is one number; what is missing counts as the
mean of the training images. Of another column each value that enough training
images have is a number, 1 or 0; what is rarer, missing or new is 0 in all.
"""

from collections.abc import Sequence
import math
import os
import pathlib
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import records

# Of fewer training images a head learns who they are.
LEAST = 20
MOST_VALUES = 50


class Column(NamedTuple):
  """One column of a table, as `learn` found it among training images.

  Attributes:
    name: in the table.
    mean: of numbers; None for a column of names.
    names: values that have a number of their own; () for numbers.
  """

  name: str
  mean: float | None
  names: tuple[str, ...] = ()


def read(
  path: str | os.PathLike[str], rows: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
  """Columns of the table of some images.

  Args:
    path: as of `table.read`.
    rows: int64[n], the column `row` of its frame.
    names: of the columns.

  Returns:
    DataFrame of str with these columns, index 'row'.

  Raises:
    UsageError: a column that it lacks, or one named twice.
    DataError: no such table.
  """
  raw = records.read(pathlib.Path(path))
  for place, name in enumerate(names):
    if name not in raw:
      raise errors.unknown('column of --clinical', name, list(raw.columns))
    if name in names[:place]:
      raise errors.UsageError(f'--clinical names {name} twice.')
  return raw.loc[rows, list(names)].map(str.strip)


def learn(
  frame: pd.DataFrame, train: np.ndarray, positive: np.ndarray
) -> tuple[Column, ...]:
  """What each column holds, by the training images alone.

  Args:
    frame: of `read`.
    train: bool[n].
    positive: bool[n], to find a column that is the answer itself.

  Raises:
    DataError: a column of numbers and words, of more than 50 values, or of one.
    IntegrityError: a column that tells positive from negative without error.
  """
  return tuple(
    _column(frame[name], np.asarray(train), np.asarray(positive))
    for name in frame
  )


def encode(columns: Sequence[Column], frame: pd.DataFrame) -> np.ndarray:
  """Numbers of each image, float32[n, k]; k as the columns have it.

  Args:
    columns: of `learn`.
    frame: of str, with a column of each name.

  Raises:
    DataError: a word where numbers are.
  """
  found = []
  for column in columns:
    values = frame[column.name]
    if column.mean is None:
      found += [(values == name).to_numpy() for name in column.names]
    else:
      found.append(_numbers(values).fillna(column.mean).to_numpy())
  return np.stack(found, axis=1).astype(np.float32)


def given(columns: Sequence[Column], pairs: Sequence[str]) -> dict[str, str]:
  """What somebody typed of one image: ('age=60', 'sex=male').

  Args:
    columns: of the classifier.
    pairs: NAME=VALUE; a column that is not named is not known.

  Returns:
    name -> value of every column, '' where it is not known.

  Raises:
    UsageError: no pair, a name or value that the classifier does not know, or
      a name twice.
  """
  known = {column.name: column for column in columns}
  found = dict.fromkeys(known, '')
  for pair in pairs:
    name, equals, value = (part.strip() for part in pair.partition('='))
    if not equals:
      raise errors.UsageError(f'--clinical takes NAME=VALUE, got {pair!r}.')
    if name not in known:
      raise errors.unknown('name of --clinical', name, list(known))
    if found[name]:
      raise errors.UsageError(f'--clinical names {name} twice.')
    column = known[name]
    if column.mean is None and value not in (*column.names, ''):
      raise errors.unknown(f'value of {name}', value, column.names)
    if column.mean is not None and value and _number(value) is None:
      raise errors.UsageError(f'--clinical: {name} is a number, got {value!r}.')
    found[name] = value
  return found


def to_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
  """JSON values of columns."""
  return [column._asdict() for column in columns]


def from_json(values: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
  """Columns of what `to_json` gave."""
  return tuple(
    Column(each['name'], each['mean'], tuple(each['names'])) for each in values
  )


def _column(values: pd.Series, train, positive) -> Column:
  mine = values[train]
  there = mine[mine != '']
  if there.nunique() < 2:
    raise errors.DataError(
      f'--clinical: of the training images the column {values.name!r} has '
      f'{there.nunique()} values; it tells them nothing.'
    )
  _refuse_answer(there, positive[train][(mine != '').to_numpy()])
  is_number = there.map(_number).notna()
  if is_number.mean() > 0.5:
    return Column(str(values.name), float(_numbers(values)[train].mean()))
  counts = there.value_counts()
  names = sorted(counts.index[counts >= LEAST])
  if len(names) > MOST_VALUES or not names:
    raise errors.DataError(
      f'--clinical: the column {values.name!r} has {len(counts)} values, '
      f'{len(names)} of them in {LEAST} training images or more; it should '
      f'have 1 to {MOST_VALUES} such.'
    )
  return Column(str(values.name), None, tuple(names))


def _refuse_answer(values: pd.Series, positive: np.ndarray) -> None:
  """Refuses a column each of whose values means one class."""
  frame = pd.DataFrame({'value': values.to_numpy(), 'positive': positive})
  shares = frame.groupby('value')['positive'].mean()
  if len(shares) * 2 <= len(frame) and shares.isin([0.0, 1.0]).all():
    raise errors.IntegrityError(
      f'--clinical: the column {values.name!r} tells positive from negative '
      'training images without error: it is the answer, or was made from it.'
    )


def _number(value: str) -> float | None:
  try:
    found = float(value.replace('_', '?'))  # Python would accept 1_000
  except ValueError:
    return None
  return found if math.isfinite(found) else None


def _numbers(values: pd.Series) -> pd.Series:
  """float64, NaN where nothing stands."""
  there = values[values != '']
  found = there.map(_number).astype('float64')
  bad = there[found.isna()]
  if len(bad):
    lines = [f'  row {row}: {value!r}' for row, value in bad.items()]
    raise errors.DataError(
      f'--clinical: the column {values.name!r} holds numbers, and {len(bad)} '
      'words; leave empty what is not known:\n' + records.shorten(lines)
    )
  return found.reindex(values.index)
