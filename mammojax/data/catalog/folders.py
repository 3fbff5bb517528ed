"""A folder a subject: any images sorted by whom they show.

Layout: `<subject>/*.png`, or `train/<subject>/*.png` and so on, where the
folders are called train, validation (or val) and test. Folders within a
subject are read too. Endings: png, jpg, jpeg, pgm, dcm, dicom, npy.

One row an image, in order of the paths. Hidden files are passed over, files of
other endings are counted. Of train and test alone, some subjects of train
become validation.

Source: one's own folders.
"""

from collections.abc import Mapping
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'level': entry.Option(
    'auto',
    ('auto', 'subject', 'split'),
    'What the first folders are; auto: splits when all are called like one.',
  ),
}
TERMS = 'Those under which you hold the images.'
_SPLITS = {
  'train': 'train',
  'validation': 'validation',
  'val': 'validation',
  'test': 'test',
}


def read(root: pathlib.Path, *, level: str = 'auto') -> entry.Entry:
  """The images below a folder; see the module and `entry`.

  Args:
    root: the folder.
    level: 'auto', 'subject' or 'split'.

  Returns:
    Entry.

  Raises:
    UsageError: another `level`.
    DataError: no image, an image that lies in no subject, folders of which
      only some are called like splits, names that are not UTF-8.
    IntegrityError: a subject in two splits.
  """
  OPTIONS['level'].check('level', level)
  has_splits = _has_splits(root, level)
  depth = 3 if has_splits else 2
  rows, stray, others = [], [], 0
  for path in sorted(root.rglob('*')):
    place = path.relative_to(root)
    if any(part.startswith('.') for part in place.parts) or path.is_dir():
      continue
    if path.suffix.lower() not in published.SUFFIXES:
      others += 1
    elif len(place.parts) < depth:
      stray.append(str(place))
    else:
      split = _SPLITS[place.parts[0].lower()] if has_splits else ''
      rows.append((place.as_posix(), place.parts[depth - 2], split))
  if stray:
    raise errors.DataError(
      f'{len(stray)} images lie in no folder of a subject, such as'
      f' {", ".join(map(repr, stray[:5]))}.'
    )
  # A byte that is not UTF-8 is read as half a surrogate pair, and no table
  # can hold it.
  foreign = [path for path, *_ in rows if not _is_utf8(path)]
  if foreign:
    raise errors.DataError(
      f'{len(foreign)} images have names or folders that are not UTF-8, such as'
      f' {", ".join(map(ascii, foreign[:5]))}; rename them.'
    )
  frame = pd.DataFrame(rows, columns=['path', 'subject', 'split'])
  published.require(root, frame['path'])
  notes = [f'{others} files of other endings were passed over.']
  return entry.make(*_with_splits(frame, notes), TERMS)


def _is_utf8(path: str) -> bool:
  try:
    path.encode()
  except UnicodeEncodeError:
    return False
  return True


def _has_splits(root: pathlib.Path, level: str) -> bool:
  names = [
    path.name
    for path in sorted(published.folder(root).iterdir())
    if path.is_dir() and not path.name.startswith('.')
  ]
  rest = [name for name in names if name.lower() not in _SPLITS]
  if level == 'subject' or (level == 'auto' and len(rest) == len(names)):
    return False
  if rest:
    raise errors.DataError(
      f'{str(root)!r} holds the folders {", ".join(map(repr, names[:5]))}, of'
      f' which {rest[0]!r} is not called like a split'
      f' ({", ".join(_SPLITS)}). If the first folders are subjects, say'
      ' --level=subject.'
    )
  return True


def _with_splits(
  frame: pd.DataFrame, notes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
  """Adds validation to train and test; forgets a split that stands alone."""
  names = set(frame['split'])
  if len(names) == 1 and names != {''}:
    notes.append(f'There is only {names.pop()}: subjects are split by a hash.')
    frame = frame.assign(split='')
  elif names == {'train', 'test'}:
    frame, note = entry.with_validation(frame)
    notes.append(note)
  sizes = frame['subject'].value_counts()
  notes.append(
    f'{len(sizes)} subjects; {(sizes == 1).sum()} of them have one image and'
    ' can only be negatives.'
  )
  return frame, notes
