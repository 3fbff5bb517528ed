"""mini-MIAS: 322 films of 161 women, left and right, 1024 px.

Layout: `Info.txt` and `mdb001.pgm` to `mdb322.pgm` in one folder, as in
all-mias.tar.gz; films in `all-mias/` or as .png are found too.

One row a film. Films are numbered in pairs, a pair is a woman. Info.txt calls
even numbers left; the markers that can be read on the films say that odd ones
are left, so that is what `laterality` follows unless it is asked otherwise.
Several abnormalities of a film are merged into one row: `diagnosis` is the
worst of them, the columns `abnormality`, `severity`, `x`, `y`, `radius` hold
all, divided by `;`. `y` is counted from the top, in pixels of 1024; Info.txt
counts from the bottom.

Source: http://peipa.essex.ac.uk/info/mias.html, Info.txt of the archive.
"""

from collections.abc import Mapping
import pathlib
import re

import pandas as pd

from mammojax import errors
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'laterality': entry.Option(
    'markers', ('markers', 'info'), 'Whom to believe on left and right.'
  ),
}
TERMS = (
  'The MIAS licence allows scientific research only; the images may not be'
  ' rented, leased or sold, and Suckling et al. (1994), Excerpta Medica 1069,'
  ' 375-378, is to be cited.'
)
_SIZE = 1024
_DIAGNOSES = {'B': 'benign', 'M': 'malignant'}
_LISTED = ('abnormality', 'severity', 'x', 'y', 'radius')
_CLASSES = ('CALC', 'CIRC', 'SPIC', 'MISC', 'ARCH', 'ASYM', 'NORM')
_LINE = re.compile(
  rf'(mdb(\d{{3}})) ([FGD]) ({"|".join(_CLASSES)})'
  r'(?: ([BM])(?: (\d+) (\d+) (\d+))?)?(?: \*NOTE \d+\*)?'
)


def read(root: pathlib.Path, *, laterality: str = 'markers') -> entry.Entry:
  """The films of a folder; see the module and `entry`.

  Args:
    root: folder of Info.txt.
    laterality: 'markers' or 'info'.

  Returns:
    Entry; extra columns tissue, abnormality, severity, x, y, radius.

  Raises:
    UsageError: another `laterality`.
    DataError: a missing film, or a line of Info.txt that cannot be read.
  """
  OPTIONS['laterality'].check('laterality', laterality)
  findings = _findings(published.find(root, ['Info.txt', 'info.txt']))
  odd = 'L' if laterality == 'markers' else 'R'
  rows = []
  for film, group in findings.groupby('film', sort=True):
    number = int(str(film)[3:])
    left = (number % 2 == 1) == (odd == 'L')
    rows.append(
      {
        'path': _place(root, str(film)),
        'subject': f'mias{(number + 1) // 2:03d}',
        'laterality': 'L' if left else 'R',
        'view': 'MLO',
        'diagnosis': group['severity'].max() or 'normal',
        'tissue': group['tissue'].iloc[0],
        **{name: _joined(group[name]) for name in _LISTED},
      }
    )
  frame = pd.DataFrame(rows)
  published.require(root, frame['path'])
  return entry.make(frame, _notes(findings, frame, laterality), TERMS)


def _findings(path: pathlib.Path) -> pd.DataFrame:
  """One row a line of Info.txt that begins with the number of a film."""
  rows, wrong = [], []
  for number, line in enumerate(path.read_text('latin-1').splitlines(), 1):
    if not line.startswith('mdb'):
      continue
    found = _LINE.fullmatch(' '.join(line.split()))
    if found is None or (found[4] == 'NORM') != (found[5] is None):
      wrong.append(f'line {number}: {line.strip()!r}')
      continue
    rows.append(
      {
        'film': found[1],
        'tissue': found[3],
        'abnormality': found[4],
        'severity': _DIAGNOSES.get(found[5], ''),
        'x': found[6] or '',
        'y': str(_SIZE - int(found[7])) if found[7] else '',
        'radius': found[8] or '',
      }
    )
  if wrong or not rows:
    raise errors.DataError(
      f'{str(path)!r}: {len(wrong)} lines cannot be read, such as'
      f' {"; ".join(wrong[:5])}.'
      if wrong
      else f'{str(path)!r} lists no film.'
    )
  return pd.DataFrame(rows)


def _joined(values: pd.Series) -> str:
  """All of them divided by ';', so that columns keep step; '' for nothing."""
  return ';'.join(values) if values.any() else ''


def _place(root: pathlib.Path, film: str) -> str:
  """Where a film lies; the published place when it is nowhere."""
  places = [
    f'{folder}{film}.{ending}'
    for folder in ('', 'all-mias/', 'images/')
    for ending in ('pgm', 'png')
  ]
  return next((p for p in places if (root / p).is_file()), places[0])


def _notes(
  findings: pd.DataFrame, frame: pd.DataFrame, laterality: str
) -> list[str]:
  lines = findings['film'].value_counts()
  no_place = (findings['abnormality'] != 'NORM') & (findings['x'] == '')
  return [
    f'{lines[lines > 1].sum()} lines of Info.txt on {(lines > 1).sum()} films'
    ' with several abnormalities were merged; diagnosis is the worst.',
    f'{no_place.sum()} abnormalities have no place (spread calcifications).',
    'Left and right follow '
    + (
      'the markers on the films (odd numbers are left), not Info.txt, which'
      ' says the opposite.'
      if laterality == 'markers'
      else 'Info.txt (even numbers are left), which the markers on the films'
      ' contradict.'
    ),
    f'{frame["subject"].nunique()} women; no dates are published.',
  ]
