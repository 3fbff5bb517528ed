"""INbreast: 410 digital mammograms of 108 women, with outlined findings.

Layout: `INbreast.csv` (divided by `;`), `AllDICOMs/` with files
`<file>_<id>_MG_<side>_<view>_ANON.dcm`, and `AllXML/<file>.xml`, in the root or
in `INbreast Release 1.0/`.

Patient ids are removed from the csv. The subject is the 16 characters that
stand for the patient in the file names; they come from the anonymisation and
lead nowhere else. Exams are dated to the month.

Source: I. C. Moreira et al. (2012), INbreast: toward a full-field digital
mammographic database, Academic Radiology 19, 236-248; the readme of release
1.0.
"""

from collections.abc import Mapping
import pathlib
import plistlib
import re
from xml.parsers import expat

import pandas as pd

from mammojax import errors
from mammojax.data import records
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {}
TERMS = (
  'For research only, under the agreement signed with the Breast Research'
  ' Group, INESC Porto; the images may not be handed on. Cite Moreira et al.'
  ' (2012), doi:10.1016/j.acra.2011.09.014.'
)
_FOLDER = 'INbreast Release 1.0'
_NEEDS = (
  'laterality', 'view', 'acquisition_date', 'file_name', 'acr', 'bi_rads',
)  # fmt: skip
_FILE = re.compile(r'(\d+)_([0-9A-Za-z]+)_MG_([LR])_([A-Z]+)_ANON\.dcm')
# Spellings of the outlines' makers.
_NAMES = {
  'calcifications': 'calcification',
  'assymetry': 'asymmetry',
  'espiculated region': 'spiculated region',
}
_XML_ERRORS = (
  expat.ExpatError, plistlib.InvalidFileException, KeyError, TypeError,
  ValueError, AttributeError, IndexError,
)  # fmt: skip


def read(root: pathlib.Path) -> entry.Entry:
  """The images of a folder; see the module and `entry`.

  Args:
    root: folder of INbreast.csv, or the one above it.

  Returns:
    Entry; `diagnosis` is 'BI-RADS 1' to 'BI-RADS 6' with 4a, 4b, 4c; extra
    columns density (ACR), findings (names of the outlines, divided by `;`).

  Raises:
    DataError: missing tables, columns or images, a month that is none, a side
      or view that the file name contradicts, or an outline file that cannot be
      read.
  """
  table = published.find(root, ['INbreast.csv', f'{_FOLDER}/INbreast.csv'])
  base = table.parent
  rows = published.table(base, 'INbreast.csv', _NEEDS)
  files = _files(base)
  frame = pd.DataFrame(
    {
      'path': [
        files.get(name, (f'AllDICOMs/{name}_*.dcm', '', '', ''))[0]
        for name in rows['file_name']
      ],
      'laterality': rows['laterality'],
      'view': rows['view'],
      'diagnosis': 'BI-RADS ' + rows['bi_rads'],
      'density': rows['acr'],
      'name': rows['file_name'],
      'month': [
        _month(text, row) for row, text in rows['acquisition_date'].items()
      ],
    }
  )
  published.require(base, frame['path'])
  _compare(frame, files)
  frame['subject'] = [files[name][1] for name in frame['name']]
  first = frame.groupby('subject')['month'].transform('min')
  frame['visit_months'] = (frame.pop('month') - first).astype(str)
  notes = _notes(frame, files)
  frame['findings'] = _findings(base, frame['name'], notes)
  if base != root:
    frame['path'] = f'{base.relative_to(root).as_posix()}/' + frame['path']
  return entry.make(frame.drop(columns='name'), notes, TERMS)


def _files(base: pathlib.Path) -> Mapping[str, tuple[str, str, str, str]]:
  """File number -> (path, patient, side, view)."""
  found = {}
  for path in sorted((base / 'AllDICOMs').glob('*.dcm')):
    parts = _FILE.fullmatch(path.name)
    if parts:
      found[parts[1]] = (f'AllDICOMs/{path.name}', parts[2], parts[3], parts[4])
  return found


def _month(text: str, row: int) -> int:
  """YYYYMM as a number of months."""
  if re.fullmatch(r'\d{4}(0[1-9]|1[0-2])', text) is None:
    raise errors.DataError(
      f"'INbreast.csv', row {row}: Acquisition date is {text!r}, not a year and"
      ' month such as 201001.'
    )
  return 12 * int(text[:4]) + int(text[4:])


def _compare(frame: pd.DataFrame, files: Mapping[str, tuple[str, ...]]) -> None:
  """Refuses a side or view that the file name contradicts."""
  wrong = [
    f'  {files[name][0]!r}: the csv says {side} {view}'
    for name, side, view in zip(
      frame['name'], frame['laterality'], frame['view'], strict=True
    )
    # Some views that the csv calls FB or ML are called MLO in the file name.
    if side != files[name][2]
    or (view != files[name][3] and {view, files[name][3]} == {'CC', 'MLO'})
  ]
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} images are of another side or view than INbreast.csv'
      f' says:\n{records.shorten(wrong)}\nFetch the csv again.'
    )


def _notes(
  frame: pd.DataFrame, files: Mapping[str, tuple[str, ...]]
) -> list[str]:
  exams = frame.groupby('subject')['visit_months'].nunique()
  notes = [
    'Patient ids are removed from the csv; the subject is the id in the names'
    f' of the files: {len(exams)} women, {(exams > 1).sum()} with several'
    ' exams.'
  ]
  extra = len(files) - frame['name'].nunique()
  if extra:
    notes.append(f'{extra} files are not in INbreast.csv: left out.')
  return notes


def _findings(
  base: pathlib.Path, names: pd.Series, notes: list[str]
) -> list[str]:
  """The distinct names of the outlines of each image."""
  if not (base / 'AllXML').is_dir():
    notes.append('There is no AllXML: findings are not known.')
    return [''] * len(names)
  found, without = [], 0
  for name in names:
    path = base / 'AllXML' / f'{name}.xml'
    without += not path.is_file()
    outlines = _outlines(path) if path.is_file() else set()
    found.append(';'.join(sorted(outlines)))
  notes.append(f'{without} images have no file of outlines: no finding.')
  return found


def _outlines(path: pathlib.Path) -> set[str]:
  try:
    with path.open('rb') as file:
      rois = plistlib.load(file, fmt=plistlib.FMT_XML)['Images'][0]['ROIs']
    names = {' '.join(roi['Name'].lower().split()) for roi in rois}
  except _XML_ERRORS as error:
    raise errors.DataError(
      f"'AllXML/{path.name}' is no file of outlines ({type(error).__name__});"
      ' fetch it again.'
    ) from error
  return {_NAMES.get(name, name) for name in names}
