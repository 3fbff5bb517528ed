"""What can be wrong with a table of images, gathered and told at once."""

from collections.abc import Iterator
from concurrent import futures
import logging
import pathlib
import posixpath

import pandas as pd

from mammojax import errors
from mammojax.data import imagefiles, readers, records

_LOG = logging.getLogger(__name__)

# Setting aside more than this share hides a broken copy, not a broken file.
MAX_SKIPPED = 0.01
_BROKEN = 'images that cannot be read'
_REPEATED = 'rows that repeat another row'
_DESCRIBED = 'one image described in two ways'
_SHARED = 'one item of two subjects'
TORN = 'subjects in more than one split'
# What is wrong between rows, while each row alone can be used.
BETWEEN_ROWS = (_REPEATED, _DESCRIBED, _SHARED, TORN)


class Problems:
  """What is wrong with a table, gathered so that all of it is told at once."""

  def __init__(self, source: str):
    self._source = source
    self._found: dict[str, list[tuple[int, str]]] = {}
    self._leaks: set[str] = set()
    self._notes: list[str] = []

  def add(self, kind: str, row: int, what: str, is_leak: bool = False) -> None:
    """Notes one problem.

    Args:
      kind: heading under which it is listed.
      row: first row it concerns.
      what: the rest of the line.
      is_leak: whether it ends with IntegrityError.
    """
    self._found.setdefault(kind, []).append((row, what))
    if is_leak:
      self._leaks.add(kind)

  def kinds(self) -> list[str]:
    """The headings under which something was noted."""
    return list(self._found)

  def lines(self, kind: str) -> list[str]:
    """The problems of one kind, in order of the rows."""
    return [
      f'  row {row}: {what}' for row, what in sorted(self._found.get(kind, []))
    ]

  def rows(self, kind: str) -> list[int]:
    """The rows of one kind."""
    return [row for row, _ in self._found.get(kind, [])]

  def drop(self, kind: str) -> None:
    """Forgets one kind."""
    self._found.pop(kind, None)
    self._leaks.discard(kind)

  def note(self, text: str) -> None:
    """Adds a sentence to the end of the message."""
    self._notes.append(text)

  def raise_if_any(self) -> None:
    """Raises one error: the first 20 of every kind, and their count.

    Raises:
      IntegrityError: when a subject or image would be on two sides.
      DataError: for all else.
    """
    if not self._found:
      return
    parts = [
      f'{kind} ({len(found)}):\n{records.shorten(self.lines(kind))}'
      for kind, found in self._found.items()
    ]
    kind = errors.IntegrityError if self._leaks else errors.DataError
    parts = [f'{self._source} cannot be used.', *parts, *self._notes]
    raise kind('\n'.join(parts))


def check_identities(frame: pd.DataFrame, problems: Problems) -> None:
  """Looks for rows of one image, or of one item, that do not agree.

  Args:
    frame: all columns of `table`.
    problems: where repeated rows, images described in two ways and items of
      two subjects are noted.
  """
  described = frame.drop(columns='row').astype(str)
  described['path'] = described['path'].map(posixpath.normpath)
  first: dict[tuple[str, ...], int] = {}
  keys = described.itertuples(index=False, name=None)
  for row, key in zip(frame['row'].tolist(), keys, strict=True):
    if first.setdefault(key, row) != row:
      problems.add(_REPEATED, row, f'the same as row {first[key]}')
  described.insert(0, 'row', frame['row'])
  distinct = described[~described.drop(columns='row').duplicated()]
  for path, rows in _groups(distinct, 'path'):
    differing = [
      _values(rows, column)
      for column in rows.columns.drop(['row', 'path'])
      if rows[column].nunique() > 1
    ]
    problems.add(
      _DESCRIBED,
      int(rows['row'].iloc[0]),
      f'{path!r} has {"; ".join(differing)}',
      is_leak=True,
    )
  for item, rows in _groups(distinct, 'item'):
    # Two subjects at one path were told above.
    if rows['subject'].nunique() > 1 and rows['path'].nunique() > 1:
      problems.add(
        _SHARED,
        int(rows['row'].iloc[0]),
        f'item {item!r} has {_values(rows, "subject")}',
        is_leak=True,
      )


def check_images(
  frame: pd.DataFrame,
  store: readers.Store,
  problems: Problems,
  threads: int,
  voi: str = 'none',
) -> None:
  """Decodes every image once.

  Args:
    frame: columns `path` and `row`.
    store: where the paths lead.
    problems: where missing, refused and broken files are noted.
    threads: images decoded at once.
    voi: how DICOM files are read, a mode of `luts`.
  """
  unique = frame[(frame['path'] != '') & ~frame['path'].duplicated()]
  files = imagefiles.ImageFiles(store, voi)
  with futures.ThreadPoolExecutor(threads) as pool:
    results = pool.map(
      lambda path: _look(files, store.root, path), unique['path']
    )
    found = list(zip(unique['row'].tolist(), results, strict=True))
  constant = []
  for row, (kind, what) in found:
    if kind == 'constant':
      constant.append(f'row {row}: {what}')
    elif kind:
      problems.add(kind, row, what)
  if constant:
    _LOG.warning(
      '%d images are of one grey value:\n%s',
      len(constant),
      records.shorten(constant),
    )


def set_aside(frame: pd.DataFrame, problems: Problems) -> pd.DataFrame:
  """Drops broken images and repeated rows with a warning.

  Args:
    frame: columns `path` and `row`.
    problems: broken images and repeated rows are taken off it, unless more
      than 1 % of the rows are broken.

  Returns:
    The rows that are left.
  """
  broken = frame['row'].isin(problems.rows(_BROKEN))
  # Rows that share a broken path are as broken.
  broken = frame['path'].isin(frame.loc[broken, 'path'])
  repeated = frame['row'].isin(problems.rows(_REPEATED))
  dropped = repeated
  if repeated.any():
    _warn(problems, _REPEATED, 'merged')
  if broken.sum() > MAX_SKIPPED * len(frame):
    problems.note(
      f'Of {len(frame)} images {broken.sum()} are broken; at most'
      f' {MAX_SKIPPED:.0%} is set aside.'
    )
  elif broken.any():
    _warn(problems, _BROKEN, 'set aside')
    dropped = dropped | broken
  return frame[~dropped]


def _warn(problems: Problems, kind: str, what: str) -> None:
  lines = problems.lines(kind)
  problems.drop(kind)
  _LOG.warning('%d %s, %s:\n%s', len(lines), kind, what, records.shorten(lines))


def _look(
  files: imagefiles.ImageFiles, root: pathlib.Path, path: str
) -> tuple[str, str]:
  """(kind of problem or '', what to say) of one image."""
  try:
    if not files.exists(path):
      return 'missing files', f'{path!r} is not in {root}'
  except errors.DataError as error:
    return 'paths that are refused', str(error)
  try:
    image = files.image(path)
  except errors.DataError as error:
    return _BROKEN, str(error)
  return ('constant', repr(path)) if image.min() == image.max() else ('', '')


def _groups(
  frame: pd.DataFrame, column: str
) -> Iterator[tuple[str, pd.DataFrame]]:
  """Rows that share a value which is not empty."""
  shared = frame[frame[column].duplicated(keep=False) & (frame[column] != '')]
  yield from shared.groupby(column, sort=False)


def _values(frame: pd.DataFrame, column: str) -> str:
  """The values of a column, each with the rows that hold it."""
  rows_of = frame.groupby(column, sort=False)['row'].agg(list)
  parts = [
    f'{value!r} (row {", ".join(map(str, rows[:5]))})'
    for value, rows in rows_of.items()
  ]
  return f'{column} ' + ' and '.join(parts)
