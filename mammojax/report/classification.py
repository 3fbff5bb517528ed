"""Figures and the terminal table of a classifier.

Every function takes plain data. `summary` is what classification.json holds;
figures are drawn of its test split.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import figure as mpl_figure
from matplotlib import patches
import numpy as np
from rich import box
from rich import table as rich_table

from mammojax.report import examples, style
from mammojax.report import table as tables

# The shapes and colours of classes; from the ninth on they begin again.
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
_COLOURS = (
  style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.MUTED,
  style.INK,
)  # fmt: skip
_SQUARE_INCHES = 4.0


@style.styled
def roc(
  points: Mapping[str, Sequence[float]], cell: Mapping[str, Any]
) -> mpl_figure.Figure:
  """ROC curve with chance; `cell` is the area with its interval."""
  figure, axes = _square('False positive rate', 'Recall (sensitivity)')
  axes.plot(
    points['false_positive_rate'],
    points['recall'],
    color=style.BLUE,
    label=f'AUC {_cell(cell)}',
  )
  axes.plot([0, 1], [0, 1], color=style.MUTED, linestyle=':', label='chance')
  axes.legend(loc='lower right')
  return figure


@style.styled
def precision_recall(
  points: Mapping[str, Sequence[float]], cell: Mapping[str, Any], share: float
) -> mpl_figure.Figure:
  """Precision over recall; chance is the share of positives."""
  figure, axes = _square('Recall (sensitivity)', 'Precision')
  axes.plot(
    points['recall'],
    points['precision'],
    drawstyle='steps-post',
    color=style.BLUE,
    label=f'PR-AUC {_cell(cell)}',
  )
  axes.axhline(share, color=style.MUTED, linestyle=':', label='chance')
  axes.legend(loc='best')
  return figure


@style.styled
def calibration(
  before: Sequence[Mapping[str, float]],
  after: Sequence[Mapping[str, float]],
  eces: tuple[float, float],
) -> mpl_figure.Figure:
  """Share of positives over the probability that was said, in equal bins."""
  figure, axes = _square('Probability of positive', 'Share of positives')
  axes.plot([0, 1], [0, 1], color=style.MUTED, linestyle=':', label='ideal')
  looks: tuple[dict[str, Any], ...] = (
    dict(color=style.ORANGE, marker='s', linestyle='--'),
    dict(color=style.BLUE, marker='o'),
  )
  words = ('before', 'after')
  for word, bins, error, look in zip(
    words, (before, after), eces, looks, strict=True
  ):
    axes.plot(
      [one['probability'] for one in bins],
      [one['share'] for one in bins],
      label=f'{word} scaling, ECE {100 * error:.1f} %',
      **look,
    )
  axes.legend(loc='upper left')
  return figure


@style.styled
def confusion(counts: Mapping[str, int]) -> mpl_figure.Figure:
  """The confusion matrix; shades are shares of the true class."""
  table = np.array(
    [
      [counts['true_negative'], counts['false_positive']],
      [counts['false_negative'], counts['true_positive']],
    ]
  )
  share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
  figure, axes = _square('Called', 'Truth')
  axes.grid(False)
  for (row, column), part in np.ndenumerate(share):
    place = (column - 0.5, row - 0.5)
    axes.add_patch(
      _patch(place, color=style.BLUE, alpha=0.08 + 0.5 * float(part))
    )
    axes.text(
      column,
      row,
      f'{table[row, column]:,}\n{100 * part:.1f} %',
      ha='center',
      va='center',
      color=style.INK,
    )
  axes.set_xlim(-0.5, 1.5)
  axes.set_ylim(1.5, -0.5)
  axes.set_xticks([0, 1], ['negative', 'positive'])
  axes.set_yticks([0, 1], ['negative', 'positive'])
  return figure


@style.styled
def plane(
  points: np.ndarray, classes: Sequence[str], positive: Sequence[str]
) -> mpl_figure.Figure:
  """t-SNE of embeddings, coloured by class; positive classes are ringed."""
  names = sorted(set(classes), key=lambda name: (name not in positive, name))
  labels = [
    examples.short_name(name or '(none)') + (' +' if name in positive else '')
    for name in names
  ]
  columns, rows = style.legend_shape(labels, style.WIDTH_INCHES)
  figure = style.new_figure(height=4.0 + style.LEGEND_ROW_INCHES * rows)
  axes = figure.subplots()
  of = np.array(classes)
  for number, name in enumerate(names):
    here = of == name
    is_positive = name in positive
    axes.scatter(
      points[here, 0],
      points[here, 1],
      s=14,
      color=_COLOURS[number % len(_COLOURS)],
      marker=_MARKERS[number % len(_MARKERS)],
      alpha=0.75,
      edgecolors=style.INK if is_positive else 'none',
      linewidths=0.5,
      zorder=3 if is_positive else 2,
      label=style.plain(labels[number]),
    )
  axes.set_xticks([])
  axes.set_yticks([])
  axes.set_xlabel('t-SNE of test embeddings; + marks the positive class')
  figure.legend(loc='outside upper left', ncols=columns)
  return figure


@style.styled
def training(curves: Mapping[str, Sequence[float]], epoch: int):
  """Loss, accuracy, precision and recall over epochs; the kept one marked."""
  figure = style.new_figure(width=6.4, height=4.8)
  panels = figure.subplots(2, 2, sharex=True)
  for name, axes in zip(
    ('loss', 'accuracy', 'precision', 'recall'), panels.flat, strict=True
  ):
    for split, look in (
      ('train', dict(color=style.BLUE)),
      ('validation', dict(color=style.ORANGE, linestyle='--')),
    ):
      values = np.array(curves[f'{split}_{name}'])
      scaled = values if name == 'loss' else 100 * values
      axes.plot(np.arange(1, len(values) + 1), scaled, label=split, **look)
    axes.axvline(epoch, color=style.MUTED, linestyle=':', label='kept')
    axes.set_ylabel(
      'Cross-entropy' if name == 'loss' else f'{name.capitalize()} (%)'
    )
    axes.set_ylim(bottom=0, top=None if name == 'loss' else 100)
  for axes in panels[1]:
    axes.set_xlabel('Epoch')
  handles, labels = panels[0, 0].get_legend_handles_labels()
  figure.legend(handles, labels, loc='outside upper left', ncols=3)
  return figure


def results(summary: Mapping[str, Any]) -> rich_table.Table:
  """Metrics of validation and test as a terminal table, in percent."""
  shown = rich_table.Table(box=box.SIMPLE_HEAD)
  shown.add_column('')
  for split in ('Validation', 'Test'):
    shown.add_column(f'{split} %', justify='right')
    shown.add_column('95 % interval', style='dim')
  for name in summary['definitions']:
    row = [name]
    for split in ('validation', 'test'):
      cell = summary[split]['metrics'][name]
      why = cell.get('undefined', '')
      row += [
        tables.percent(cell['value']) if not why else '-',
        why or tables.interval(cell, '-'),
      ]
    shown.add_row(*row)
  return shown


def _cell(cell: Mapping[str, Any]) -> str:
  ends = tables.interval(cell)
  value = f'{tables.percent(cell["value"])} %'
  return f'{value} ({ends})' if ends else value


def _square(xlabel: str, ylabel: str):
  figure = style.new_figure(_SQUARE_INCHES, _SQUARE_INCHES)
  axes = figure.subplots()
  axes.set_xlabel(xlabel)
  axes.set_ylabel(ylabel)
  axes.set_xlim(-0.01, 1.01)
  axes.set_ylim(-0.01, 1.01)
  axes.set_aspect('equal')
  return figure, axes


def _patch(place: tuple[float, float], **look: Any):
  return patches.Rectangle(place, 1.0, 1.0, linewidth=0, **look)
