"""NIH ChestX-ray14: 112,120 chest radiographs of 30,805 patients.

Layout: `Data_Entry_2017_v2020.csv` or `Data_Entry_2017.csv`, the lists
`train_val_list.txt` and `test_list.txt`, and the images in
`images_001/images/` to `images_012/images/`, or all in `images/`.

One row an image. `Follow-up #` is an order and not a time: the distance is the
age less the age at the first follow-up of the patient, in whole years, and
`visit_months` twelve times that. Ages read 58, 058Y, 011M or 013D. Those above
120 years are errors of the file, and the images are left out unless it is
asked otherwise. Patients with one image stay: they are negatives.

Source: https://nihcc.app.box.com/v/ChestXray-NIHCC, README_CHESTXRAY.pdf; the
distance as in Nguyen et al. (2022), github.com/Oulu-IMEDS/AdaTriplet,
common/prepare_dataframe.py.
"""

from collections.abc import Mapping
import pathlib
import re

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'split': entry.Option(
    'official',
    ('official', 'hash'),
    'The published lists, of which training is shared with validation, or a'
    ' hash of the patient.',
  ),
  'ages': entry.Option(
    'leave_out',
    ('leave_out', 'keep'),
    'What becomes of images with an impossible age; kept, their time is'
    ' unknown.',
  ),
}
TERMS = (
  'Free to use; link to nihcc.app.box.com/v/ChestXray-NIHCC, cite Wang et al.'
  ' (2017), CVPR, and acknowledge the NIH Clinical Center.'
)
_TABLES = ('Data_Entry_2017_v2020.csv', 'Data_Entry_2017.csv')
_NEEDS = (
  'image_index',
  'finding_labels',
  'follow_up',
  'patient_id',
  'patient_age',
  'view_position',
)
_FOLDERS = tuple(f'images_{part:03d}/images' for part in range(1, 13)) + (
  'images',
)
_LISTS = {'train': 'train_val_list.txt', 'test': 'test_list.txt'}
_AGE = re.compile(r'(\d{1,3})([YMD]?)')
_YEARS = {'': 1.0, 'Y': 1.0, 'M': 12.0, 'D': 365.25}
_OLDEST = 120


def read(
  root: pathlib.Path, *, split: str = 'official', ages: str = 'leave_out'
) -> entry.Entry:
  """The radiographs of a folder; see the module and `entry`.

  Args:
    root: folder of the table.
    split: 'official' or 'hash'.
    ages: 'leave_out' or 'keep'.

  Returns:
    Entry; `diagnosis` holds all findings, divided by `|`. Extra columns
    follow_up, age and sex.

  Raises:
    UsageError: another option.
    DataError: files or columns missing, ages or follow-ups that are no
      numbers, images on no list or on both.
    IntegrityError: a patient on both lists.
  """
  OPTIONS['split'].check('split', split)
  OPTIONS['ages'].check('ages', ages)
  table = published.table(root, _TABLES, _NEEDS)
  sex = 'patient_sex' if 'patient_sex' in table else 'patient_gender'
  frame = pd.DataFrame(
    {
      'item': table['image_index'],
      'subject': table['patient_id'],
      'view': table['view_position'],
      'diagnosis': table['finding_labels'],
      'follow_up': table['follow_up'],
      'age': table['patient_age'],
      'sex': table.get(sex, ''),
    }
  )
  notes: list[str] = []
  frame = _timed(frame, ages, notes).reset_index(drop=True)
  if split == 'official':
    frame['split'] = _listed(root, frame['item'])
    frame, note = entry.with_validation(frame)
    notes.append(note)
  frame['path'] = published.places(root, frame['item'], _FOLDERS)
  sizes = frame['subject'].value_counts()
  notes.append(
    f'{len(sizes)} patients; {(sizes == 1).sum()} of them have one image and'
    ' can only be negatives.'
  )
  return entry.make(frame, notes, TERMS)


def _timed(frame: pd.DataFrame, ages: str, notes: list[str]) -> pd.DataFrame:
  """Adds visit_months, the years since the first follow-up times twelve."""
  order = pd.to_numeric(frame['follow_up'], errors='coerce')
  years = frame['age'].map(_age)
  wrong = frame.index[order.isna() | years.isna()].tolist()
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} rows have a follow-up or an age that is no number, such as'
      f' row {wrong[0]}: {frame.loc[wrong[0], "follow_up"]!r} and'
      f' {frame.loc[wrong[0], "age"]!r}.'
    )
  possible = years <= _OLDEST
  start = frame['subject'].map(
    order[possible].groupby(frame['subject'][possible]).min()
  )
  # Two images of the first follow-up would have one age; the table has none.
  first = years[possible & (order == start)].groupby(frame['subject']).first()
  distance = (years - frame['subject'].map(first)).where(possible)
  months = (12.0 * distance).map(
    lambda value: '' if np.isnan(value) else f'{value:g}'
  )
  frame = frame.assign(visit_months=months)
  late = (start > 0) & (order == start)
  notes.append(
    f'{(~possible).sum()} images have an age above {_OLDEST} years: '
    + ('left out.' if ages == 'leave_out' else 'their time is unknown.')
  )
  notes.append(
    f'{late.sum()} patients begin after follow-up 0; {(distance < 0).sum()}'
    ' images show a patient younger than at the first follow-up.'
  )
  return frame[possible] if ages == 'leave_out' else frame


def _age(text: str) -> float:
  """Years, whole ones where the file has whole ones; NaN for no age."""
  found = _AGE.fullmatch(text.upper())
  return float(found[1]) / _YEARS[found[2]] if found else np.nan


def _listed(root: pathlib.Path, items: pd.Series) -> pd.Series:
  """The list that each image is on."""
  lists = {
    name: set(published.find(root, [file]).read_text('utf-8').split())
    for name, file in _LISTS.items()
  }
  there = {name: items.isin(names) for name, names in lists.items()}
  wrong = items[there['train'] == there['test']].tolist()
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} images are on none of {", ".join(_LISTS.values())} or on'
      f' both, such as {", ".join(wrong[:5])}.'
    )
  return there['test'].map({True: 'test', False: 'train'})
