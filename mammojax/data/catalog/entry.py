"""What an adapter of a public data set is made of.

A module of the catalog turns the files of one data set, as published, into the
rows of `mammojax.data.table`. It has

  OPTIONS    Mapping[str, Option]: what can be asked of it, all as text
  read       (root: pathlib.Path, **options: str) -> Entry

    frame, notes, terms = read(pathlib.Path('MIAS'), laterality='markers')

and ends with `make`, so that every data set comes out alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from mammojax import errors
from mammojax.data import splits, table, torn

CANONICAL = (*table.REQUIRED, *table.OPTIONAL)


class Entry(NamedTuple):
  """A data set as a table.

  Attributes:
    frame: str everywhere, one row an image: the canonical columns of `table`
      first, those of the data set after; what is not known is ''.
    notes: what was left out, merged or repaired, with counts.
    terms: what the licence demands that a user must know.
  """

  frame: pd.DataFrame
  notes: list[str]
  terms: str


class Option(NamedTuple):
  """One thing that can be asked of an adapter.

  Attributes:
    default: its value when nothing is said.
    choices: the values that it takes; empty for free text.
    meaning: one line.
  """

  default: str
  choices: tuple[str, ...]
  meaning: str

  def check(self, name: str, value: str) -> str:
    """The value.

    Args:
      name: of the option, for the message.
      value: what was asked for.

    Returns:
      `value`.

    Raises:
      UsageError: it is not one of the choices.
    """
    if self.choices and value not in self.choices:
      raise errors.unknown(f'value of {name}', value, self.choices)
    return value


def make(frame: pd.DataFrame, notes: Sequence[str], terms: str) -> Entry:
  """Puts a table into the common form and refuses one that breaks it.

  Args:
    frame: str columns, `path` and `subject` among them; a canonical column
      that is absent becomes '', and `item` the path.
    notes: see `Entry`.
    terms: see `Entry`.

  Returns:
    Entry with a RangeIndex.

  Raises:
    ValueError: a missing or doubled column, or a cell that is no text: a fault
      of the adapter.
    DataError: no row, an empty subject, or one path in several rows.
    IntegrityError: a subject in two splits.
  """
  missing = [name for name in table.REQUIRED if name not in frame]
  if missing or frame.columns.duplicated().any():
    raise ValueError(f'columns {list(frame.columns)}; {missing} are missing.')
  if frame.empty:
    raise errors.DataError('No image is left; nothing can be written.')
  frame = frame.reset_index(drop=True)
  for name in CANONICAL:
    if name not in frame:
      frame[name] = frame['path'] if name == 'item' else ''
  extra = [name for name in frame.columns if name not in CANONICAL]
  frame = frame[[*CANONICAL, *extra]]
  for name in frame.columns:
    kind = pd.api.types.infer_dtype(frame[name], skipna=False)
    if kind != 'string' or frame[name].isna().any():
      raise ValueError(f'column {name!r} holds {kind} values, not text alone.')
  _refuse(frame, frame['subject'].str.strip() == '', 'have no subject')
  _refuse(frame, frame['path'].duplicated(), 'come twice')
  torn.check_disjoint(frame)
  return Entry(frame, list(notes), terms)


def with_validation(
  frame: pd.DataFrame, one_in: int = 8
) -> tuple[pd.DataFrame, str]:
  """Takes validation subjects out of a published training split.

  By a hash of the subject, so that it stays the same when images are added.

  Args:
    frame: columns `subject` and `split`, of 'train' and 'test'.
    one_in: one training subject in so many chooses checkpoints.

  Returns:
    (a copy with those subjects as 'validation', the note).
  """
  train = frame['split'] == 'train'
  chosen = train & frame['subject'].map(
    lambda subject: splits.sha256_bucket(f'validation:{subject}', one_in) == 0
  )
  frame = frame.assign(split=frame['split'].mask(chosen, 'validation'))
  taken, of = (frame.loc[rows, 'subject'].nunique() for rows in (chosen, train))
  return frame, (
    f'No validation split is published: {taken} of {of} training subjects were'
    ' taken for it, by a hash of the subject.'
  )


def _refuse(frame: pd.DataFrame, wrong: pd.Series, what: str) -> None:
  paths = frame.loc[wrong, 'path'].tolist()
  if paths:
    shown = ', '.join(map(repr, paths[:5]))
    raise errors.DataError(f'{len(paths)} images {what}, such as {shown}.')
