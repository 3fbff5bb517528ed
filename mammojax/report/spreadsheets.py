"""Tables as CSV that a spreadsheet opens without running anything.

    style.write_atomic(path, csv_bytes(frame))

A cell that begins with =, +, - or @ is a formula to a spreadsheet. Numbers and
a lone sign are left alone; other text that begins so gets a quote in front.
"""

import re

import pandas as pd

_FORMULA = ('=', '+', '-', '@', '\t', '\r')
# What stands for itself, such as the classes + and -, or the id -12.
_PLAIN = re.compile(r'[+-][0-9]*\.?[0-9]*')


def csv_bytes(frame: pd.DataFrame) -> bytes:
  """A table as UTF-8 CSV, guarded.

  Args:
    frame: any columns; its index is not written.

  Returns:
    the file's content.
  """
  safe = frame.copy()
  for name in safe.columns:
    if not pd.api.types.is_numeric_dtype(safe[name]):
      safe[name] = safe[name].map(_guarded)
  text = safe.to_csv(index=False, lineterminator='\n')
  # A file name may hold half a surrogate pair, which UTF-8 cannot express.
  return text.encode('utf-8', 'backslashreplace')


def table_bytes(frame: pd.DataFrame) -> bytes:
  """A table of images as CSV that `data.table` reads as it was.

  But for texts that look like a formula: they are read with their quote.

  Args:
    frame: columns of `table`; `row` is not written. A path that looks like a
      formula gets './' in front, which leads to the same file.

  Returns:
    the file's content.
  """
  written = frame.drop(columns='row', errors='ignore')
  paths = [
    f'./{path}' if path.startswith(_FORMULA) else path
    for path in written['path']
  ]
  return csv_bytes(written.assign(path=paths))


def _guarded(value: object) -> object:
  if (
    isinstance(value, str)
    and value.startswith(_FORMULA)
    and not _PLAIN.fullmatch(value)
  ):
    return "'" + value
  return value
