"""A sweep as sweep.json, sweep.md, sweep.csv and its figures.

    sweeps.write('runs/table1a', record)

`record` is what `sweep_scores.collect` returns, with 'title', 'command',
'published' (row -> group -> metric -> (value, error), percent) and
'published_name'.
"""

from collections.abc import Mapping, Sequence
import json
import pathlib
from typing import Any

from matplotlib import figure as mpl_figure

from mammojax.report import panel, spreadsheets, style, sweep_scores, table

_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.INK)
_LINES = ('-', '--', '-.', ':')
_MARKERS = 'osD^vPX*<>'
_FOLDER, _FIGURE, _PANEL = 'figures', 'years', 'queries'
_PANEL_TEXT = f"""
![Queries]({_FOLDER}/{_PANEL}.png)

Queries of one seed and the first answer of each row: right in solid green,
wrong in dashed orange.
"""
# Lines are moved apart by this, so that their bars stand side by side.
_SPREAD_YEARS = 0.3
_HEIGHT_PER_ROW_INCHES = 0.13


def write(
  workdir: pathlib.Path, record: Mapping[str, Any]
) -> list[pathlib.Path]:
  """Writes the files of a sweep into its folder.

  Args:
    workdir: the sweep's folder.
    record: see the module.

  Returns:
    Their paths; figures are left out where no run has years, or fewer than two
    rows were shown the same queries.

  Raises:
    ResourceError: the folder cannot be written.
  """
  text = json.dumps(record, indent=2, allow_nan=False, default=list)
  hits = panel.draw(panel.collect(workdir, record))
  page = markdown(record) + (_PANEL_TEXT if hits is not None else '')
  contents = {
    'sweep.json': f'{text}\n'.encode(),
    'sweep.md': page.encode(),
    'sweep.csv': spreadsheets.csv_bytes(sweep_scores.frame(record)),
  }
  paths = []
  for name, content in contents.items():
    paths.append(workdir / name)
    style.write_atomic(paths[-1], content)
  for name, drawn in ((_FIGURE, years(record)), (_PANEL, hits)):
    if drawn is not None:
      if record['leak']:
        style.stamp(drawn, 'LEAK')
      paths += style.save(drawn, workdir / _FOLDER, name).values()
  return paths


def _scores(row: Mapping[str, Any]) -> Mapping[str, Any]:
  """Of the setting that stands for a row."""
  return {} if row['chosen'] is None else _chosen(row)['scores']


def _chosen(row):
  return row['settings'][row['chosen']]


def _groups(record) -> list[str]:
  return table.groups({g: 0 for row in record['rows'] for g in _scores(row)})


def _years(record) -> dict[str, float]:
  """Groups that are years, and how many."""
  return {
    group: at
    for group in _groups(record)
    if (at := table.year(group)) is not None
  }


def mean(cell: Mapping[str, Any], metric: str) -> str:
  """'87.8 ± 0.4', '87.8' for a single run, or a dash."""
  if not cell:
    return table.NOTHING
  value, error = table.score(metric, cell['mean']), cell['standard_error']
  return value if error is None else f'{value} ± {table.score(metric, error)}'


def _published(cell: Sequence[float | None] | None, metric: str) -> str:
  if not cell:
    return table.NOTHING
  digits = 2 if metric in table.UNBOUNDED else 1
  return ' ± '.join(f'{x:.{digits}f}' for x in cell if x is not None)


def summary(row: Mapping[str, Any]) -> str:
  """A row in one line for the terminal."""
  finished = sum(setting['finished'] for setting in row['settings'])
  wanted = sum(setting['runs'] for setting in row['settings'])
  scores = _scores(row)
  metric = 'accuracy' if 'accuracy' in scores.get('all', {}) else 'map'
  value = mean(table.cell(scores, 'all', metric), metric)
  return (
    f'{row["name"]}: test {table.heading(metric)} {value} ({finished} of '
    f'{wanted} runs)'
  )


def markdown(record: Mapping[str, Any]) -> str:
  """The tables of a sweep, one a metric, then what did not finish."""
  seeds = sorted({run['seed'] for run in record['runs']})
  lines = [
    f'# {"LEAK  " if record["leak"] else ""}{record["title"]}',
    '',
    f'    {record["command"]}',
    '',
    'Test split, percent (a loss as it is): mean ± standard error over seeds '
    f'({", ".join(map(str, seeds))}). N_s: settings that were scanned.',
  ]
  if 'accuracy' in record['metrics']:
    lines += ['', *_wide(record)]
  else:
    for metric in _shown(record):
      lines += ['', f'## {table.heading(metric)}', '', *_table(record, metric)]
  if record['published']:
    lines += ['', f'In brackets: {record["published_name"]}, as published.']
  if _years(record):
    lines += [
      '',
      f'![mAP by year]({_FOLDER}/{_FIGURE}.png)',
      '',
      'mAP by the years between two visits; bars: standard errors over seeds.',
    ]
  scanned = [row for row in record['rows'] if row['note']]
  if scanned:
    lines += ['', '## Settings that were chosen', '']
    lines += [_choice(row) for row in scanned]
  return '\n'.join([*lines, *_unfinished(record)]) + '\n'


def _shown(record) -> list[str]:
  """Metrics with a table; one that only others use, where they used it."""
  theirs = {
    metric
    for groups in record['published'].values()
    for cells in groups.values()
    for metric in cells
  }
  return [
    metric
    for metric in record['metrics']
    if metric != table.ALL_SHOTS or metric in theirs
  ]


def _table(record, metric: str) -> list[str]:
  """Rows of one metric; a published number has a column beside ours."""
  groups, published = _groups(record), record['published']
  beside = {
    group
    for group in groups
    for row in record['rows']
    if metric in published.get(row['name'], {}).get(group, {})
  }
  head = ['', 'N_s', 'runs']
  for group in groups:
    label = table.group_label(group)
    head += [label, f'({label})'] if group in beside else [label]
  lines = [_line(head), _line(['---'] + ['---:'] * (len(head) - 1))]
  for row in record['rows']:
    cells = [row['name'], str(row['scans']), _count(row)]
    for group in groups:
      cells.append(mean(table.cell(_scores(row), group, metric), metric))
      if group in beside:
        theirs = published.get(row['name'], {}).get(group, {})
        cells.append(f'({_published(theirs.get(metric), metric)})')
    lines.append(_line(cells))
  return lines


def _wide(record) -> list[str]:
  """All metrics of decisions side by side, the published ones in brackets."""
  metrics, published = record['metrics'], record['published']
  head = ['', 'N_s', 'runs', *(table.heading(metric) for metric in metrics)]
  lines = [_line(head), _line(['---'] + ['---:'] * (len(head) - 1))]
  for row in record['rows']:
    theirs = published.get(row['name'], {}).get('all', {})
    cells = [row['name'], str(row['scans']), _count(row)]
    for metric in metrics:
      ours = mean(table.cell(_scores(row), 'all', metric), metric)
      beside = (
        f' ({_published(theirs.get(metric), metric)})' if published else ''
      )
      cells.append(ours + beside)
    lines.append(_line(cells))
  return lines


def _count(row) -> str:
  """Runs that are finished, in bold where some are not."""
  finished = sum(setting['finished'] for setting in row['settings'])
  wanted = sum(setting['runs'] for setting in row['settings'])
  return str(finished) if finished == wanted else f'**{finished} of {wanted}**'


def _line(cells: Sequence[str]) -> str:
  return f'| {" | ".join(cells)} |'


def _choice(row) -> str:
  if row['chosen'] is None:
    return f'- {row["name"]}: {row["note"]}.'
  return f'- {row["name"]}: {_chosen(row)["name"]}; {row["note"]}.'


def _unfinished(record) -> list[str]:
  """What did not finish, with the last lines of its log."""
  left = [run for run in record['runs'] if run['state'] != 'finished']
  if not left:
    return []
  lines = ['', '## Not finished', '']
  waiting = sum(run['state'] == 'waiting' for run in left)
  if waiting:
    lines.append(f'- {waiting} runs were not started.')
  for run in left:
    if run['state'] == 'waiting':
      continue
    code = '' if run['exit_code'] is None else f', exit {run["exit_code"]}'
    lines.append(f'- {run["folder"]}: {run["state"]}{code}')
    # Indented, so that nothing in a log is taken for markup.
    lines += ['', *(f'      {line}' for line in run['last_lines']), '']
  return lines


@style.styled
def years(record: Mapping[str, Any]) -> mpl_figure.Figure | None:
  """MAP against the years between two visits, a line a row.

  Bars are standard errors over seeds. None where no run has years.

  Source: Nguyen et al., 2022, arXiv:2205.02849, figure 3.
  """
  rows = [row for row in record['rows'] if _scores(row)]
  found = _years(record)
  if not found:
    return None
  figure = style.new_figure(
    height=style.HEIGHT_INCHES + _HEIGHT_PER_ROW_INCHES * len(rows)
  )
  axes = figure.add_subplot(xlabel='Years between visits', ylabel='mAP (%)')
  for index, row in enumerate(rows):
    points = [
      (at, cell['mean'], cell['standard_error'] or 0.0)
      for group, at in found.items()
      if (cell := table.cell(_scores(row), group, 'map'))
    ]
    shift = _SPREAD_YEARS * ((index + 0.5) / len(rows) - 0.5)
    axes.errorbar(
      [at + shift for at, _, _ in points],
      [100 * value for _, value, _ in points],
      yerr=[100 * error for _, _, error in points],
      color=_COLOURS[index % len(_COLOURS)],
      linestyle=_LINES[(index // len(_COLOURS)) % len(_LINES)],
      marker=_MARKERS[index % len(_MARKERS)],
      capsize=2,
      elinewidth=1.0,
      label=row['name'],
    )
  axes.set_xticks(list(found.values()), [f'{at:g}' for at in found.values()])
  axes.margins(y=0.08)
  # Above the axes, where no line can cross it.
  figure.legend(loc='outside upper left', ncols=2, columnspacing=1.4)
  return figure
