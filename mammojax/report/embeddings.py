"""Figures of what an embedding tells, from the content of `examine.npz`.

Every function takes plain data; see `mammojax.apps.examine_run` for the
arrays.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import lines, patheffects
import numpy as np

from mammojax.report import examples, style, table

DISTANCES = {
  'cosine': 'Distance (1 − cosine similarity)',
  'euclidean': 'Euclidean distance',
  'squared_euclidean': 'Euclidean distance',
  'manhattan': 'L1 distance',
}
_MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')
_COLOURS = (
  style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.MUTED,
  style.INK,
)  # fmt: skip
# Pixels between the images of a tuple.
_GAP_PIXELS = 2
_LOWEST_RATE = 1e-4


@style.styled
def roc(
  arrays: Mapping[str, np.ndarray], cells: Mapping[str, Any]
) -> mpl_figure.Figure:
  """Matches found over false matches, on a scale that shows the rare ones."""
  figure = style.new_figure()
  axes = figure.subplots()
  false, true = arrays['roc_false_match_rate'], arrays['roc_true_match_rate']
  axes.plot(
    np.maximum(false, _LOWEST_RATE),
    100 * true,
    drawstyle='steps-post',
    color=style.BLUE,
    label=f'AUC {table.percent(cells["auc"]["value"])} %',
  )
  line = np.geomspace(_LOWEST_RATE, 1.0, 100)
  axes.plot(
    line,
    100 * (1 - line),
    color=style.MUTED,
    linestyle=':',
    label='equal error',
  )
  rate = cells['eer']['value']
  axes.plot(
    rate,
    100 * (1 - rate),
    'o',
    color=style.ORANGE,
    label=f'EER {table.percent(rate)} %',
  )
  axes.set_xscale('log')
  axes.set_xlim(_LOWEST_RATE, 1.0)
  axes.set_ylim(0, 101)
  axes.set_xlabel('False-match rate')
  axes.set_ylabel('Matches found (%)')
  axes.legend(loc='lower right')
  return figure


@style.styled
def plane(
  points: np.ndarray, classes: np.ndarray, held_out: Sequence[str], label: str
) -> mpl_figure.Figure:
  """Test embeddings in two dimensions, each class with its name beside it."""
  figure = style.new_figure(width=6.0, height=5.4)
  scatter(figure.subplots(), points, classes, held_out)
  figure.supxlabel(label, fontsize=style.RC['axes.labelsize'])
  return figure


def scatter(
  axes: mpl_axes.Axes,
  points: np.ndarray,
  classes: np.ndarray,
  held_out: Sequence[str] = (),
  names: bool = True,
  size: float = 3.6,
  order: Sequence[str] = (),
) -> None:
  """Points of classes; those held out have a dark dot.

  Args:
    axes: to draw on.
    points: float[n, 2].
    classes: str[n].
    held_out: names.
    names: write each class at its middle.
    size: of a marker, in points.
    order: all classes of a figure, so that each looks the same in every panel;
      default: those of the points.
  """
  for number, name in enumerate(order or sorted(set(classes))):
    here = points[classes == name]
    if not len(here):
      continue
    is_held = name in held_out
    look = _look(number)
    axes.plot(*here.T, linestyle='', markersize=size, alpha=0.75, **look)
    if is_held:
      axes.plot(*here.T, '.', markersize=1.4, color=style.INK)
    if not names:
      continue
    # The point nearest to the median lies among its own.
    middle = np.median(here, axis=0)
    place = here[np.argmin(((here - middle) ** 2).sum(axis=1))]
    axes.annotate(
      examples.short_name(name) + (' (held out)' if is_held else ''),
      place,
      ha='center',
      va='center',
      fontsize=8.5,
      weight='bold',
      path_effects=[
        patheffects.withStroke(linewidth=2.5, foreground=style.PAPER)
      ],
      parse_math=False,
    )
  axes.set_xticks([])
  axes.set_yticks([])
  axes.grid(False)
  axes.spines[:].set_visible(True)


def keys(classes: Sequence[str]) -> list[lines.Line2D]:
  """What a legend shows of classes, in their order."""
  return [
    lines.Line2D(
      [],
      [],
      linestyle='',
      label=style.plain(examples.short_name(name)),
      **_look(number),
    )
    for number, name in enumerate(classes)
  ]


def _look(number: int) -> dict[str, Any]:
  """Colour and marker of a class; hollow where colours begin again."""
  colour = _COLOURS[number % len(_COLOURS)]
  return {
    'color': colour,
    'marker': _MARKERS[number % len(_MARKERS)],
    'markeredgewidth': 0.8,
    'markerfacecolor': colour if number < len(_COLOURS) else 'none',
  }


@style.styled
def pairs(
  arrays: Mapping[str, np.ndarray], word: str
) -> mpl_figure.Figure | None:
  """Pairs drawn by chance, then wrong ones; `word` is what the number is."""

  def words(names, numbers, called):
    is_same = names[0] == names[1]
    said = 'same' if called else 'different'
    return f'{said}, {word} {numbers[0]:.2f}', bool(called) == is_same

  return _tuples(arrays, 'pair', words, columns=4)


@style.styled
def triplets(
  arrays: Mapping[str, np.ndarray], word: str
) -> mpl_figure.Figure | None:
  """Anchor, positive and negative: by chance, then wrong ones."""

  def words(names, numbers, called):
    del names
    near, far = numbers
    return f'{word} {near:.2f} and {far:.2f}', bool(called)

  return _tuples(arrays, 'triplet', words, columns=3)


def _tuples(arrays, kind, words, columns):
  """A grid of tuples: rows drawn by chance, then rows of wrong ones."""
  parts = []
  for prefix, title in (('', 'By chance'), ('wrong_', 'Wrong ones')):
    images = arrays[f'{prefix}{kind}_images']
    if len(images):
      parts.append((prefix, title, -(-len(images) // columns)))
  if not parts:
    return None
  size = arrays[f'{kind}_images'].shape[1]
  heights = [rows for _, _, rows in parts]
  figure = style.new_figure(
    width=0.9 * size * columns + 0.4, height=1.38 * sum(heights) + 0.5
  )
  boxes = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)
  for box, (prefix, title, rows) in zip(boxes[:, 0], parts, strict=True):
    box.suptitle(title, x=0.01, ha='left', fontsize=10, weight='bold')
    grid = box.subplots(rows, columns, squeeze=False).flat
    names = ('images', 'class', 'distance', 'called')
    each = [arrays[f'{prefix}{kind}_{name}'] for name in names]
    for axes, one in zip(grid, zip(*each, strict=True), strict=False):
      images, classes, *answer = one
      label, good = words(classes, *answer)
      above = ' | '.join(examples.short_name(name) for name in classes)
      examples.picture(
        axes, _joined(images), above, f'{"✓" if good else "✗"} {label}', good
      )
    for axes in list(box.axes)[len(each[0]) :]:
      axes.set_axis_off()
  return figure


def _joined(images: np.ndarray) -> np.ndarray:
  """uint8[n, h, w, c] side by side, with white between."""
  white = np.full_like(images[0][:, :_GAP_PIXELS], 255)
  parts = [part for image in images for part in (white, image)]
  return np.concatenate(parts[1:], axis=1)


@style.styled
def by_class(
  network: Mapping[str, float],
  pixels: Mapping[str, float] | None,
  k: int,
) -> mpl_figure.Figure:
  """Share of each class that its nearest neighbours call right."""
  names = sorted(network)
  figure = style.new_figure(height=max(style.HEIGHT_INCHES, 0.34 * len(names)))
  axes = figure.subplots()
  places = np.arange(len(names))
  axes.plot(
    [100 * network[name] for name in names],
    places,
    'o',
    color=style.BLUE,
    label='network',
  )
  if pixels:
    axes.plot(
      [100 * pixels[name] for name in names],
      places,
      's',
      color=style.ORANGE,
      markerfacecolor='none',
      label='raw pixels',
    )
  axes.set_yticks(
    places, [style.plain(examples.short_name(name)) for name in names]
  )
  axes.invert_yaxis()
  axes.grid(True, axis='x')
  axes.set_xlim(right=101)
  axes.set_xlabel(f'Right by {k} neighbours (%)')
  figure.legend(loc='outside upper left', ncols=2)
  return figure
