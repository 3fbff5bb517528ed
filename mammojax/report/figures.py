"""Every figure of a report, from the content of a workdir's files.

Each function takes plain data and returns a matplotlib Figure, or None when
the data hold nothing to draw. None of them touches pyplot or a file.

Arguments that occur in several functions:
  history: {'train': [record, ...], 'validation': [record, ...]}, records of
    metrics.jsonl in the order of their steps.
  metrics: content of metrics.json.
  evaluation: arrays of evaluation.npz by name.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import lines, ticker
import numpy as np

from mammojax.report import reading, style, table

# Beyond this many points single steps are drawn faint and a mean above them.
SMOOTH_ABOVE = 40
# More counts than this below the years would touch each other.
MAX_COUNTS = 8

_LOOKS: dict[str, dict[str, Any]] = {
  'pixel': dict(color=style.ORANGE, linestyle='--', marker='s'),
  'masked': dict(color=style.PURPLE, linestyle='-.', marker='^'),
  'chance': dict(color=style.MUTED, linestyle=':', marker='x'),
}
_OTHER: dict[str, Any] = dict(color=style.GREEN, linestyle='--', marker='D')


@style.styled
def loss(history: reading.History) -> mpl_figure.Figure | None:
  """Training loss over steps, with a running mean when there are many."""
  return _course(history, 'loss', 'Training loss')


@style.styled
def active_fraction(history: reading.History) -> mpl_figure.Figure | None:
  """Share of the triplets, pairs or images that still teach, over steps."""
  return _course(history, 'active_fraction', 'Active (%)', 100)


@style.styled
def validation(
  history: reading.History, best_step: float | None = None
) -> mpl_figure.Figure | None:
  """MAP and CMC@1 on validation subjects; the step that was kept is marked."""
  figure, axes = _axes('Step', 'Validation (%)')
  looks = {
    'map': dict(color=style.BLUE, marker='o'),
    'cmc@1': dict(color=style.ORANGE, marker='s', linestyle='--'),
  }
  for name, look in looks.items():
    steps, values = reading.series(history, 'validation', name)
    if steps.size:
      axes.plot(steps, 100 * values, label=table.METRICS[name], **look)
  if not axes.lines:
    return None
  axes.set_ylim(0, 100)
  if best_step is not None:
    axes.axvline(
      best_step, color=style.MUTED, linestyle=':', label='kept checkpoint'
    )
  _legend(figure, 3)
  return figure


@style.styled
def margins(
  history: reading.History, distance: str = 'cosine'
) -> mpl_figure.Figure | None:
  """Margins ε and β over steps, in the unit of the loss's distance.

  Source: Nguyen et al., 2022, arXiv:2205.02849, figure 2.
  """
  unit = style.UNITS.get(distance, distance)
  figure, axes = _axes('Step', f'Margin ({unit})')
  looks = {
    'margin': dict(color=style.BLUE, label='ε (margin)'),
    'beta': dict(
      color=style.ORANGE, label='β (ceiling for negatives)', linestyle='--'
    ),
  }
  for name, look in looks.items():
    steps, values = reading.series(history, 'train', name)
    if steps.size:
      axes.plot(steps, values, **look)
  if not axes.lines:
    return None
  low = min(np.min(line.get_ydata()) for line in axes.lines)
  axes.set_ylim(bottom=min(0.0, low))
  _legend(figure, 2)
  return figure


@style.styled
def years(
  metrics: Mapping[str, Any], name: str = 'map'
) -> mpl_figure.Figure | None:
  """One metric against the years between two visits, beside the baselines.

  Bars are 95 % intervals over subjects. A baseline measured over all years
  only is a level line.

  Source: Nguyen et al., 2022, arXiv:2205.02849, figure 3.
  Differs: theirs are standard errors over five runs.
  """
  test = metrics['test']
  spots = [g for g in table.groups(test) if table.year(g) is not None]
  spots = [g for g in spots if 'value' in table.cell(test, g, name)]
  if not spots:
    return None
  figure, axes = _axes('', f'{table.METRICS[name]} (%)')
  network = dict(color=style.BLUE, marker='o')
  handles = [_points(axes, test, spots, name, 'Network', **network)]
  for key, scores in table.baselines(metrics).items():
    look, label = _LOOKS.get(key, _OTHER), table.baseline_label(key)
    if any('value' in table.cell(scores, g, name) for g in spots):
      handles.append(_points(axes, scores, spots, name, label, **look))
      continue
    level = table.number(table.cell(scores, 'all', name).get('value'))
    if level is not None:
      line = {k: v for k, v in look.items() if k != 'marker'}
      label = f'{label}, all years'
      handles.append(axes.axhline(100 * level, label=label, **line))
  _year_ticks(axes, test, spots, name)
  axes.set_ylim(0, 100)
  _legend(figure, 2, [handle for handle in handles if handle])
  return figure


def _year_ticks(
  axes: mpl_axes.Axes, test: Mapping[str, Any], spots: Sequence[str], name: str
) -> None:
  """A tick for each year; the queries behind it where there is room."""
  positions = [year for g in spots if (year := table.year(g)) is not None]
  labels = [f'{position:g}' for position in positions]
  label = 'Years between visits'
  if len(spots) <= MAX_COUNTS:
    used = [table.cell(test, g, name).get('n_used') for g in spots]
    labels = [
      f'{t}\n{table.count(n)}' for t, n in zip(labels, used, strict=True)
    ]
    label = 'Years between visits, below them the queries'
  axes.set_xticks(positions, labels)
  axes.set_xlabel(label)


@style.styled
def distances(
  evaluation: reading.Arrays, label: str = 'Distance (1 − cosine similarity)'
) -> mpl_figure.Figure | None:
  """Densities of matched and mismatched distances, equal-error threshold."""
  found = reading.histograms(evaluation)
  if found is None:
    return None
  edges, mated, nonmated = found
  figure, axes = _axes(label, 'Density')
  widths = np.diff(edges)
  axes.stairs(
    mated / mated.sum() / widths,
    edges,
    fill=True,
    color=style.BLUE,
    alpha=0.45,
    label='matched pairs',
  )
  axes.stairs(
    nonmated / nonmated.sum() / widths,
    edges,
    color=style.ORANGE,
    hatch='////',
    linewidth=1.4,
    label='mismatched pairs',
  )
  threshold, _ = equal_error(edges, mated, nonmated)
  axes.axvline(
    threshold,
    color=style.INK,
    linestyle='--',
    linewidth=1.2,
    label='equal error',
  )
  axes.set_ylim(bottom=0)
  filled = np.flatnonzero(mated + nonmated)
  axes.set_xlim(min(0.0, edges[filled[0]]), edges[filled[-1] + 1])
  axes.xaxis.set_major_locator(ticker.MaxNLocator(8))
  _legend(figure, 3)
  return figure


def equal_error(
  edges: np.ndarray, mated: np.ndarray, nonmated: np.ndarray
) -> tuple[float, float]:
  """Threshold at which false matches are as frequent as false non-matches.

      share of mated pairs beyond t = share of non-mated pairs up to t

  Between two edges the pairs are taken as evenly spread; where a whole
  stretch of thresholds separates the two kinds its middle is taken.

  Args:
    edges: float64[n+1], rising.
    mated: int64[n], pairs of one identity in each bin; not all 0.
    nonmated: int64[n], pairs of two identities in each bin; not all 0.

  Returns:
    (threshold, error rate in [0, 1]).
  """
  missed = 1 - np.concatenate([[0.0], np.cumsum(mated) / mated.sum()])
  false = np.concatenate([[0.0], np.cumsum(nonmated) / nonmated.sum()])
  gap = false - missed  # Rises from -1 to 1.
  above = int(np.argmax(gap >= 0))
  if gap[above] == 0:
    last = int(np.flatnonzero(gap <= 0)[-1])
    return float((edges[above] + edges[last]) / 2), float(false[above])
  below = above - 1
  part = -gap[below] / (gap[above] - gap[below])
  threshold = edges[below] + part * (edges[above] - edges[below])
  return float(threshold), float(
    false[below] + part * (false[above] - false[below])
  )


def _axes(x_label: str, y_label: str) -> tuple[mpl_figure.Figure, Any]:
  figure = style.new_figure()
  axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  return figure, axes


def _legend(figure: Any, columns: int, handles: Any = None) -> None:
  """Above the axes, where no curve can cross it, left to right in rows."""
  chosen = {} if handles is None else {'handles': handles}
  figure.legend(
    loc='outside upper left', ncols=columns, columnspacing=1.4, **chosen
  )


def _course(history, name: str, label: str, factor: float = 1.0):
  """A number of the training over steps; None where it was not logged."""
  steps, values = reading.series(history, 'train', name)
  if not steps.size:
    return None
  figure, axes = _axes('Step', label)
  _curve(axes, steps, factor * values)
  axes.set_ylim(bottom=min(0.0, factor * values.min()))
  return figure


def _curve(axes: mpl_axes.Axes, steps: np.ndarray, values: np.ndarray) -> None:
  """A line; when it has many points, faint, under its running mean."""
  if len(steps) <= SMOOTH_ABOVE:
    axes.plot(steps, values, color=style.BLUE)
    return
  width = 2 * (len(steps) // SMOOTH_ABOVE) + 1
  ones = np.ones(width)
  # Divided by the points in reach, so that the ends are not pulled to 0.
  near = np.convolve(np.ones_like(values), ones, 'same')
  mean = np.convolve(values, ones, 'same') / near
  axes.plot(
    steps, values, color=style.BLUE, alpha=0.3, linewidth=0.8, label='logged'
  )
  axes.plot(steps, mean, color=style.BLUE, label=f'mean of {width} records')
  _legend(axes.figure, 2)


def _points(
  axes: mpl_axes.Axes,
  scores: Mapping[str, Any],
  spots: Sequence[str],
  name: str,
  label: str,
  **look: Any,
) -> lines.Line2D | None:
  """Values with their intervals at the years they belong to."""
  rows = []
  for spot in spots:
    found = table.cell(scores, spot, name)
    value = table.number(found.get('value'))
    low, high = (table.number(found.get(end)) for end in ('low', 'high'))
    if value is not None:
      low, high = value if low is None else low, value if high is None else high
      # Never negative: a value may lie outside its bootstrap interval.
      down, up = max(value - low, 0), max(high - value, 0)
      rows.append((table.year(spot), 100 * value, 100 * down, 100 * up))
  if not rows:
    return None
  x, y, down, up = np.array(rows, np.float64).T
  drawn = axes.errorbar(
    x, y, yerr=(down, up), capsize=3, elinewidth=1.2, **look
  )
  # The legend shows line and marker only: with bars in it it gets crowded.
  drawn.lines[0].set_label(label)
  return drawn.lines[0]
