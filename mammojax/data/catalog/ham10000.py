"""HAM10000: 10,015 dermoscopies of 7,470 lesions in seven classes.

Layout: `HAM10000_metadata`, with or without .csv or .tab, and the images in
`HAM10000_images_part_1/` and `HAM10000_images_part_2/`, in either spelling of
the letters, or in one folder `images/` or beside the table.

One row an image; the subject is the lesion, no patient is published. Many a
second image of a lesion is a zoom or a near-copy of the first, so a split by
image would leak.

Source: https://doi.org/10.7910/DVN/DBW86T; Tschandl et al. (2018), Scientific
Data 5, 180161, section Data Records.
"""

from collections.abc import Mapping
import pathlib

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {}
TERMS = (
  'CC BY-NC 4.0: not for commercial use; cite Tschandl, Rosendahl and Kittler'
  ' (2018), Scientific Data 5, 180161.'
)
_TABLES = (
  'HAM10000_metadata.csv',
  'HAM10000_metadata',
  'HAM10000_metadata.tab',
)
_FOLDERS = (
  'HAM10000_images_part_1',
  'HAM10000_images_part_2',
  'ham10000_images_part_1',
  'ham10000_images_part_2',
  'images',
)
MALIGNANT = ('mel', 'bcc', 'akiec')
_BENIGN = ('nv', 'bkl', 'df', 'vasc')
_KEPT = ('dx_type', 'age', 'sex', 'localization', 'dataset')


def read(root: pathlib.Path) -> entry.Entry:
  """The images of a folder; see the module and `entry`.

  Args:
    root: folder of the metadata.

  Returns:
    Entry; `diagnosis` is dx. Extra columns malignant ('1' for mel, bcc and
    akiec, else '0'), and dx_type, age, sex, localization, dataset where the
    table has them.

  Raises:
    DataError: files or columns missing, or an unknown dx.
  """
  table = published.table(root, _TABLES, ('lesion_id', 'image_id', 'dx'))
  unknown = table.index[~table['dx'].isin(MALIGNANT + _BENIGN)]
  if len(unknown):
    raise errors.DataError(
      f'{len(unknown)} rows have a dx that is unknown, such as row'
      f' {unknown[0]}: {table.loc[unknown[0], "dx"]!r}.'
    )
  frame = pd.DataFrame(
    {
      'item': table['image_id'],
      'subject': table['lesion_id'],
      'view': 'dermoscopy',
      'diagnosis': table['dx'],
      'malignant': table['dx'].isin(MALIGNANT).map({True: '1', False: '0'}),
      **{name: table[name] for name in _KEPT if name in table},
    }
  ).reset_index(drop=True)
  frame['path'] = published.places(root, frame['item'], _FOLDERS)
  return entry.make(frame, _notes(frame), TERMS)


def _notes(frame: pd.DataFrame) -> list[str]:
  lesions = frame.groupby('subject')
  sizes = lesions.size()
  return [
    f'{len(sizes)} lesions; {(sizes == 1).sum()} of them have one image and'
    ' can only be negatives.',
    f'{(lesions["diagnosis"].nunique() > 1).sum()} lesions have several'
    ' diagnoses.',
    f'{(frame["malignant"] == "1").sum()} images are malignant (mel, bcc or'
    ' akiec).',
    'No patient is published: two lesions of one may be in two splits.',
  ]
