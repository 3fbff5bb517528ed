"""Patches around the places that a table names, out of its images.

    for patch in patches(places(raw), paths, read, counted_in=1024, ...):
      ...

The columns x, y and radius hold the place of each abnormality of an image,
divided by `;`, x to the right and y down; severity and abnormality hold what
it is. The catalog's mini_mias writes such tables.
"""

from collections.abc import Callable, Iterator, Sequence
import pathlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import records

COLUMNS = ('x', 'y', 'radius')
# What a patch says instead of its image, where the table has it.
_NAMES = ('severity', 'abnormality')


class Place(NamedTuple):
  """One abnormality.

  Attributes:
    row: of the image, as a position in the table.
    number: among the abnormalities of its image that have a place.
    x, y, radius: as the table counts them.
    severity: '' where the table does not say.
    abnormality: likewise.
  """

  row: int
  number: int
  x: float
  y: float
  radius: float
  severity: str
  abnormality: str


class Patch(NamedTuple):
  """A place, and the pixels around it.

  Attributes:
    place: where.
    name: of its image and its number, without an ending.
    image: float32[s, s, c] in [0, 1], black beyond the edge of the image.
  """

  place: Place
  name: str
  image: np.ndarray


def places(raw: pd.DataFrame) -> list[Place]:
  """Every abnormality with a place, in the order of the table.

  Args:
    raw: str, one row an image.

  Returns:
    Places; abnormalities without one are passed over.

  Raises:
    DataError: columns that are missing, lists of unlike lengths, or places
      that are no numbers, with their rows.
  """
  missing = [name for name in COLUMNS if name not in raw]
  if missing:
    raise errors.DataError(
      f'The table has no column {", ".join(missing)}; places are x, y and '
      'radius, as the catalog writes them for mini_mias.'
    )
  found: list[Place] = []
  wrong = []
  for row, line in enumerate(raw.to_dict('records')):
    try:
      found += _of_row(row, line)
    except ValueError as error:
      wrong.append(f'  row {raw.index[row]}: {error}')
  if wrong:
    raise errors.DataError(
      f'{len(wrong)} rows have places that cannot be read:\n'
      f'{records.shorten(wrong)}'
    )
  if not found:
    raise errors.DataError('The table has no abnormality with a place.')
  return found


def _of_row(row: int, line) -> Iterator[Place]:
  numbers = [str(line[name]).split(';') for name in COLUMNS]
  count = max(map(len, numbers))
  names = [str(line.get(name, '')).split(';') for name in _NAMES]
  names = [parts if len(parts) == count else [''] * count for parts in names]
  if any(len(parts) != count for parts in numbers):
    raise ValueError(f'x, y and radius have {[len(n) for n in numbers]} values')
  number = 0
  for x, y, radius, severity, kind in zip(*numbers, *names, strict=True):
    if not x and not y and not radius:
      continue
    place = Place(
      row, number, float(x), float(y), float(radius), severity, kind
    )
    if not np.isfinite(place[2:5]).all() or place.radius < 0:
      raise ValueError(f'{x!r}, {y!r}, {radius!r} is no place')
    yield place
    number += 1


def patches(
  found: Sequence[Place],
  paths: Sequence[str],
  read: Callable[[int], np.ndarray],
  *,
  counted_in: int,
  least: float,
  margin: float,
) -> Iterator[Patch]:
  """Cuts squares around places.

  Half a side is `margin` times the radius, and at least `least`. Images of one
  name in several folders, or in one file, have the row in front of it.

  Args:
    found: of `places`.
    paths: str[n], of the images of the table.
    read: row -> float32[h, w, c] in [0, 1].
    counted_in: height of the image that places are counted in; 0: of the image
      itself.
    least: in the same pixels.
    margin: around the radius.

  Yields:
    Patch.

  Raises:
    DataError: a place outside its image.
  """
  names = _names(found, paths)
  for place in found:
    image = read(place.row)
    scale = image.shape[0] / counted_in if counted_in else 1.0
    half = max(round(scale * max(least, margin * place.radius)), 1)
    x, y = round(scale * place.x), round(scale * place.y)
    path = paths[place.row]
    if not (0 <= y < image.shape[0] and 0 <= x < image.shape[1]):
      raise errors.DataError(
        f'The place ({place.x:g}, {place.y:g}) of {path!r} lies outside its '
        f'image of {image.shape[1]} x {image.shape[0]} pixels; see '
        '--counted_in.'
      )
    name = f'{names[place.row]}_{place.number}'
    yield Patch(place, name, _square(image, y, x, half))


def _names(found: Sequence[Place], paths: Sequence[str]) -> dict[int, str]:
  """Row -> the stem of its file; where two rows share one, with the row."""
  stems = {row: pathlib.PurePosixPath(paths[row]).stem for row, *_ in found}
  if len(set(stems.values())) == len(stems):
    return stems
  width = len(str(len(paths) - 1))
  return {row: f'{row:0{width}}_{stem}' for row, stem in stems.items()}


def _square(image: np.ndarray, row: int, column: int, half: int) -> np.ndarray:
  padding = [(half, half), (half, half), (0, 0)]
  padded = np.pad(image, padding)
  return padded[row : row + 2 * half, column : column + 2 * half]
