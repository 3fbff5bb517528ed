"""The page, the figures and the terminal table of `examine`.

    page = examined.write('runs/triplet/examine', name='triplet')

Reads `examine.json` and `examine.npz` of a folder and nothing else.
"""

from collections.abc import Iterator, Mapping
import os
import pathlib
from typing import Any

import markupsafe
from matplotlib import figure as mpl_figure
import numpy as np
from rich import box
from rich import table as rich_table

from mammojax import errors
from mammojax.report import embeddings, figures, html, reading, style, table

GROUPS = {
  'all': 'All classes',
  'known': 'Trained classes',
  'held_out': 'Held-out classes',
}
# Metric of a verification -> label; the rest is in the definitions.
_VERIFIED = {
  'accuracy': 'Same or not, accuracy at the threshold of validation',
  'auc': 'AUC',
  'eer': 'Equal-error rate',
  'tar@far=0.01': 'Matches found at 1 % false ones',
  'tar@far=0.001': 'Matches found at 0.1 % false ones',
}
_NUMBERS, _ARRAYS = 'examine.json', 'examine.npz'


def write(folder: str | os.PathLike[str], name: str) -> pathlib.Path:
  """Writes examine.html and figures/*.svg, *.png.

  Args:
    folder: with examine.json and examine.npz.
    name: of the run, for the page.

  Returns:
    Path of the page.

  Raises:
    DataError: a file is missing or damaged.
    ResourceError: the page or a figure cannot be written.
  """
  folder = pathlib.Path(folder)
  found, arrays = numbers(folder), arrays_of(folder)
  drawn: dict[str, markupsafe.Markup | None] = {}
  for key, figure in _figures(found, arrays).items():
    drawn[key] = None
    if figure is not None:
      paths = style.save(figure, folder / 'figures', key)
      svg = style.inline_svg(paths['svg'].read_bytes(), key)
      drawn[key] = markupsafe.Markup(svg)
  columns, lines = _columns(found), list(rows(found))
  page = html.template('examine.html').render(
    name=name,
    found=found,
    verdict=verdict(found),
    facts=_facts(found),
    columns=columns,
    rows=lines,
    undefined=_undefined(lines),
    plane_title=_plane_label(found),
    figures=drawn,
  )
  path = folder / 'examine.html'
  style.write_atomic(path, page.encode('utf-8', 'backslashreplace'))
  return path


def numbers(folder: pathlib.Path) -> dict[str, Any]:
  """The content of examine.json.

  Raises:
    DataError: it is missing or damaged.
  """
  found, problem = reading.settings(folder, _NUMBERS)
  if problem or 'network' not in found:
    raise errors.DataError(
      f'{str(folder)!r}: {problem or f"{_NUMBERS} is damaged."} '
      '`python -m mammojax examine` writes it.'
    )
  return found


def arrays_of(folder: pathlib.Path) -> dict[str, np.ndarray]:
  """The content of examine.npz.

  Raises:
    DataError: it is missing or damaged.
  """
  found, problem = reading.arrays(folder, _ARRAYS)
  if problem or 'plane_points' not in found:
    raise errors.DataError(
      f'{str(folder)!r}: {problem or f"{_ARRAYS} is damaged."} '
      '`python -m mammojax examine` writes it.'
    )
  return found


def rows(
  found: Mapping[str, Any],
) -> Iterator[tuple[str, list[dict[str, Any] | None]]]:
  """(label, cells) of each line; a cell for each of `_columns`."""
  network, pixels, own = found['network'], found['pixels'], found['own_head']
  sides = [(network, group) for group in groups(found)]
  if pixels:
    sides.append((pixels, 'all'))
  yield (
    f'{network["k"]} nearest neighbours',
    [side['neighbours']['test'].get(group) for side, group in sides],
  )
  for images in network['identification']:
    many = 'images' if images != '1' else 'image'
    yield (
      f'Identified, {images} {many} of each class enrolled',
      [side['identification'][images].get(group) for side, group in sides],
    )
  for name, label in _VERIFIED.items():
    yield label, [_verified(side, group, name) for side, group in sides]
  yield 'Triplets in order', [side['triplets'].get(g) for side, g in sides]
  if own and 'accuracy' in own:
    yield (
      'By the classifier itself',
      [own['accuracy'].get(g) if s is network else None for s, g in sides],
    )
  if own and 'verification' in own:
    for name, label in _VERIFIED.items():
      yield (
        f'{label}, by the Siamese head',
        [_verified(own, g, name) if s is network else None for s, g in sides],
      )


def _verified(side, group: str, name: str) -> dict[str, Any] | None:
  found = side['verification']['test'].get(group)
  return None if found is None else found['metrics'][name]


def groups(found: Mapping[str, Any]) -> list[str]:
  """Those of GROUPS that have a test image: the first columns of `rows`."""
  measured = found['network']['neighbours']['test']
  return [group for group in GROUPS if group in measured]


def _columns(found) -> list[str]:
  columns = [GROUPS[group] for group in groups(found)]
  return columns + (['Raw pixels'] if found['pixels'] else [])


def verdict(found: Mapping[str, Any]) -> str:
  """The run in one sentence."""
  network, pixels = found['network'], found['pixels']
  cell = network['neighbours']['test']['all']
  words = (
    f'{network["k"]} nearest neighbours call {table.percent(cell["value"])} % '
    f'of {table.count(cell["n_used"])} test images right'
  )
  if pixels:
    value = pixels['neighbours']['test']['all']['value']
    words += f', raw pixels {table.percent(value)} %'
  return f'{words}.'


def _facts(found) -> list[tuple[str, str]]:
  network = found['network']
  validation = network['neighbours']['validation'].get('all') or {}
  return [
    ('Loss', found['loss']),
    ('Embedding', f'{found["embedding_dim"]} values'),
    ('Distance', embeddings.DISTANCES[network['distance']]),
    ('Threshold of validation', f'{network["verification"]["threshold"]:.3f}'),
    ('Neighbours on validation', f'{table.percent(validation.get("value"))} %'),
    ('Galleries drawn', str(found['galleries'])),
    ('Seed', str(found['seed'])),
  ]


def _undefined(lines) -> list[str]:
  """Why a number is missing, each reason once."""
  found = {
    f'{label}: {cell["undefined"]}.'
    for label, cells in lines
    for cell in cells
    if cell and 'undefined' in cell
  }
  return sorted(found)


def _plane_label(found) -> str:
  if found['embedding_dim'] == 2:
    return 'The two values of the embedding'
  return 't-SNE of the embedding'


def _figures(found, arrays) -> dict[str, mpl_figure.Figure | None]:
  network, pixels = found['network'], found['pixels']
  word = 'd'
  if (found['own_head'] or {}).get('verification'):
    word = 'P(different)'
  return {
    'plane': embeddings.plane(
      arrays['plane_points'],
      arrays['plane_class'],
      found['held_out'],
      _plane_label(found),
    ),
    'by_class': embeddings.by_class(
      network['by_class'], pixels and pixels['by_class'], network['k']
    ),
    'distances': figures.distances(
      arrays, embeddings.DISTANCES[network['distance']]
    ),
    'roc': embeddings.roc(
      arrays, network['verification']['test']['all']['metrics']
    ),
    'pairs': embeddings.pairs(arrays, word),
    'triplets': embeddings.triplets(arrays, word),
  }


def results(found: Mapping[str, Any]) -> rich_table.Table:
  """The numbers as a terminal table, in percent."""
  shown = rich_table.Table(box=box.SIMPLE_HEAD, title='Test split, percent')
  shown.add_column('')
  for column in _columns(found):
    shown.add_column(column, justify='right')
  for label, cells in rows(found):
    shown.add_row(label, *map(_words, cells))
  return shown


def _words(cell: Mapping[str, Any] | None) -> str:
  if cell is None or cell['value'] is None:
    return '-'
  words = f'{table.percent(cell["value"])} {table.interval(cell, "-")}'.rstrip()
  if 'standard_deviation' in cell:
    # Over galleries; what the interval does not hold.
    words += f' ±{table.percent(cell["standard_deviation"])}'
  return words
