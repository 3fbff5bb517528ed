"""Subjects of a table under a key, and columns that DICOM headers hold.

    raw = complete(raw, columns, store, key)

With a key the subjects of any table become pseudonyms before anything else is
done, so no message, split or file of a run ever holds one. Of a table of DICOM
files, columns that it lacks (subject, laterality, view, visit_months) are read
from the headers. Dates enter as months since the first exam of the subject.
"""

from collections.abc import Mapping

import pandas as pd

from mammojax import errors
from mammojax.data import (
  dicom,
  dicomtags,
  imagefiles,
  pseudonyms,
  readers,
  records,
)

_HELD = ('subject', 'laterality', 'view', 'visit_months')
_DAYS_A_MONTH = 30.4375


def complete(
  raw: pd.DataFrame,
  columns: Mapping[str, str],
  store: readers.Store,
  key: bytes,
) -> pd.DataFrame:
  """The table with pseudonyms, and with what the headers say.

  Args:
    raw: str, index 'row', with a column of paths, see `records.read`.
    columns: canonical name -> column of the table; absent or '' where they
      are the same.
    store: where the paths lead.
    key: see `pseudonyms.load_key`.

  Returns:
    A copy with further columns.

  Raises:
    DataError: files whose header cannot be read, all of them by row.
  """
  named = {name: columns.get(name, '') or name for name in ('path', *_HELD)}
  raw = raw.copy()
  lacking = [name for name in _HELD if named[name] not in raw]
  if 'subject' not in lacking:
    column = named['subject']
    raw[column] = [
      pseudonyms.pseudonym(text, key) if text.strip() else text
      for text in raw[column]
    ]
  if named['path'] not in raw or not lacking:
    return raw
  # A column that was mapped by name is missed with the others, by name.
  lacking = [name for name in lacking if not columns.get(name, '')]
  files = imagefiles.ImageFiles(store)
  about = _headers(raw[named['path']], files, key, 'subject' in lacking)
  if not about:
    return raw
  found = {
    'subject': [header.subject for header in about],
    'laterality': [header.laterality for header in about],
    'view': [header.view for header in about],
  }
  days = pseudonyms.days_since_first(
    raw.get(named['subject'], found['subject']),
    [header.exam_date for header in about],
  )
  found['visit_months'] = [
    '' if day is None else f'{day / _DAYS_A_MONTH:.2f}' for day in days
  ]
  for name in lacking:
    raw[name] = found[name]
  return raw


def _headers(
  paths: pd.Series,
  files: imagefiles.ImageFiles,
  key: bytes,
  is_needed: bool,
) -> list[dicomtags.Header]:
  """The header of every row; none where not all rows are DICOM files."""
  about, lines = [], []
  for row, path in paths.items():
    try:
      data = files.read(path)
      if not dicom.matches(data):
        if not is_needed:
          return []
        raise errors.DataError(f'{path!r} is no DICOM file')
      about.append(dicomtags.header(data, path, key))
    except errors.DataError as error:
      lines.append(f'  row {row}: {error}')
  if lines and is_needed:
    raise errors.DataError(
      'The table has no column subject, and the headers of its files do not'
      f' tell it ({len(lines)}):\n{records.shorten(lines)}\nName the column,'
      ' for example data.columns.subject=<column>.'
    )
  return [] if lines else about
