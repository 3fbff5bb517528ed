"""VinDr-Mammo: 5,000 exams of four views, read twice for BI-RADS.

Layout: `breast-level_annotations.csv`, `finding_annotations.csv` and
`images/<study_id>/<image_id>.dicom`.

The subject is `study_id`: patients are not published, an exam is all that is
known of one. BI-RADS is that of the breast and so the same for its two views.
Some files are MONOCHROME1, some MONOCHROME2; the reader inverts the former.

Source: https://physionet.org/content/vindr-mammo/1.0.0; H. T. Nguyen et al.
(2023), Scientific Data 10, 277.
"""

import ast
from collections.abc import Mapping
import itertools
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {}
TERMS = (
  'PhysioNet Restricted Health Data License 1.5.0: no attempt to identify'
  ' persons or institutions, no sharing of the data, and only for users who'
  ' signed the agreement. Cite doi:10.13026/br2v-7517.'
)
_NEEDS = (
  'study_id', 'image_id', 'laterality', 'view_position', 'breast_birads',
  'breast_density', 'split',
)  # fmt: skip
_SPLITS = {'training': 'train', 'test': 'test'}


def read(root: pathlib.Path) -> entry.Entry:
  """The images of a folder; see the module and `entry`.

  Args:
    root: folder of the two tables.

  Returns:
    Entry; `diagnosis` is 'BI-RADS 1' to 'BI-RADS 5'; extra columns density,
    findings (their categories, divided by `;`), num_findings.

  Raises:
    DataError: missing tables, columns or images, an unknown split, an image
      twice, or findings of images that are not listed.
  """
  rows = published.table(root, 'breast-level_annotations.csv', _NEEDS)
  wrong = sorted(set(rows['split']) - set(_SPLITS))
  if wrong:
    raise errors.DataError(
      f"'breast-level_annotations.csv': split is {wrong[0]!r}, not training or"
      ' test.'
    )
  frame = pd.DataFrame(
    {
      'path': 'images/' + rows['study_id'] + '/' + rows['image_id'] + '.dicom',
      'subject': rows['study_id'],
      'laterality': rows['laterality'],
      'view': rows['view_position'],
      'diagnosis': rows['breast_birads'],
      'split': rows['split'].map(_SPLITS),
      'density': rows['breast_density'],
      'image_id': rows['image_id'],
    }
  )
  found = _findings(root, set(rows['image_id']))
  frame['findings'] = frame['image_id'].map(found['names']).fillna('')
  counts = frame['image_id'].map(found['count']).fillna('0')
  frame['num_findings'] = counts
  published.require(root, frame['path'])
  frame, validation = entry.with_validation(frame)
  notes = [
    f'{(counts != "0").sum()} of {len(frame)} images have findings; several of'
    ' one image were merged into its row.',
    'The subject is an exam: a woman with two exams would be two subjects.',
    *_photometric(root),
    validation,
  ]
  return entry.make(frame.drop(columns='image_id'), notes, TERMS)


def _findings(root: pathlib.Path, images: set[str]) -> pd.DataFrame:
  """The findings of each image that has any, by image_id."""
  rows = published.table(
    root, 'finding_annotations.csv', ('image_id', 'finding_categories')
  )
  unknown = rows.index[~rows['image_id'].isin(images)]
  if len(unknown):
    raise errors.DataError(
      f"'finding_annotations.csv', row {unknown[0]}: the image"
      f' {rows.loc[unknown[0], "image_id"]!r} is not in'
      f" 'breast-level_annotations.csv'; {len(unknown)} such rows."
    )
  names = [
    _categories(text, row) for row, text in rows['finding_categories'].items()
  ]
  # An image without one has a row that says so.
  real = pd.DataFrame({'image_id': rows['image_id'], 'names': names})
  real = real[[found != ['No Finding'] for found in names]]
  by_image = real.groupby('image_id')['names']
  return pd.DataFrame(
    {
      'names': by_image.agg(
        lambda lists: ';'.join(sorted(set(itertools.chain(*lists))))
      ),
      'count': by_image.size().astype(str),
    }
  )


def _categories(text: str, row: int) -> list[str]:
  """A list as it is written in the table, such as "['Mass']"."""
  try:
    names = ast.literal_eval(text)
  except (SyntaxError, ValueError, MemoryError, RecursionError):
    names = None
  if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
    raise errors.DataError(
      f"'finding_annotations.csv', row {row}: finding_categories is {text!r},"
      " not a list such as ['Mass']."
    )
  return names


def _photometric(root: pathlib.Path) -> list[str]:
  """How many files are inverted, where metadata.csv says so."""
  if not (root / 'metadata.csv').is_file():
    return []
  rows = published.table(root, 'metadata.csv', [])
  if 'photometric_interpretation' not in rows:
    return []
  counts = rows['photometric_interpretation'].value_counts()
  listed = ', '.join(f'{count} {name}' for name, count in counts.items())
  return [f'{listed}: MONOCHROME1 is inverted when it is read.']
