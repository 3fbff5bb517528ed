"""A table of images, read as strings and checked whole before it is used.

    frame, store = read(
      'manifest.csv', columns={'subject': 'subject_id', 'diagnosis': 'label'})

The frame has a RangeIndex and these columns; text that the file lacks is ''.

  subject       str      the identity that is matched (required)
  path          str      file below the image root, and # and an index where
                         it holds many images, see `imagefiles` (required)
  item          str      one image; by default the path
  visit_months  float64  time of the exam; NaN when unknown
  laterality    str      'L', 'R' or ''
  view          str
  diagnosis     str
  split         str      'train', 'validation' or 'test'; by hash of the
                         subject when the file has no such column
  row           int64    where it stood in the file, as `records` counts
"""

from collections.abc import Callable, Mapping, Sequence
import difflib
import math
import os
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data import (
  checks,
  headers,
  imagefiles,
  readers,
  records,
  splits,
  torn,
)

REQUIRED = ('path', 'subject')
OPTIONAL = (
  'item',
  'visit_months',
  'laterality',
  'view',
  'diagnosis',
  'split',
)
ON_BAD = ('stop', 'skip')
_SIDES = {'': '', 'l': 'L', 'left': 'L', 'r': 'R', 'right': 'R'}
SPLITS = {'val': 'validation'} | {name: name for name in splits.NAMES}


def read(
  path: str | os.PathLike[str],
  *,
  root: str = '',
  columns: Mapping[str, str] | None = None,
  on_bad: str = 'stop',
  on_leak: str = 'stop',
  threads: int = 2,
  needs_split: bool = False,
  decoded: Sequence[int] | None = None,
  voi: str = 'none',
  key: bytes | None = None,
) -> tuple[pd.DataFrame, readers.Store]:
  """Reads a table and decodes every image of it once.

  Args:
    path: CSV or parquet, see `records`.
    root: folder or .zip of the images, absolute or relative to the table's
      folder. '' is that folder, or, when none of the images is there, the one
      zip beside the table that holds them.
    columns: canonical name -> column of the file; '' or absent means the
      canonical name itself, when the file has it.
    on_bad: 'stop', or 'skip': broken images are set aside and exact duplicate
      rows merged, each with a warning.
    on_leak: 'stop', or 'stamp': a subject may be in two splits of the table,
      which whoever measures says wherever a result is written.
    threads: images decoded at once.
    needs_split: refuse a table without a split column.
    decoded: the rows whose images were decoded before, by `row`: no image is
      decoded again, and other rows are set aside. None: all are decoded.
    voi: how DICOM files are read, a mode of `luts`.
    key: makes subjects pseudonyms, and reads those of DICOM files where the
      table has none, see `headers`.

  Returns:
    (frame as in the module, store of its images).

  Raises:
    UsageError: an unknown `on_bad`, `on_leak` or canonical name.
    DataError: columns, values, files or images that cannot be used; above 1 %
      broken images also under 'skip'. All of them in one message, by row.
    IntegrityError: additionally a subject in two splits, or an image with two
      subjects or two descriptions.
  """
  found = examine(
    path, root=root, columns=columns, needs_split=needs_split, key=key
  )
  return finish(
    *found,
    on_bad=on_bad,
    on_leak=on_leak,
    threads=threads,
    decoded=decoded,
    voi=voi,
  )


def finish(
  frame: pd.DataFrame,
  store: readers.Store,
  problems: checks.Problems,
  *,
  on_bad: str = 'stop',
  on_leak: str = 'stop',
  threads: int = 2,
  decoded: Sequence[int] | None = None,
  voi: str = 'none',
) -> tuple[pd.DataFrame, readers.Store]:
  """From what `examine` found to what `read` gives; arguments as there."""
  if on_bad not in ON_BAD:
    raise errors.unknown('on_bad', on_bad, ON_BAD)
  if on_leak not in torn.ON_LEAK:
    raise errors.unknown('on_leak', on_leak, torn.ON_LEAK)
  if on_leak == 'stamp':
    problems.drop(checks.TORN)
  if decoded is None:
    checks.check_images(frame, store, problems, threads, voi)
  if on_bad == 'skip':
    frame = checks.set_aside(frame, problems)
  problems.raise_if_any()
  if decoded is not None:
    frame = frame[frame['row'].isin(decoded)]
  return frame.reset_index(drop=True), store


def examine(
  path: str | os.PathLike[str],
  *,
  root: str = '',
  columns: Mapping[str, str] | None = None,
  needs_split: bool = False,
  key: bytes | None = None,
) -> tuple[pd.DataFrame, readers.Store, checks.Problems]:
  """Reads a table for somebody who wants to look at its problems.

  Args:
    path: see `read`.
    root: see `read`.
    columns: see `read`.
    needs_split: see `read`.
    key: see `read`.

  Returns:
    (frame of every row, store of its images, what is wrong with the values).
    A value that could not be understood stays as it was written. No image was
    opened.

  Raises:
    UsageError: an unknown canonical name.
    DataError: no table, columns that it lacks, or no such root.
  """
  table = pathlib.Path(path)
  return examine_records(
    records.read(table),
    f'The table {str(table)!r}',
    lambda paths: imagefiles.find_store(table, root, paths),
    columns=columns,
    needs_split=needs_split,
    key=key,
  )


def examine_records(
  raw: pd.DataFrame,
  source: str,
  open_store: Callable[[list[str]], readers.Store],
  *,
  columns: Mapping[str, str] | None = None,
  needs_split: bool = False,
  key: bytes | None = None,
) -> tuple[pd.DataFrame, readers.Store, checks.Problems]:
  """See `examine`, for records (str, index 'row') that come from elsewhere.

  A message begins with `source`; `open_store` takes all paths.
  """
  columns = columns or {}
  if key is not None:
    place = columns.get('path', '') or 'path'
    paths = raw[place].tolist() if place in raw else []
    raw = headers.complete(raw, columns, open_store(paths), key)
  frame, has_split = _canonical(raw, source, columns)
  if needs_split and not has_split:
    raise errors.DataError(
      f'{source} says nowhere which rows train and which test: give it a column'
      ' split, map data.columns.split, or choose another data.split_rule.'
    )
  problems = checks.Problems(source)
  _check_values(frame, has_split, problems)
  checks.check_identities(frame, problems)
  return frame, open_store(frame['path'].tolist()), problems


def _canonical(
  raw: pd.DataFrame, source_name: str, columns: Mapping[str, str]
) -> tuple[pd.DataFrame, bool]:
  """The canonical columns of a raw table, and whether it has splits."""
  for name in columns:
    if name not in REQUIRED + OPTIONAL:
      raise errors.unknown('column', name, REQUIRED + OPTIONAL)
  there = list(raw.columns)
  missing, frame = [], pd.DataFrame({'row': raw.index.to_numpy()})
  for name in REQUIRED + OPTIONAL:
    source = columns.get(name, '') or name
    if source in there:
      frame[name] = raw[source].to_numpy()
    elif name in REQUIRED or columns.get(name, ''):
      near = difflib.get_close_matches(source, there, n=1, cutoff=0.4)
      hint = f'; did you mean {near[0]!r}?' if near else ''
      missing.append(f'  {name}: no column {source!r}{hint}')
    else:
      frame[name] = ''
  if missing:
    raise errors.DataError(
      f'{source_name} lacks columns:\n'
      + '\n'.join(missing)
      + f'\nIt has: {", ".join(map(repr, there))}. Map them, for example'
      ' data.columns.subject=<column>; with data.key_file the subjects of DICOM'
      ' files are read from their headers.'
    )
  if 'item' not in there and not columns.get('item', ''):
    frame['item'] = frame['path']
  for name in frame.columns.difference(['row', 'path']):
    frame[name] = frame[name].str.strip()
  has_split = bool((frame['split'] != '').any())
  return frame, has_split


def _check_values(
  frame: pd.DataFrame, has_split: bool, problems: checks.Problems
) -> None:
  """Turns months, sides and splits into their canonical values, in place."""
  for name in REQUIRED + ('item',):
    for row in frame.loc[frame[name] == '', 'row']:
      problems.add(f'empty {name}', row, f'{name} is empty')
  _convert(frame, 'visit_months', _months, 'a number of months', problems)
  _convert(
    frame, 'laterality', _SIDES.get, 'L, R, left, right or empty', problems
  )
  if has_split:
    _convert(
      frame, 'split', SPLITS.get, 'train, validation, val or test', problems
    )
    # A split that could not be read is no other split.
    known = frame[frame['split'].isin(splits.NAMES)]
    for subject, where in torn.leaks(known).items():
      first = min(min(rows) for rows in where.values())
      what = torn.describe_leak(subject, where)
      problems.add(checks.TORN, first, what, True)
  else:
    frame['split'] = splits.assign(frame['subject'])


def _convert(
  frame: pd.DataFrame,
  name: str,
  convert: Callable[[str], object],
  wanted: str,
  problems: checks.Problems,
) -> None:
  known = {text: convert(text.lower()) for text in frame[name].unique()}
  wrong = [text for text, value in known.items() if value is None]
  for row, text in frame.loc[frame[name].isin(wrong), ['row', name]].to_numpy():
    problems.add(f'wrong {name}', row, f'{name} is {text!r}, not {wanted}')
  # An unknown value is kept, so that the checks after this one still hold.
  values = [text if text in wrong else known[text] for text in frame[name]]
  frame[name] = values


def _months(text: str) -> float | None:
  if not text:
    return math.nan
  try:
    value = float(text.replace('_', '?'))  # Python would accept 1_000
  except ValueError:
    return None
  return value if math.isfinite(value) else None
