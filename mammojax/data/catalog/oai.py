"""Osteoarthritis Initiative: knee radiographs of 4,796 subjects over 8 years.

Layout: cropped knees and one table of them, `PreprocessedData_Forensic.csv` or
`PreprocessedData.csv`, with the columns ID, Visit (months), SIDE (L or R),
Site (A to E) and Path (of the image, below the folder), and KL, AGE, SEX where
known: what the preparation of the AdaTriplet authors writes. The crops are
140 x 140 mm about the intercondylar notch, 256 x 256 pixels.

One row a knee. Readings of several readers repeat rows: repeated paths are
merged, their grades divided by `;`. Site C is the test set; the others fall
into five subject-disjoint folds, of which one chooses checkpoints. Right knees
are told by `laterality`, and mirrored by `data.mirror='R'` in training.

Source: https://nda.nih.gov/oai; Nguyen et al. (2022), Adaptive Gradient
Triplet Loss with Automatic Margin Learning, section 3; columns as in
github.com/Oulu-IMEDS/AdaTriplet, common/parse_metadata.py.
Differs: folds by a hash of the subject, not by GroupKFold.
"""

from collections.abc import Mapping
import pathlib
import re

import pandas as pd

from mammojax import errors
from mammojax.data import splits, torn
from mammojax.data.catalog import entry, published

_FOLDS = 5
OPTIONS: Mapping[str, entry.Option] = {
  'identity': entry.Option(
    'subject',
    ('subject', 'subject_side'),
    'Who is matched: a person or a knee.',
  ),
  'visits': entry.Option(
    'all', ('all', 'paper'), 'All visits, or those of the paper, without 36.'
  ),
  'test_site': entry.Option(
    'C', ('A', 'B', 'C', 'D', 'E'), 'Recruitment site that is the test set.'
  ),
  'fold': entry.Option(
    '0',
    tuple(map(str, range(_FOLDS))),
    'Fold of the other sites that chooses checkpoints.',
  ),
}
TERMS = (
  'Access is granted by the NIMH Data Archive under its data use certification:'
  ' no attempt to identify subjects, no passing on; acknowledge the OAI.'
)
_TABLES = ('PreprocessedData_Forensic.csv', 'PreprocessedData.csv')
_NEEDS = ('id', 'visit', 'side', 'site', 'path')
_VISITS = {'all': (0, 12, 24, 36, 48, 72, 96), 'paper': (0, 12, 24, 48, 72, 96)}
_KEPT = {'age': 'age', 'sex': 'sex', 'bmi': 'bmi'}
# pandas writes whole numbers with a point once a column has had gaps.
_WHOLE = re.compile(r'(\d+)(?:\.0)?')


def read(
  root: pathlib.Path,
  *,
  identity: str = 'subject',
  visits: str = 'all',
  test_site: str = 'C',
  fold: str = '0',
) -> entry.Entry:
  """The knees of a folder; see the module and `entry`.

  Args:
    root: folder of the table, into which its paths lead.
    identity: 'subject' or 'subject_side'.
    visits: 'all' or 'paper'.
    test_site: 'A' to 'E'.
    fold: '0' to '4'.

  Returns:
    Entry; `diagnosis` is KL0 to KL4 or ''. Extra columns site, fold ('' for
    the test site), and age, sex, bmi where the table has them.

  Raises:
    UsageError: another option.
    DataError: files or columns missing, a visit, side or site that is none,
      or one image described in two ways.
    IntegrityError: a subject of the test site and of another.
  """
  given = {
    'identity': identity,
    'visits': visits,
    'test_site': test_site,
    'fold': fold,
  }
  for name, value in given.items():
    OPTIONS[name].check(name, value)
  table = published.table(root, _TABLES, _NEEDS)
  frame, notes = _merged(_checked(table), len(table))
  months = frame['visit_months'].astype(int)
  chosen = months.isin(_VISITS[visits])
  notes.append(f'{(~chosen).sum()} images of other visits were left out.')
  frame = frame[chosen].reset_index(drop=True)
  persons = frame['subject']
  in_test = frame['site'] == test_site
  folds = pd.Series(splits.fold(persons, _FOLDS)).astype(str)
  frame['fold'] = folds.mask(in_test, '')
  names = (folds == fold).map({True: 'validation', False: 'train'})
  frame['split'] = names.mask(in_test, 'test')
  torn.check_disjoint(frame)
  if identity == 'subject_side':
    frame['subject'] = persons + '-' + frame['laterality']
  published.require(root, frame['path'])
  return entry.make(frame, notes + _notes(frame, persons), TERMS)


def _checked(table: pd.DataFrame) -> pd.DataFrame:
  """The columns of the catalog, every value looked at."""
  numbers = {
    name: table[name].map(_whole)
    for name in ('id', 'visit', 'kl')
    if name in table
  }
  frame = pd.DataFrame(
    {
      'path': table['path'].str.lstrip('/'),
      'subject': numbers['id'],
      'visit_months': numbers['visit'].map(
        lambda text: text if not text else str(int(text))
      ),
      'laterality': table['side'].str.upper(),
      'view': 'PA',
      'diagnosis': [
        text and f'KL{text}' for text in numbers.get('kl', [''] * len(table))
      ],
      'site': table['site'].str.upper(),
      **{new: table[old] for old, new in _KEPT.items() if old in table},
    }
  )
  wanted = {
    'subject': frame['subject'] != '',
    'visit_months': frame['visit_months'].isin(map(str, _VISITS['all'])),
    'laterality': frame['laterality'].isin(['L', 'R']),
    'site': frame['site'].isin(OPTIONS['test_site'].choices),
  }
  for name, right in wanted.items():
    wrong = frame.index[~right].tolist()
    if wrong:
      raise errors.DataError(
        f'{len(wrong)} rows have a {name} that is none, such as row'
        f' {wrong[0]}: {table.loc[wrong[0]].to_dict()}.'
      )
  return frame


def _whole(text: str) -> str:
  """12 of 12 or 12.0, else ''."""
  found = _WHOLE.fullmatch(text)
  return found[1] if found else ''


def _merged(
  frame: pd.DataFrame, num_rows: int
) -> tuple[pd.DataFrame, list[str]]:
  """One row a path; the grades of several readings are kept side by side."""
  told = ['subject', 'visit_months', 'laterality', 'site']
  groups = frame.groupby('path', sort=False)
  torn = (groups[told].nunique() > 1).any(axis=1)
  if torn.any():
    raise errors.DataError(
      f'{torn.sum()} images are described in two ways, such as'
      f' {torn.index[torn][0]!r}.'
    )
  grades = groups['diagnosis'].agg(
    lambda column: ';'.join(sorted(set(column) - {''}))
  )
  first = groups.first().assign(diagnosis=grades).reset_index()
  return first, [
    f'{num_rows - len(first)} rows repeat an image and were merged;'
    f' {grades.str.contains(";").sum()} images have several KL grades.'
  ]


def _notes(frame: pd.DataFrame, persons: pd.Series) -> list[str]:
  sizes = persons.value_counts()
  return [
    f'{len(sizes)} persons; {(sizes == 1).sum()} of them have one image.'
    ' Persons, not knees, are kept within one split.',
    'Folds are counted by person: '
    + ', '.join(
      f'{name} has {persons[frame["fold"] == name].nunique()}'
      for name in map(str, range(_FOLDS))
    )
    + '.',
    'Right knees are told by laterality: train with data.mirror=R.',
  ]
