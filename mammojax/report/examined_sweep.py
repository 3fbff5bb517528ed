"""What `examine` found of all runs of a sweep: a table and two figures.

    examined_sweep.write('runs/ladder', runs)

`runs` are those of sweep.json that are finished; each has been examined.
"""

from collections.abc import Mapping, Sequence
import pathlib
from typing import Any

from matplotlib import figure as mpl_figure
import numpy as np
import pandas as pd

from mammojax.report import (
  embeddings,
  examined,
  spreadsheets,
  style,
  sweep_scores,
  table,
)

# Row, seed and content of examine.json of a run.
Found = tuple[str, int, Mapping[str, Any]]
# Heading -> where its cell lies in a set of numbers of `examine.measure`.
_COLUMNS = {
  'neighbours': ('neighbours', 'test', 'all'),
  'identified, 1': ('identification', '1', 'all'),
  'identified, 5': ('identification', '5', 'all'),
  'same or not': ('verification', 'test', 'all', 'metrics', 'accuracy'),
  'AUC': ('verification', 'test', 'all', 'metrics', 'auc'),
  'EER': ('verification', 'test', 'all', 'metrics', 'eer'),
  'found at 1 %': (
    'verification', 'test', 'all', 'metrics', 'tar@far=0.01',
  ),
  'triplets': ('triplets', 'all'),
}  # fmt: skip
_ACROSS = 3
_WIDTH_INCHES = 7.2


def write(
  folder: pathlib.Path, runs: Sequence[Mapping[str, Any]], command: str
) -> list[pathlib.Path]:
  """Writes examine.md, examine.csv and the figures into a sweep's folder.

  Args:
    folder: of the sweep.
    runs: 'row', 'setting', 'seed' and 'folder' (relative) of each, examined.
    command: how it was made.

  Returns:
    Their paths.

  Raises:
    DataError: a run that has not been examined.
    ResourceError: the folder cannot be written.
  """
  found = [
    (
      _label(run),
      run['seed'],
      examined.numbers(folder / run['folder'] / 'examine'),
    )
    for run in runs
  ]
  shown: dict[str, dict[str, np.ndarray]] = {}
  for run in runs:
    arrays = examined.arrays_of(folder / run['folder'] / 'examine')
    shown.setdefault(_label(run), arrays)
  paths = [folder / 'examine.md', folder / 'examine.csv']
  style.write_atomic(paths[0], markdown(found, command).encode())
  style.write_atomic(paths[1], spreadsheets.csv_bytes(frame(found)))
  for name, figure in (
    ('examined_distances', distances(shown)),
    ('examined_planes', planes(shown)),
  ):
    paths += style.save(figure, folder / 'figures', name).values()
  return paths


def _label(run: Mapping[str, Any]) -> str:
  return f'{run["row"]} {run["setting"]}'.rstrip()


def _cell(numbers: Mapping[str, Any], path: Sequence[str]) -> float | None:
  for name in path:
    numbers = numbers[name]
  return numbers['value']


def _lines(found) -> dict[str, list[Mapping[str, Any]]]:
  """Sets of numbers by row, raw pixels last."""
  lines: dict[str, list[Mapping[str, Any]]] = {}
  for label, _, numbers in found:
    lines.setdefault(label, []).append(numbers['network'])
  for *_, numbers in found:
    if numbers['pixels']:
      # Pixels are the same in every run of the table.
      lines['Raw pixels'] = [numbers['pixels']]
      break
  return lines


def markdown(found: Sequence[Found], command: str) -> str:
  """The table, and what was held out.

  Args:
    found: of each run.
    command: how it was made.
  """
  head = ['', 'runs', *_COLUMNS]
  lines = [
    '# What the embeddings tell',
    '',
    f'    {command}',
    '',
    'Test split, percent; mean ± standard error where a row has several runs.'
    f' Neighbours: {found[0][2]["network"]["k"]}. Identified: with so many'
    ' images of each class enrolled.',
    '',
    f'| {" | ".join(head)} |',
    f'| {" | ".join(["---"] + ["---:"] * (len(head) - 1))} |',
  ]
  for label, runs in _lines(found).items():
    cells = [label, str(len(runs))]
    for path in _COLUMNS.values():
      cells.append(_mean([_cell(run, path) for run in runs]))
    lines.append(f'| {" | ".join(cells)} |')
  for label, seed, one in found:
    if not one['held_out']:
      continue
    lines += ['', f'{label}, seed {seed}: {", ".join(one["held_out"])}.', '']
    lines += ['| | trained classes | held out |', '|---|---:|---:|']
    for name, side_by_side in examined.rows(one):
      both = dict(zip(examined.groups(one), side_by_side, strict=False))
      known, held_out = (_percent(both.get(g)) for g in ('known', 'held_out'))
      lines.append(f'| {name} | {known} | {held_out} |')
  return '\n'.join(lines) + '\n'


def _percent(cell) -> str:
  return table.percent(cell and cell['value'])


def _mean(values: Sequence[float | None]) -> str:
  known = [value for value in values if value is not None]
  if not known:
    return table.NOTHING
  found = sweep_scores.mean_and_error(known)
  value = table.percent(found['mean'])
  error = found['standard_error']
  return value if error is None else f'{value} ± {table.percent(error)}'


def frame(found: Sequence[Found]) -> pd.DataFrame:
  """One line a run and number: row, which of its runs, name, percent."""
  return pd.DataFrame(
    [
      {'row': label, 'run': run, 'number': name, 'percent': 100 * value}
      for label, runs in _lines(found).items()
      for run, numbers in enumerate(runs)
      for name, path in _COLUMNS.items()
      if (value := _cell(numbers, path)) is not None
    ]
  )


@style.styled
def distances(shown: Mapping[str, Mapping[str, np.ndarray]]):
  """Distances of both kinds of pairs, a panel a row of the sweep."""
  figure, grid = _grid(len(shown), 1.9)
  for axes, (label, arrays) in zip(grid, shown.items(), strict=False):
    edges = arrays['distance_edges']
    for name, word, look in (
      ('mated', 'same class', dict(color=style.BLUE, fill=True, alpha=0.45)),
      ('nonmated', 'two classes', dict(color=style.ORANGE, hatch='////')),
    ):
      counts = arrays[f'{name}_counts']
      share = counts / counts.sum() / np.diff(edges)
      axes.stairs(share, edges, label=word, **look)
    axes.set_title(label, fontsize=8, parse_math=False)
    axes.set_yticks([])
    axes.set_xlim(0, edges[-1])
  figure.supxlabel('Distance', fontsize=10)
  figure.supylabel('Density', fontsize=10)
  handles, labels = grid[0].get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper left', ncols=2)
  return figure


@style.styled
def planes(shown: Mapping[str, Mapping[str, np.ndarray]]):
  """Test embeddings in two dimensions, a panel a row of the sweep."""
  classes = sorted({c for one in shown.values() for c in one['plane_class']})
  keys = embeddings.keys(classes)
  columns, rows = style.legend_shape(
    [str(key.get_label()) for key in keys], _WIDTH_INCHES
  )
  figure, grid = _grid(len(shown), 2.5, rows)
  for axes, (label, arrays) in zip(grid, shown.items(), strict=False):
    embeddings.scatter(
      axes,
      arrays['plane_points'],
      arrays['plane_class'],
      names=False,
      size=2.2,
      order=classes,
    )
    axes.set_title(label, fontsize=8, parse_math=False)
  figure.legend(handles=keys, loc='outside lower left', ncols=columns)
  return figure


def _grid(
  count: int, height: float, legend_rows: int = 2
) -> tuple[mpl_figure.Figure, list]:
  """A figure with a panel for each row of a sweep, and room for a legend."""
  rows = -(-count // _ACROSS)
  legend = 0.2 + style.LEGEND_ROW_INCHES * legend_rows
  figure = style.new_figure(_WIDTH_INCHES, height * rows + legend)
  grid = list(figure.subplots(rows, _ACROSS, squeeze=False).flat)
  for axes in grid[count:]:
    axes.set_axis_off()
  return figure, grid
