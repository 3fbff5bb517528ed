"""Records of a CSV or parquet file as strings, each with its place.

    frame = read(pathlib.Path('manifest.csv'))     # columns as in the file

Every cell is a string, so '00012', '1e5' and 2^60 survive; an empty or absent
cell is ''. The index is the place: the line of a CSV (the header is line 1, a
quoted line break counts), or the number of the record of a parquet, from 1.
"""

import csv
import io
import pathlib
import re

import pandas as pd
import pyarrow
from pyarrow import parquet

from mammojax import errors

_DELIMITERS = ',;\t'
_SHOWN = 20
# What pandas calls an index without a name.
_NO_NAME = re.compile(r'__index_level_\d+__')


def read(path: pathlib.Path) -> pd.DataFrame:
  """Reads a table.

  Args:
    path: `.parquet`, or delimited text (comma, semicolon or tab; UTF-8 with or
      without a byte order mark).

  Returns:
    DataFrame of str, index int64 named 'row'.

  Raises:
    DataError: no such file, not text, ragged or without rows.
  """
  if not path.is_file():
    raise errors.DataError(f'The table {str(path)!r} does not exist.')
  with path.open('rb') as file:
    is_parquet = file.read(4) == b'PAR1'
  frame = _read_parquet(path) if is_parquet else _read_text(path)
  doubled = frame.columns[frame.columns.duplicated()].unique().tolist()
  if doubled:
    raise errors.DataError(
      f'{str(path)!r}: the columns {doubled} occur twice; rename one of each.'
    )
  if frame.empty:
    raise errors.DataError(f'{str(path)!r} has a header and no rows.')
  frame.index.name = 'row'
  return frame


def _read_text(path: pathlib.Path) -> pd.DataFrame:
  text = _text(path)
  first = text.partition('\n')[0]
  delimiter = max(_DELIMITERS, key=first.count)
  # newline='' leaves line breaks inside quotes as they are.
  reader = csv.reader(
    io.StringIO(text, newline=''), delimiter=delimiter, strict=True
  )
  header: list[str] = []
  lines, records, ragged = [], [], []
  line = 1
  try:
    for record in reader:
      start, line = line, reader.line_num + 1
      if not any(cell.strip() for cell in record):
        continue
      if not header:
        header = [cell.strip() for cell in record]
      elif len(record) != len(header):
        ragged.append(f'  row {start}: {len(record)} cells')
      else:
        lines.append(start)
        records.append(record)
  except csv.Error as error:
    raise errors.DataError(
      f'{str(path)!r}, row {line}: {error}; check the quotes.'
    ) from error
  if not header:
    raise errors.DataError(f'{str(path)!r} is empty.')
  if ragged:
    raise errors.DataError(
      f'{str(path)!r}: {len(ragged)} rows do not have the {len(header)} cells'
      f' of the header (delimiter {delimiter!r}):\n' + shorten(ragged)
    )
  index = pd.Index(lines, dtype='int64')
  return pd.DataFrame(records, columns=header, index=index, dtype=object)


def shorten(lines: list[str]) -> str:
  """The first 20 lines and how many more there are."""
  more = len(lines) - _SHOWN
  return '\n'.join(lines[:_SHOWN] + ([f'  and {more} more'] * (more > 0)))


def _text(path: pathlib.Path) -> str:
  data = path.read_bytes()
  nul = data.find(b'\0')
  if nul >= 0:
    line = 1 + data.count(b'\n', 0, nul)
    raise errors.DataError(
      f'{str(path)!r}, line {line}: a NUL byte; save'
      ' the table as UTF-8 text (not UTF-16, not a spreadsheet file).'
    )
  try:
    return data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = 1 + data.count(b'\n', 0, error.start)
    raise errors.DataError(
      f'{str(path)!r}, line {line}: not UTF-8 ({error.reason}); save the table'
      ' as UTF-8.'
    ) from error


def _read_parquet(path: pathlib.Path) -> pd.DataFrame:
  try:
    # Not by pandas, which makes floats of whole numbers where one is missing,
    # and an index of the column that was one when the file was written.
    table = parquet.read_table(path)
    columns = [
      [_cell(value) for value in column.to_pylist()]
      for column in table.itercolumns()
    ]
  except (pyarrow.ArrowException, OSError, ValueError) as error:
    raise errors.DataError(
      f'{str(path)!r} cannot be read as parquet: {error}.'
    ) from error
  index = pd.RangeIndex(1, table.num_rows + 1)
  frame = pd.DataFrame(dict(enumerate(columns)), index, dtype=object)
  frame.columns = table.column_names
  return frame.drop(columns=list(filter(_NO_NAME.fullmatch, frame)))


def _cell(value: object) -> str:
  """A cell as it would be written: 12.0 as '12', nothing as ''."""
  if isinstance(value, bytes):
    return value.decode('utf-8', errors='backslashreplace')
  if pd.api.types.is_scalar(value) and pd.isna(value):
    return ''
  # Whoever wrote the file may have made floats of whole numbers with gaps.
  if isinstance(value, float) and value.is_integer():
    return str(int(value))
  return str(value)
