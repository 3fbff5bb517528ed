"""ISIC 2020: 33,126 dermoscopies of 2,056 patients, 584 melanomas.

Layout: the table `ISIC_2020_Training_GroundTruth_v2.csv` (with lesion ids),
`ISIC_2020_Training_GroundTruth.csv`, Kaggle's `train.csv`, or the
`train-metadata.csv` of the copy of 256 x 256 pixels; beside it the images in
`train/`, `jpeg/train/`, `ISIC_2020_Training_JPEG/train/` or
`train-image/image/`, as .jpg or .dcm; and `ISIC_2020_Training_Duplicates.csv`
(columns image_name_1, image_name_2) or `2020_Challenge_duplicates.csv`
(ISIC_id, ISIC_id_paired, partition).

One row an image. Pairs of duplicates are merged transitively: A-B and B-C are
one group. Test images are published without a diagnosis and are not read.

Source: https://challenge.isic-archive.com/data/#2020; Rotemberg et al. (2021),
Scientific Data 8, 34, section Data Records.
"""

from collections.abc import Mapping
import pathlib

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'identity': entry.Option(
    'patient', ('patient', 'lesion'), 'Who is matched and split.'
  ),
  'duplicates': entry.Option(
    'drop',
    ('drop', 'merge', 'keep'),
    'Keep one image of each group, give all of them one subject, or look away.',
  ),
}
TERMS = (
  'CC BY-NC 4.0: not for commercial use; cite Rotemberg et al. (2021),'
  ' Scientific Data 8, 34, and doi.org/10.34970/2020-ds01.'
)
_TABLES = (
  'ISIC_2020_Training_GroundTruth_v2.csv',
  'ISIC_2020_Training_GroundTruth.csv',
  'train.csv',
  'train-metadata.csv',
)
_PAIRS = ('ISIC_2020_Training_Duplicates.csv', '2020_Challenge_duplicates.csv')
_PAIR_COLUMNS = (
  ('image_name_1', 'image_name_2'),
  ('isic_id', 'isic_id_paired'),
)
_FOLDERS = (
  'train',
  'jpeg/train',
  'ISIC_2020_Training_JPEG/train',
  'train-image/image',
)
_TARGETS = {'0': 'benign', '1': 'malignant'}
# Column of the data set -> column here.
_KEPT = {
  'patient_id': 'patient',
  'lesion_id': 'lesion',
  'diagnosis': 'lesion_type',
  'sex': 'sex',
  'age_approx': 'age',
  'anatom_site_general_challenge': 'site',
}


def read(
  root: pathlib.Path, *, identity: str = 'patient', duplicates: str = 'drop'
) -> entry.Entry:
  """The training images of a folder; see the module and `entry`.

  Args:
    root: folder of the table.
    identity: 'patient' or 'lesion'.
    duplicates: 'drop', 'merge' or 'keep'.

  Returns:
    Entry; `diagnosis` is benign or malignant. Extra columns patient, and
    lesion, lesion_type, sex, age, site where the table has them.

  Raises:
    UsageError: another option.
    DataError: files, columns or lesion ids missing, or a target not 0 or 1.
  """
  OPTIONS['identity'].check('identity', identity)
  OPTIONS['duplicates'].check('duplicates', duplicates)
  table = published.table(root, _TABLES, ('patient_id', 'target'))
  key = 'image_name' if 'image_name' in table else 'isic_id'
  subject = f'{identity}_id'
  for name in (key, subject):
    if name not in table:
      raise errors.DataError(
        f'The table in {str(root)!r} has no column {name!r}; {_TABLES[0]} has'
        ' image names, patients and lesions.'
      )
  wrong = table.index[~table['target'].isin(_TARGETS.keys())].tolist()
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} targets are not 0 or 1, such as in row {wrong[0]}.'
    )
  frame = pd.DataFrame(
    {
      'item': table[key],
      'subject': table[subject],
      'diagnosis': table['target'].map(_TARGETS),
      **{new: table[old] for old, new in _KEPT.items() if old in table},
    }
  ).reset_index(drop=True)
  notes = _notes(identity)
  if duplicates == 'keep':
    notes.append('Duplicates are kept: they may be in two splits.')
  else:
    frame = _settle(frame, _pairs(root), duplicates, notes)
  frame['path'] = published.places(root, frame['item'], _FOLDERS)
  notes.append(
    f'{(frame["diagnosis"] == "malignant").sum()} of {len(frame)} images are'
    ' malignant.'
  )
  return entry.make(frame, notes, TERMS)


def _pairs(root: pathlib.Path) -> pd.DataFrame:
  """Two columns of image names."""
  if not any((root / name).is_file() for name in _PAIRS):
    raise errors.DataError(
      f'{_PAIRS[0]!r} is not in {str(root)!r}: 425 images come twice. Fetch it'
      ' from the page of the challenge, or take the leak with'
      ' --duplicates=keep.'
    )
  table = published.table(root, _PAIRS, ())
  for names in _PAIR_COLUMNS:
    if set(names) <= set(table.columns):
      return table[list(names)].set_axis(['one', 'two'], axis=1)
  wanted = ' or '.join(', '.join(names) for names in _PAIR_COLUMNS)
  raise errors.DataError(
    f'The list of duplicates has {", ".join(table.columns)}, not {wanted}.'
  )


def _settle(
  frame: pd.DataFrame, pairs: pd.DataFrame, how: str, notes: list[str]
) -> pd.DataFrame:
  """Drops or merges duplicates, and says so."""
  known = pairs.isin(set(frame['item'])).all(axis=1)
  group = _components(frame['item'], pairs[known])
  sizes = frame.groupby(group)['subject'].transform('size')
  several = sizes > 1
  num_groups = len(np.unique(group[several]))
  labels = frame.groupby(group)['diagnosis'].nunique()
  subjects = frame.groupby(group)['subject'].nunique()
  notes.append(
    f'{len(pairs)} pairs of duplicates make {num_groups} groups of'
    f' {several.sum()} images; {(subjects > 1).sum()} groups are of several'
    f' subjects, {(labels > 1).sum()} of several diagnoses;'
    f' {(~known).sum()} pairs name an image that the table does not have.'
  )
  if how == 'drop':
    again = pd.Series(group).duplicated().to_numpy()
    notes.append(f'{again.sum()} images were left out, all but each first.')
    return frame[~again].reset_index(drop=True)
  # Whoever shares an image is one subject, with all that they have.
  first = frame.groupby(group)['subject'].transform('first')
  links = pd.DataFrame({'one': frame['subject'], 'two': first})
  names = pd.Series(frame['subject'].unique())
  merged = _components(names, links)
  # By the first name of each, which stays when rows are added below.
  new_name = names.groupby(merged).transform('first')
  notes.append(
    f'{len(names)} subjects became {new_name.nunique()}: who shares an image'
    ' is one.'
  )
  return frame.assign(
    subject=frame['subject'].map(dict(zip(names, new_name, strict=True)))
  )


def _components(names: pd.Series, pairs: pd.DataFrame) -> np.ndarray:
  """int[n], the same number for names that pairs link, directly or not."""
  place = {name: row for row, name in enumerate(names)}
  one, two = (pairs[side].map(place).to_numpy(np.int64) for side in pairs)
  graph = sparse.coo_array(
    (np.ones(len(pairs), bool), (one, two)), (len(names),) * 2
  )
  return csgraph.connected_components(graph, directed=False)[1]


def _notes(identity: str) -> list[str]:
  if identity == 'patient':
    return ['Subjects are patients; one has several lesions.']
  return [
    'Subjects are lesions: two lesions of a patient may be in two splits.'
  ]
