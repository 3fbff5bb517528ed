"""RSNA 2022: 54,706 screening mammograms of 11,913 women, cancer or not.

Layout: `train.csv` and `train_images/<patient_id>/<image_id>.dcm`.

The published test.csv has no diagnosis and only a few images, so only the
training images are used and split by a hash of the patient. Many files are
JPEG 2000, some MONOCHROME1. Cancer is told of a breast, so both its views have
it. No date is published, only the age.

Source: https://www.kaggle.com/competitions/rsna-breast-cancer-detection/data;
the wiki of https://github.com/RSNA/AI-Challenge-Data.
"""

from collections.abc import Mapping
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {}
TERMS = (
  'For non-commercial research and education only. The licence FORBIDS any'
  ' attempt to identify or contact a person in the data: match images inside'
  ' this set only, never against images from elsewhere.'
)
_NEEDS = ('patient_id', 'image_id', 'laterality', 'view', 'cancer')
_EXTRA = (
  'site_id', 'age', 'biopsy', 'invasive', 'birads', 'implant', 'density',
  'machine_id', 'difficult_negative_case',
)  # fmt: skip
_CANCER = {'0': 'no_cancer', '1': 'cancer'}


def read(root: pathlib.Path) -> entry.Entry:
  """The training images of a folder; see the module and `entry`.

  Args:
    root: folder of train.csv.

  Returns:
    Entry; `diagnosis` is 'cancer' or 'no_cancer'; extra columns as published.

  Raises:
    DataError: missing tables, columns or images, an image twice, or a `cancer`
      that is not 0 or 1.
  """
  rows = published.table(root, 'train.csv', _NEEDS)
  wrong = rows.index[~rows['cancer'].isin(list(_CANCER))]
  if len(wrong):
    raise errors.DataError(
      f"'train.csv', row {wrong[0]}: cancer is"
      f' {rows.loc[wrong[0], "cancer"]!r}, not 0 or 1; {len(wrong)} such rows.'
    )
  frame = pd.DataFrame(
    {
      'path': 'train_images/'
      + rows['patient_id']
      + '/'
      + rows['image_id']
      + '.dcm',
      'subject': rows['patient_id'],
      'laterality': rows['laterality'],
      'view': rows['view'],
      'diagnosis': rows['cancer'].map(_CANCER),
      **{name: rows[name] for name in _EXTRA if name in rows},
    }
  )
  published.require(root, frame['path'])
  women = frame['subject'].nunique()
  ill = frame.loc[frame['diagnosis'] == 'cancer', 'subject'].nunique()
  notes = [
    f'{ill} of {women} women have cancer; it is told of a breast, so all its'
    ' views have it.',
    'test.csv was left out: it has no diagnosis.',
    'Many files are JPEG 2000, which needs pip install "mammojax[dicom]";'
    ' MONOCHROME1 is inverted when it is read.',
  ]
  return entry.make(frame, notes, TERMS)
