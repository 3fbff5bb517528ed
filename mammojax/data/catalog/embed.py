"""EMBED: mammograms of 22,382 women over up to eight years, with findings.

Layout of the open release: `tables/EMBED_OpenData_metadata.csv` (a row an
image), `tables/EMBED_OpenData_clinical.csv` (a row a finding), or the two
`..._reduced.csv`, and `images/cohort_1/<patient>/<study>/.../<image>.dcm`.

The subject is `empi_anon`; `study_date_anon` becomes months since her first
exam, so the set is truly longitudinal. Findings are joined to the images of
their exam and side, never to the other breast, and merged: one row an image.

Source: https://github.com/Emory-HITI/EMBED_Open_Data, README.md; J. J. Jeong et
al. (2023), Radiology: Artificial Intelligence 5, e220047.
"""

from collections.abc import Mapping, Sequence
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published, times

OPTIONS: Mapping[str, entry.Option] = {
  'images': entry.Option(
    '2D', ('2D', 'C-view', 'all'), 'Digital, synthetic, or both.'
  ),
  'views': entry.Option(
    'standard',
    ('standard', 'all'),
    'Only CC and MLO of the whole breast, or spot and magnified ones too.',
  ),
  'diagnosis': entry.Option(
    'birads', ('birads', 'pathology'), 'The worst BI-RADS, or pathology.'
  ),
}
TERMS = (
  'EMBED Research Use Agreement: personal, non-commercial research; images may'
  ' not be handed on, and no model, weights or embedding space trained on them'
  ' may be released without permission. Re-identification is prohibited and'
  ' must be reported.'
)
_METADATA = (
  'empi_anon', 'acc_anon', 'study_date_anon', 'anon_dicom_path',
  'finalimagetype', 'imagelateralityfinal', 'viewposition',
)  # fmt: skip
_CLINICAL = ('empi_anon', 'acc_anon', 'side', 'asses')
_PATHOLOGICAL = (*_CLINICAL, 'bside', 'path_severity')
# From harmless to proven; an incomplete assessment outweighs a benign one.
_BIRADS = {
  'N': 'BI-RADS 1', 'B': 'BI-RADS 2', 'P': 'BI-RADS 3', 'A': 'BI-RADS 0',
  'S': 'BI-RADS 4', 'M': 'BI-RADS 5', 'K': 'BI-RADS 6',
}  # fmt: skip
_PATHOLOGY = {
  '5': 'negative', '4': 'benign', '3': 'borderline', '2': 'high_risk',
  '6': 'non_breast_cancer', '1': 'non_invasive_cancer', '0': 'invasive_cancer',
}  # fmt: skip
_KEY = ['subject', 'exam', 'laterality']


def read(
  root: pathlib.Path,
  *,
  images: str = '2D',
  views: str = 'standard',
  diagnosis: str = 'birads',
) -> entry.Entry:
  """The images of a folder; see the module and `entry`.

  Args:
    root: folder of `tables` and `images`.
    images: FinalImageType: '2D', 'C-view' or 'all' of these two.
    views: 'standard' is CC and MLO without spot compression or magnification.
    diagnosis: 'birads' is the worst assessment of the side in the exam, in the
      order 1, 2, 3, 0, 4, 5, 6; 'pathology' the worst specimen of the side.

  Returns:
    Entry; extra columns exam, image_type, birads, pathology, num_findings.

  Raises:
    UsageError: another value of an option.
    DataError: missing tables, columns or images, or a date that is none.
  """
  given = {'images': images, 'views': views, 'diagnosis': diagnosis}
  for name, value in given.items():
    OPTIONS[name].check(name, value)
  notes: list[str] = []
  frame = _images(root)
  frame = _chosen(frame, images, views, notes)
  frame['path'] = _places(root, frame.pop('dicom'))
  frame = _with_findings(root, frame, notes)
  frame['diagnosis'] = frame[diagnosis]
  published.require(root, frame['path'])
  frame['visit_months'] = _months(frame.pop('date'), frame['subject'], notes)
  return entry.make(frame, notes, TERMS)


def _table(root: pathlib.Path, name: str, needs: Sequence[str]) -> pd.DataFrame:
  """A table of the release: the short one where it says enough."""
  files = [f'EMBED_OpenData_{name}_reduced.csv', f'EMBED_OpenData_{name}.csv']
  places = [f'tables/{file}' for file in files] + files
  enough = [place for place in places if published.has(root / place, needs)]
  return published.table(root, enough or places, needs)


def _images(root: pathlib.Path) -> pd.DataFrame:
  rows = _table(root, 'metadata', _METADATA)
  spot = rows.get('spot_mag', '')
  return pd.DataFrame(
    {
      'subject': rows['empi_anon'],
      'laterality': rows['imagelateralityfinal'],
      'view': rows['viewposition'],
      'exam': rows['acc_anon'],
      'image_type': rows['finalimagetype'],
      'dicom': rows['anon_dicom_path'],
      'date': rows['study_date_anon'],
      'spot': spot,
    }
  )


def _chosen(
  frame: pd.DataFrame, images: str, views: str, notes: list[str]
) -> pd.DataFrame:
  """The images that were asked for, each file once."""
  total = len(frame)
  types = OPTIONS['images'].choices[:2] if images == 'all' else (images,)
  kept = frame['image_type'].isin(types)
  notes.append(f'{(~kept).sum()} of {total} images are not {images}: left out.')
  if views == 'standard':
    whole = frame['view'].isin(['CC', 'MLO'])
    whole &= ~frame['spot'].isin(['1', '1.0'])
    notes.append(
      f'{(kept & ~whole).sum()} spot, magnified or other views: left out.'
    )
    kept &= whole
  frame = frame[kept].drop(columns='spot')
  repeated = frame['dicom'].duplicated()
  if repeated.any():
    notes.append(f'{repeated.sum()} rows repeat a file: merged.')
  return frame[~repeated].reset_index(drop=True)


def _places(root: pathlib.Path, dicom: pd.Series) -> pd.Series:
  """Published paths begin on a disk of their makers; cohort_N is ours too."""
  below = dicom.str.replace(r'^.*?(?=cohort_\d)', '', regex=True)
  return 'images/' + below if (root / 'images').is_dir() else below


def _with_findings(
  root: pathlib.Path, frame: pd.DataFrame, notes: list[str]
) -> pd.DataFrame:
  """Adds birads, pathology and num_findings of the side in the exam."""
  rows = _table(root, 'clinical', _CLINICAL)
  rows = rows.rename(columns={'empi_anon': 'subject', 'acc_anon': 'exam'})
  unknown = ~rows['asses'].isin([*_BIRADS, ''])
  if unknown.any():
    notes.append(
      f'{unknown.sum()} findings have an assessment that is none, such as'
      f' {rows.loc[unknown, "asses"].iloc[0]!r}: not used.'
    )
  birads = _worst(_by_side(rows, 'side'), 'asses', _BIRADS)
  pathology = pd.Series(dtype=object)
  if {'bside', 'path_severity'} <= set(rows.columns):
    rows['path_severity'] = rows['path_severity'].str.removesuffix('.0')
    pathology = _worst(_by_side(rows, 'bside'), 'path_severity', _PATHOLOGY)
  else:
    notes.append('The clinical table has no pathology.')
  counts = _by_side(rows, 'side').groupby(_KEY).size().astype(str)
  keys = pd.MultiIndex.from_frame(frame[_KEY])
  for name, values in (('birads', birads), ('pathology', pathology)):
    looked_up = values.reindex(keys) if len(values) else pd.Series('', keys)
    frame[name] = looked_up.fillna('').to_numpy()
  frame['num_findings'] = counts.reindex(keys).fillna('0').to_numpy()
  notes.append(
    f'{len(rows)} rows of findings were merged into {len(frame)} images;'
    f' {(frame["birads"] == "").sum()} images have no assessment.'
  )
  return frame


def _by_side(rows: pd.DataFrame, column: str) -> pd.DataFrame:
  """One row a finding and breast; without a side it is of both."""
  both = ~rows[column].isin(['L', 'R'])
  # A specimen without a side is no specimen.
  if column == 'bside':
    both = rows[column] == 'B'
  parts = [
    rows[(rows[column] == side) | both].assign(laterality=side) for side in 'LR'
  ]
  return pd.concat(parts, ignore_index=True)


def _worst(
  rows: pd.DataFrame, column: str, names: Mapping[str, str]
) -> pd.Series:
  """The worst name of each breast in each exam; unknown codes do not count."""
  rank = {code: place for place, code in enumerate(names)}
  rows = rows.assign(rank=rows[column].map(rank)).dropna(subset='rank')
  labels = list(names.values())
  worst = rows.groupby(_KEY)['rank'].max()
  return worst.map(lambda place: labels[int(place)])


def _months(
  dates: pd.Series, subjects: pd.Series, notes: list[str]
) -> list[str]:
  days = {text: times.day(text) for text in dates.unique()}
  wrong = [text for text, day in days.items() if text and day is None]
  if wrong:
    raise errors.DataError(
      f'study_date_anon is {wrong[0]!r}, which is no date; {len(wrong)} such'
      ' values.'
    )
  months = times.months_since_first(subjects, [days[text] for text in dates])
  exams = pd.Series(months).groupby(subjects.to_numpy()).nunique()
  notes.append(
    f'{(exams > 1).sum()} of {len(exams)} women have several exams;'
    f' {months.count("")} images have no date.'
  )
  return months
