"""Results as a terminal table, and how numbers are written everywhere.

`metrics` is the content of metrics.json: fractions in [0, 1], each with an
interval over subjects and the number of queries behind it.

    rich.print(table.results(metrics))
"""

from collections.abc import Iterator, Mapping
import math
from typing import Any

from rich import box
from rich import table as rich_table
from rich import text as rich_text

METRICS = {
  'map': 'mAP',
  'map_at_r': 'mAP@R',
  'cmc@1': 'CMC@1',
  'cmc@5': 'CMC@5',
}
# For comparison with tables whose CMC counts every match of a query.
ALL_SHOTS = 'cmc_all_shots@1'
BASELINES = {
  'pixel': 'Raw pixels',
  'masked': 'Masked',
  'chance': 'Chance',
  'most_common': 'Most common class',
}
DECISIONS = {
  'accuracy': 'Accuracy',
  'log_loss': 'Loss',
  'f2': 'F2',
  'auc': 'AUC',
  'recall': 'Recall',
  'specificity': 'Specificity',
  'precision': 'Precision',
  'pr_auc': 'PR-AUC',
  'brier': 'Brier',
  'ece': 'ECE',
}
# Metrics that are no fractions: they have no upper end and no percent.
UNBOUNDED = ('log_loss',)
NOTHING = '–'


def number(value: Any) -> float | None:
  """The value as a finite float; None for what is not one."""
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    return None
  return float(value) if math.isfinite(value) else None


def percent(value: Any) -> str:
  """A fraction as percent with one decimal and no sign: 0.8432 -> '84.3'."""
  found = number(value)
  return NOTHING if found is None else f'{100 * found:.1f}'


def score(metric: str, value: Any) -> str:
  """A number as `percent`, or with three decimals where it is no fraction."""
  if metric not in UNBOUNDED:
    return percent(value)
  found = number(value)
  return NOTHING if found is None else f'{found:.3f}'


def heading(metric: str) -> str:
  """How a metric is written above a column."""
  if metric == ALL_SHOTS:
    return f'{METRICS["cmc@1"]}, every match counted'
  return (METRICS | DECISIONS).get(metric, metric)


def decides(metrics: Mapping[str, Any]) -> bool:
  """Whether the run was judged by decisions, not by retrieval."""
  return metrics.get('kind') == 'classification'


def interval(cell: Mapping[str, Any], dash: str = '–') -> str:
  """'81.2–87.0' where the cell has both ends, else ''."""
  low, high = number(cell.get('low')), number(cell.get('high'))
  if low is None or high is None:
    return ''
  return f'{percent(low)}{dash}{percent(high)}'


def span(metric: str, cell: Mapping[str, Any]) -> str:
  """`interval`, of any metric."""
  if metric not in UNBOUNDED or not interval(cell):
    return interval(cell)
  return f'{score(metric, cell["low"])}–{score(metric, cell["high"])}'


def count(value: Any) -> str:
  """A whole number with thousands separated, or a dash."""
  found = number(value)
  return NOTHING if found is None else f'{found:,.0f}'


def year(group: str) -> float | None:
  """The years of a group: 'year_6' -> 6.0; None for 'all' and others."""
  name, _, digits = group.partition('_')
  if name != 'year':
    return None
  try:
    return number(float(digits))
  except ValueError:
    return None


def group_label(group: str) -> str:
  """'all' -> 'All', 'year_1' -> '1 year', 'year_6' -> '6 years'."""
  years = year(group)
  if years is not None:
    return f'{years:g} year' if years == 1 else f'{years:g} years'
  return group.replace('_', ' ').capitalize()


def baseline_label(name: str) -> str:
  """The words for a baseline's key."""
  return BASELINES.get(name, name.replace('_', ' ').capitalize())


def groups(scores: Mapping[str, Any]) -> list[str]:
  """Keys in reading order: all, the years from near to far, then others."""

  def order(group: str) -> tuple[int, float, str]:
    years = year(group)
    if group == 'all':
      return 0, 0.0, ''
    return (2, 0.0, group) if years is None else (1, years, group)

  return sorted(scores, key=order)


def baselines(metrics: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
  """The baselines that were measured, the known ones first."""
  given = metrics.get('baselines') or {}
  names = [n for n in BASELINES if n in given]
  names += sorted(set(given) - set(BASELINES))
  return {name: given[name] for name in names if given[name]}


def cell(scores: Mapping[str, Any], group: str, name: str) -> dict[str, Any]:
  """One measured number with its interval; {} when it was not measured."""
  return (scores.get(group) or {}).get(name) or {}


def leaks(metrics: Mapping[str, Any]) -> bool:
  """Whether the run was told to go on in spite of a leak between splits."""
  return any('LEAK' in warning for warning in metrics.get('warnings') or [])


def titled(title: str, metrics: Mapping[str, Any]) -> str:
  """A title, stamped where the run went on in spite of a leak."""
  return f'LEAK  {title}' if leaks(metrics) else title


def verdict(metrics: Mapping[str, Any]) -> str:
  """The run in one sentence: test mAP against pixels and chance."""
  found = cell(metrics['test'], 'all', 'map')
  span, used = interval(found), found.get('n_used')
  inside = [f'95 % interval {span}'] if span else []
  inside += [f'n = {count(used)} queries'] if number(used) is not None else []
  behind = f' ({", ".join(inside)})' if inside else ''
  words = {'pixel': 'for raw pixels', 'chance': 'by chance'}
  against = [
    f'{percent(cell(scores, "all", "map").get("value"))} % {words[name]}'
    for name, scores in baselines(metrics).items()
    if name in words and cell(scores, 'all', 'map')
  ]
  tail = f' against {" and ".join(against)}' if against else ''
  return f'Test mAP {percent(found.get("value"))} %{behind}{tail}.'


def results(metrics: Mapping[str, Any]) -> rich_table.Table:
  """The results of a run for the terminal, fit for 80 columns.

  Args:
    metrics: content of metrics.json. Each number is written as percent, its
      95 % interval after it.

  Returns:
    rich.table.Table with the rows All, 1 year, ... of the network and one row
    for each baseline over all years. It needs no colour to be understood.
  """
  drawn = rich_table.Table(
    title=titled(
      'Test results in percent, each with its 95 % interval', metrics
    ),
    title_style='bold',
    title_justify='left',
    caption='n: queries. Raw pixels, masked and chance: all years.',
    caption_justify='left',
    box=box.SIMPLE_HEAD,
    padding=(0, 0),
    pad_edge=False,
  )
  drawn.add_column('', no_wrap=True)
  drawn.add_column('n', justify='right', no_wrap=True)
  for heading in METRICS.values():
    drawn.add_column(heading)
  for row in _rows(metrics):
    drawn.add_row(*row)
    if row[0].plain == _last_group(metrics):
      drawn.add_section()
  return drawn


def _last_group(metrics: Mapping[str, Any]) -> str:
  return group_label(groups(metrics['test'])[-1])


def _rows(metrics: Mapping[str, Any]) -> Iterator[list[rich_text.Text]]:
  """One list of cells for each row of the terminal table."""
  for group in groups(metrics['test']):
    yield _row(group_label(group), metrics['test'], group)
  for name, scores in baselines(metrics).items():
    yield _row(baseline_label(name), scores, 'all')


def _row(
  label: str, scores: Mapping[str, Any], group: str
) -> list[rich_text.Text]:
  # Text, not str: rich would read square brackets in a string as markup.
  bold = 'bold' if label == 'All' else ''
  used = cell(scores, group, 'map').get('n_used')
  cells = [rich_text.Text(label, bold), rich_text.Text(_plain(count(used)))]
  for name in METRICS:
    found = cell(scores, group, name)
    value = rich_text.Text(f'{_plain(percent(found.get("value"))):>4}', bold)
    # '100' for '100.0', or a perfect column would not fit.
    ends = interval(found, '-').replace('100.0', '100')
    cells.append(value.append(f' {ends}'.rstrip(), 'dim'))
  return cells


def _plain(text: str) -> str:
  """Only ASCII, for terminals that cannot encode a dash."""
  return text.replace(NOTHING, '-')
