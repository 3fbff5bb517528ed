"""A run that decides, for the report and the terminal.

Arguments that occur in several functions:
  metrics: content of metrics.json.
  evaluation: arrays of evaluation.npz by name.
  history: see `figures`.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib import figure as mpl_figure
from matplotlib import ticker
import numpy as np
from rich import box
from rich import table as rich_table
from rich import text as rich_text
from scipy import special

from mammojax.metrics import curves
from mammojax.report import classification, reading, style, table

SPLITS = ('validation', 'test')
_LOOKS: dict[str, dict[str, Any]] = {
  'accuracy': dict(color=style.BLUE, marker='o'),
  'auc': dict(color=style.ORANGE, marker='s', linestyle='--'),
  'f2': dict(color=style.GREEN, marker='^', linestyle='-.'),
}


def splits(metrics: Mapping[str, Any]) -> list[str]:
  """Those of SPLITS that were measured."""
  return [split for split in SPLITS if metrics.get(split)]


def verdict(metrics: Mapping[str, Any]) -> str:
  """The run in one sentence: accuracy and AUC against the common class."""
  found = table.cell(metrics['test'], 'all', 'accuracy')
  area = table.cell(metrics['test'], 'all', 'auc')
  common = table.cell(
    table.baselines(metrics).get('most_common', {}), 'all', 'accuracy'
  )
  words = [f'Test accuracy {_with_span(found)}']
  if common:
    words.append(
      f' against {table.percent(common["value"])} % for the most common class'
    )
  words.append(f'; AUC {_with_span(area)}')
  return f'{"".join(words)}; n = {table.count(found.get("n_used"))} images.'


def _with_span(cell: Mapping[str, Any]) -> str:
  ends = table.interval(cell)
  inside = f' (95 % interval {ends})' if ends else ''
  return f'{table.percent(cell.get("value"))} %{inside}'


def threshold(metrics: Mapping[str, Any]) -> str:
  """From where an image is called positive, in a sentence."""
  given = metrics.get('threshold') or {}
  value, rule = table.number(given.get('value')), given.get('rule')
  if rule == 'half':
    return 'Called positive from a probability of one half.'
  where = 'chosen on validation' + ('' if value is not None else ' by fold')
  at = '' if value is None else f' {value:.3f}'
  return f'Threshold{at} {where} (best {rule}).'


def results(metrics: Mapping[str, Any]) -> rich_table.Table:
  """The results of a run for the terminal, fit for 80 columns."""
  drawn = rich_table.Table(
    title=table.titled(
      'Decisions in percent, each with its 95 % interval', metrics
    ),
    title_style='bold',
    title_justify='left',
    caption=threshold(metrics),
    caption_justify='left',
    box=box.SIMPLE_HEAD,
    pad_edge=False,
  )
  drawn.add_column('', no_wrap=True)
  for split in splits(metrics):
    drawn.add_column(split.capitalize())
  for name, heading in table.DECISIONS.items():
    row = [rich_text.Text(heading)]
    for split in splits(metrics):
      cell = table.cell(metrics[split], 'all', name)
      value = table.score(name, cell.get('value'))
      ends = table.span(name, cell)
      text = rich_text.Text(value.replace(table.NOTHING, '-'), 'bold')
      row.append(text.append(f'  {ends}'.rstrip().replace('–', '-'), 'dim'))
    drawn.add_row(*row)
  return drawn


def figures(
  metrics: Mapping[str, Any],
  history: reading.History,
  evaluation: reading.Arrays,
) -> dict[str, mpl_figure.Figure | None]:
  """Every figure by name; None where there is nothing to draw."""
  counts = (metrics.get('confusion') or {}).get('test')
  best = table.number(metrics.get('best_step'))
  return {
    'confusion': None if counts is None else classification.confusion(counts),
    'roc': _roc(metrics, evaluation),
    'losses': losses(history, best),
    'scores': scores(history, best),
  }


def _roc(metrics, evaluation) -> mpl_figure.Figure | None:
  if 'test_logit' not in evaluation:
    return None
  points = curves.points(
    evaluation['test_positive'], special.expit(evaluation['test_logit'])
  )
  if not points:
    return None
  cell = table.cell(metrics['test'], 'all', 'auc')
  return classification.roc(points['roc'], cell)


@style.styled
def losses(
  history: reading.History, best_step: float | None = None
) -> mpl_figure.Figure | None:
  """Training loss, and that of the validation images, over steps."""
  train = reading.series(history, 'train', 'loss')
  chosen = reading.series(history, 'validation', 'log_loss')
  if not train[0].size:
    return None
  figure, axes = _axes('Cross-entropy')
  axes.plot(*train, color=style.BLUE, label='training')
  if chosen[0].size:
    axes.plot(
      *chosen,
      color=style.ORANGE,
      marker='s',
      linestyle='--',
      label='validation',
    )
  # One bad validation must not hide all the rest.
  usual = 2 * float(np.median(chosen[1])) if chosen[1].size else 0.0
  axes.set_ylim(0, 1.05 * max(float(train[1].max()), usual))
  _mark(axes, best_step)
  figure.legend(loc='outside upper left', ncols=3, columnspacing=1.4)
  return figure


@style.styled
def scores(
  history: reading.History, best_step: float | None = None
) -> mpl_figure.Figure | None:
  """Accuracy, AUC and F2 on validation; the step that was kept is marked."""
  figure, axes = _axes('Validation (%)')
  for name, look in _LOOKS.items():
    steps, values = reading.series(history, 'validation', name)
    if steps.size:
      axes.plot(steps, 100 * values, label=table.DECISIONS[name], **look)
  if not axes.lines:
    return None
  axes.set_ylim(0, 100)
  _mark(axes, best_step)
  figure.legend(loc='outside upper left', ncols=4, columnspacing=1.4)
  return figure


def _axes(label: str) -> tuple[mpl_figure.Figure, Any]:
  figure = style.new_figure()
  axes = figure.add_subplot(xlabel='Step', ylabel=label)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
  return figure, axes


def _mark(axes: Any, best_step: float | None) -> None:
  if best_step is not None:
    axes.axvline(
      best_step, color=style.MUTED, linestyle=':', label='kept checkpoint'
    )
