"""CBIS-DDSM: scanned films of 1,566 women with masses and calcifications.

Layout: `mass_case_description_train_set.csv` and the three like it (calc,
test), in the root or in `csv/`, and anywhere below the root the DICOM series of
The Cancer Imaging Archive, in its classic folders
`Mass-Training_P_00001_LEFT_CC/<study>/<series>/*.dcm` or in the readable ones
that come with a `metadata.csv`.

The subject is `patient_id` of the csv files: PatientID of the DICOM files
names a view. A row of the csv is a lesion; `images='full'` gives one row a
film, `'crops'` one row a lesion.

Source: https://www.cancerimagingarchive.net/collection/cbis-ddsm; R. S. Lee et
al. (2017), Scientific Data 4, 170177.
"""

from collections.abc import Mapping
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import cbis_series, entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'images': entry.Option(
    'full', ('full', 'crops'), 'Whole films, or a patch a lesion.'
  ),
  'task': entry.Option(
    'pathology',
    ('pathology', 'abnormality'),
    'Diagnosis: benign or malignant, or mass or calcification.',
  ),
  'callback': entry.Option(
    'merge',
    ('merge', 'keep', 'drop'),
    'BENIGN_WITHOUT_CALLBACK: benign, a class of its own, or left out.',
  ),
  'overlap': entry.Option(
    'drop',
    ('drop', 'test', 'refuse'),
    'Patients in training and test: drop their training rows, test on all of'
    ' them, or stop.',
  ),
}
TERMS = (
  'CC BY 3.0: cite R. Sawyer-Lee et al. (2016), doi:'
  '10.7937/K9/TCIA.2016.7O02S9CY, and the data usage policy of The Cancer'
  ' Imaging Archive, which forbids identifying participants.'
)
_SETS = {
  'mass_train': 'mass_case_description_train_set.csv',
  'mass_test': 'mass_case_description_test_set.csv',
  'calc_train': 'calc_case_description_train_set.csv',
  'calc_test': 'calc_case_description_test_set.csv',
}
_NEEDS = (
  'patient_id', 'breast_density', 'left_or_right_breast', 'image_view',
  'abnormality_id', 'abnormality_type', 'assessment', 'pathology', 'subtlety',
  'image_file_path', 'cropped_image_file_path', 'roi_mask_file_path',
)  # fmt: skip
_PATHOLOGY = {
  'BENIGN_WITHOUT_CALLBACK': 'benign_without_callback',
  'BENIGN': 'benign',
  'MALIGNANT': 'malignant',
}
_RANK = {name: rank for rank, name in enumerate(_PATHOLOGY.values())}
_SIDES = {'LEFT': 'L', 'RIGHT': 'R'}
_VALUES = {
  'pathology': _PATHOLOGY,
  'left_or_right_breast': _SIDES,
  'image_view': {'CC': 'CC', 'MLO': 'MLO'},
  'abnormality_type': {'mass': 'mass', 'calcification': 'calcification'},
}


def read(
  root: pathlib.Path,
  *,
  images: str = 'full',
  task: str = 'pathology',
  callback: str = 'merge',
  overlap: str = 'drop',
) -> entry.Entry:
  """The films or patches of a folder; see the module and `entry`.

  Args:
    root: see the module.
    images: 'full' or 'crops'.
    task: what `diagnosis` is: 'pathology' (benign, malignant; of a film the
      worst of its lesions) or 'abnormality' (mass, calcification, of a film
      also mass_and_calcification).
    callback: 'merge', 'keep' or 'drop' BENIGN_WITHOUT_CALLBACK.
    overlap: what becomes of patients in training and in test: 'drop' leaves
      their training rows out, 'test' tests on all their rows, 'refuse' stops.

  Returns:
    Entry; extra columns abnormality, pathology, assessment, subtlety, density,
    lesion, set, of several lesions divided by `;`; crops also mask.

  Raises:
    UsageError: another value of an option.
    DataError: missing tables, columns or images, or values not of this set.
    IntegrityError: patients in training and test under 'refuse'.
  """
  given = {
    'images': images, 'task': task, 'callback': callback, 'overlap': overlap,
  }  # fmt: skip
  for name, value in given.items():
    OPTIONS[name].check(name, value)
  notes: list[str] = []
  lesions = _callback(_lesions(root), callback, notes)
  lesions = _disjoint(lesions, overlap, notes)
  series = cbis_series.Series(root)
  if images == 'full':
    frame = _films(lesions, series, notes)
  else:
    frame = _crops(lesions, series, notes)
  names = {'pathology': _worst, 'abnormality': _kinds}
  frame['diagnosis'] = frame[task].map(names[task])
  published.require(root, frame['path'])
  frame, note = entry.with_validation(frame)
  return entry.make(frame, [*notes, note], TERMS)


def _lesions(root: pathlib.Path) -> pd.DataFrame:
  """The rows of the four tables, with canonical values."""
  tables = []
  for name, file in _SETS.items():
    rows = published.table(root, (file, f'csv/{file}'), _NEEDS)
    for column, known in _VALUES.items():
      wrong = rows.index[~rows[column].isin(list(known))]
      if len(wrong):
        raise errors.DataError(
          f'{file!r}, row {wrong[0]}: {column} is'
          f' {rows.loc[wrong[0], column]!r}, not {" or ".join(known)};'
          f' {len(wrong)} such rows.'
        )
      rows[column] = rows[column].map(known)
    rows['set'] = name
    tables.append(rows.reset_index(drop=True))
  rows = pd.concat(tables, ignore_index=True)
  return pd.DataFrame(
    {
      'subject': rows['patient_id'],
      'laterality': rows['left_or_right_breast'],
      'view': rows['image_view'],
      'split': rows['set'].str.partition('_')[2],
      'abnormality': rows['abnormality_type'],
      'pathology': rows['pathology'],
      'assessment': rows['assessment'],
      'subtlety': rows['subtlety'],
      'density': rows['breast_density'],
      'lesion': rows['abnormality_id'],
      'set': rows['set'],
      'film': rows['image_file_path'],
      'crop': rows['cropped_image_file_path'],
      'roi': rows['roi_mask_file_path'],
    }
  )


def _callback(
  lesions: pd.DataFrame, callback: str, notes: list[str]
) -> pd.DataFrame:
  chosen = lesions['pathology'] == 'benign_without_callback'
  done = {
    'merge': 'called benign', 'keep': 'a class of their own',
    'drop': 'left out',
  }  # fmt: skip
  notes.append(
    f'{chosen.sum()} of {len(lesions)} lesions are BENIGN_WITHOUT_CALLBACK:'
    f' {done[callback]}.'
  )
  if callback == 'drop':
    return lesions[~chosen]
  if callback == 'merge':
    lesions = lesions.assign(
      pathology=lesions['pathology'].mask(chosen, 'benign')
    )
  return lesions


def _disjoint(
  lesions: pd.DataFrame, overlap: str, notes: list[str]
) -> pd.DataFrame:
  """No patient in training and in test."""
  tested = set(lesions.loc[lesions['split'] == 'test', 'subject'])
  both = (lesions['split'] == 'train') & lesions['subject'].isin(tested)
  patients = sorted(lesions.loc[both, 'subject'].unique())
  if not patients:
    notes.append('No patient is in training and in test.')
    return lesions
  what = (
    f'{len(patients)} patients are in training (mass or calc) and in test (the'
    f' other), with {both.sum()} training lesions, such as'
    f' {", ".join(map(repr, patients[:5]))}'
  )
  if overlap == 'refuse':
    raise errors.IntegrityError(
      f'{what}. Choose --overlap=drop, which leaves those training rows out, or'
      ' --overlap=test.'
    )
  if overlap == 'test':
    notes.append(
      f'{what}: moved to test, which is no longer the published one.'
    )
    return lesions.assign(split=lesions['split'].mask(both, 'test'))
  notes.append(f'{what}: those were left out of training.')
  return lesions[~both]


def _films(
  lesions: pd.DataFrame, series: cbis_series.Series, notes: list[str]
) -> pd.DataFrame:
  """One row a film: a film is a patient, a side and a view."""
  film = ['subject', 'laterality', 'view']
  lesions = lesions.assign(
    path=lesions['film'].map({f: series.full(f) for f in set(lesions['film'])})
  )
  files = lesions.groupby(film)['path'].nunique()
  notes.append(
    f'{len(lesions)} lesions lie on {len(files)} films: one row a film.'
    f' {(files > 1).sum()} films come as several files, with mass and calc: the'
    ' first is used.'
  )
  frame = _merge(lesions.drop(columns=['film', 'crop', 'roi']), film)
  frame['item'] = frame['subject'] + '_' + frame['laterality'] + frame['view']
  return frame


def _crops(
  lesions: pd.DataFrame, series: cbis_series.Series, notes: list[str]
) -> pd.DataFrame:
  """One row a lesion."""
  found = [
    series.crop_and_mask(names)
    for names in zip(lesions['crop'], lesions['roi'], strict=True)
  ]
  lesions = lesions.assign(
    path=[crop for crop, _, _ in found], mask=[mask for _, mask, _ in found]
  )
  swapped = sum(
    crop != series.expected(name)
    for name, (crop, _, _) in zip(lesions['crop'], found, strict=True)
  )
  ways = [how for _, _, how in found]
  notes.append(
    f'{swapped} of {len(found)} crops are not the file that the csv names.'
    f' Crops were told from masks by SeriesDescription'
    f' {ways.count("description")} times, by their pixels'
    f' {ways.count("content")} times.'
  )
  shared = lesions['path'].duplicated().sum()
  if shared:
    notes.append(f'{shared} lesions share a crop with another: merged.')
  return _merge(lesions.drop(columns=['film', 'crop', 'roi']), ['path'])


def _merge(lesions: pd.DataFrame, by: list[str]) -> pd.DataFrame:
  """One row a group: lists of what belongs to a lesion, else the first."""
  joined = (
    'abnormality', 'pathology', 'assessment', 'subtlety', 'lesion', 'set',
  )  # fmt: skip
  how = {
    column: ';'.join if column in joined else 'first'
    for column in lesions.columns.drop(by)
  }
  for name, several in lesions.groupby(by)['subject'].nunique().items():
    if several > 1:
      raise errors.IntegrityError(
        f'{name!r} is a crop of {several} patients; fetch the series again.'
      )
  return lesions.groupby(by, sort=False, as_index=False).agg(how)


def _worst(pathologies: str) -> str:
  return max(pathologies.split(';'), key=_RANK.__getitem__)


def _kinds(abnormalities: str) -> str:
  return '_and_'.join(sorted(set(abnormalities.split(';')), reverse=True))
