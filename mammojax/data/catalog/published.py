"""The files of a published data set: its own tables, and what must be there.

rows = table(root, 'train.csv', needs=('patient_id', 'image_id'))
paths = places(root, rows['image_id'], ('part_1', 'part_2'))
require(root, paths)
"""

from collections.abc import Iterable, Sequence
import difflib
import os
import pathlib
import re

import pandas as pd

from mammojax import errors
from mammojax.data import imagefiles, readers, records

# Endings of images; other files are passed over when a folder is listed.
SUFFIXES = ('.png', '.jpg', '.jpeg', '.pgm', '.dcm', '.dicom', '.npy')


def folder(root: pathlib.Path) -> pathlib.Path:
  """The root.

  Raises:
    DataError: it is no folder.
  """
  if not root.is_dir():
    raise errors.DataError(
      f'{str(root)!r} is not a folder; give the one the data set was unpacked'
      ' into.'
    )
  return root


def find(root: pathlib.Path, names: Sequence[str]) -> pathlib.Path:
  """The first of several places where a file may lie.

  Args:
    root: folder of the data set.
    names: paths below it, the likeliest first.

  Returns:
    root / name.

  Raises:
    DataError: it lies at none of them.
  """
  for name in names:
    if (folder(root) / name).is_file():
      return root / name
  there = sorted(path.name for path in root.iterdir())[:20]
  raise errors.DataError(
    f'{" or ".join(map(repr, names))} is not in {str(root)!r}, which holds'
    f' {", ".join(map(repr, there)) or "nothing"}.'
  )


def table(
  root: pathlib.Path, names: str | Sequence[str], needs: Sequence[str]
) -> pd.DataFrame:
  """A table of the data set, every cell as text, stripped.

  Headers become lower case with `_` for all that is no letter, digit or
  underscore, so `breast density`, `Breast_Density` and `breast-density` are
  one.

  Args:
    root: folder of the data set.
    names: where the table may lie, see `find`.
    needs: columns that must be there, in that spelling.

  Returns:
    DataFrame of str; the index is the line, see `records`.

  Raises:
    DataError: no such file, not a table, or columns missing.
  """
  path = find(root, [names] if isinstance(names, str) else names)
  frame = records.read(path)
  frame.columns = [_header(name) for name in frame.columns]
  there = frame.columns.tolist()
  missing = []
  for name in needs:
    if name not in there:
      near = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
      missing.append(repr(name) + (f' (near: {near[0]!r})' if near else ''))
  if missing:
    raise errors.DataError(
      f'{str(path)!r} lacks the columns {", ".join(missing)}. It has:'
      f' {", ".join(map(repr, there))}.'
    )
  doubled = frame.columns[frame.columns.duplicated()].unique().tolist()
  if doubled:
    raise errors.DataError(
      f'{str(path)!r}: two columns are called {doubled[0]!r}; rename one.'
    )
  return frame.apply(lambda column: column.str.strip())


def has(path: pathlib.Path, needs: Sequence[str]) -> bool:
  """Whether a comma-separated table is there and has some columns.

  Args:
    path: the file; only its first line is read.
    needs: columns, in the spelling of `table`.

  Returns:
    True when `table` would find them.
  """
  if not path.is_file():
    return False
  with path.open(encoding='utf-8-sig', errors='replace') as file:
    names = file.readline().split(',')
  return set(needs) <= {_header(name.strip(' "\r\n')) for name in names}


def places(
  root: pathlib.Path, names: Iterable[str], folders: Sequence[str]
) -> list[str]:
  """Where images lie that a table calls by name alone.

  Each folder is listed once, so a hundred thousand images take a second.

  Args:
    root: folder of the data set.
    names: file names, with or without their ending.
    folders: below the root, in the order they are searched; the root itself
      comes last.

  Returns:
    a path below the root for each name.

  Raises:
    DataError: the first 20 that lie nowhere, and the count.
  """
  found: dict[str, str] = {}
  for directory in (*folders, ''):
    if (root / directory).is_dir():
      with os.scandir(root / directory) as listed:
        files = [item.name for item in listed if item.is_file()]
      for name in sorted(files):
        stem, ending = os.path.splitext(name)
        if ending.lower() in SUFFIXES:
          for key in (name, stem):
            found.setdefault(key, f'{directory}/{name}'.lstrip('/'))
  names = list(names)
  paths = [found.get(name, f'{folders[0]}/{name}') for name in names]
  if not found.keys() >= set(names):
    require(root, paths)
  return paths


def require(root: pathlib.Path, paths: Iterable[str]) -> None:
  """Refuses a data set of which images are missing.

  Args:
    root: folder that the paths lead into.
    paths: as they will stand in the table.

  Raises:
    DataError: the first 20 that are missing or lead outside, and the count.
  """
  files = imagefiles.ImageFiles(readers.FolderStore(root))
  wrong, total = [], 0
  for path in paths:
    total += 1
    try:
      if not _is_there(root, files, path):
        wrong.append(f'  {path!r}')
    except errors.DataError as error:
      wrong.append(f'  {error}')
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} of {total} images are not in {str(root)!r}:\n'
      f'{records.shorten(wrong)}\n'
      'Fetch them, or check --root and the options.'
    )


def _is_there(
  root: pathlib.Path, files: imagefiles.ImageFiles, path: str
) -> bool:
  # Half a million images: links are followed, and judged, when they are read.
  is_plain = not path.startswith('/') and not set(path) & set('#\\:\0')
  if is_plain and '..' not in path.split('/'):
    return os.path.isfile(f'{root}/{path}')
  return files.exists(path)


def _header(name: str) -> str:
  return re.sub(r'\W+', '_', name.lower()).strip('_')
