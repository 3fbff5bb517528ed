"""Which triplets of one anchor each selection takes, drawn side by side.

    figure = selections.small_multiples(margin=0.2)
    style.save(figure, folder, 'selections')

A triplet of an anchor is a positive and a negative. Every panel has a row for
each positive and, in all rows, the same negatives; a filled negative makes a
selected triplet with the positive of its row.
"""

from collections.abc import Callable

from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import legend_handler, lines, patches
import numpy as np

from mammojax import errors
from mammojax.report import style

# Distances from the anchor. The nearest image is a negative, the third
# positive has no negative within the margin, the fourth none beyond itself.
POSITIVES = np.array([0.22, 0.46, 0.80, 1.22])
NEGATIVES = np.array([0.12, 0.34, 0.56, 0.66, 1.10])
MARGIN = 0.25
_COLUMNS = 3


def _every(gap, dist_ap, dist_an, margin):
  return np.ones_like(gap, bool)


def _semihard_region(gap, dist_ap, dist_an, margin):
  return (gap > 0) & (dist_an[None, :] <= dist_ap[:, None] + margin)


def _hard_region(gap, dist_ap, dist_an, margin):
  return gap <= 0


def _semihard(gap, dist_ap, dist_an, margin):
  within = dist_an[None, :] < dist_ap[:, None] + margin
  return _nearest(dist_an, (gap > 0) & within)


def _semihard_facenet(gap, dist_ap, dist_an, margin):
  beyond = gap > 0
  farthest = np.arange(len(dist_an)) == np.argmax(dist_an)
  has_none = ~beyond.any(axis=1, keepdims=True)
  return _nearest(dist_an, beyond) | (has_none & farthest)


def _hard(gap, dist_ap, dist_an, margin):
  return _nearest(dist_an, np.ones_like(gap, bool))


def _batch_hard(gap, dist_ap, dist_an, margin):
  return _hard(gap, dist_ap, dist_an, margin) & _only(np.argmax(dist_ap), gap)


def _easy_hard(gap, dist_ap, dist_an, margin):
  return _hard(gap, dist_ap, dist_an, margin) & _only(np.argmin(dist_ap), gap)


def _easy_semihard(gap, dist_ap, dist_an, margin):
  return _nearest(dist_an, gap > 0) & _only(np.argmin(dist_ap), gap)


def _nearest(dist_an, candidates):
  """The nearest candidate of each row; none where there is no candidate."""
  first = np.argmin(np.where(candidates, dist_an, np.inf), axis=1)
  return candidates & (np.arange(len(dist_an)) == first[:, None])


def _only(row, like):
  return (np.arange(len(like)) == row)[:, None]


# name -> (which triplets, what is said above the panel)
SELECTIONS: dict[str, tuple[Callable, str]] = {
  'all': (_every, 'every triplet'),
  'semihard_region': (_semihard_region, 'ordered, but within the margin'),
  'hard_region': (_hard_region, 'in the wrong order'),
  'semihard': (_semihard, 'nearest negative within the margin'),
  'semihard_facenet': (
    _semihard_facenet,
    'nearest beyond the positive,\nelse farthest negative',
  ),
  'hard': (_hard, 'nearest negative'),
  'batch_hard': (_batch_hard, 'farthest positive,\nnearest negative'),
  'batch_easy_positive_hard_negative': (
    _easy_hard,
    'nearest positive,\nnearest negative',
  ),
  'batch_easy_positive_semihard': (
    _easy_semihard,
    'nearest positive,\nnearest negative beyond it',
  ),
}


def choose(
  name: str, dist_ap: np.ndarray, dist_an: np.ndarray, margin: float
) -> np.ndarray:
  """The triplets of one anchor that a selection takes.

  Args:
    name: key of SELECTIONS.
    dist_ap: float[p], distances of the positives.
    dist_an: float[n], distances of the negatives.
    margin: in the unit of the distances.

  Returns:
    bool[p, n].

  Raises:
    UsageError: unknown name.
  """
  if name not in SELECTIONS:
    raise errors.unknown('selection', name, SELECTIONS)
  choose_fn, _ = SELECTIONS[name]
  gap = dist_an[None, :] - dist_ap[:, None]
  return choose_fn(gap, dist_ap, dist_an, margin)


@style.styled
def small_multiples(margin: float = MARGIN) -> mpl_figure.Figure:
  """A panel for each selection, all with the same anchor.

  Args:
    margin: at least 0, in the unit of the distance.

  Returns:
    The figure.

  Raises:
    UsageError: the margin is below 0 or not finite.
  """
  if not 0 <= margin < float('inf'):
    raise errors.UsageError(
      f'margin must be a finite number of at least 0, got {margin}.'
    )
  figure = style.new_figure(7.4, 5.7)
  # Set by hand: the words above a panel may be wider than the panel.
  figure.set_layout_engine('none')
  panels = figure.subplots(
    -(-len(SELECTIONS) // _COLUMNS),
    _COLUMNS,
    sharex=True,
    sharey=True,
    gridspec_kw=dict(
      left=0.045, right=0.99, bottom=0.08, top=0.87, wspace=0.1, hspace=0.55
    ),
  )
  for axes, (name, (_, words)) in zip(
    panels.flat, SELECTIONS.items(), strict=True
  ):
    _panel(axes, choose(name, POSITIVES, NEGATIVES, margin), margin)
    _above(axes, 22, name, fontsize=7.8, weight='bold', va='bottom')
    _above(axes, 21, words, fontsize=8, color=style.MUTED, va='top')
  for axes in panels[-1]:
    axes.set_xlabel('Distance from the anchor')
  _legend(figure)
  return figure


def _above(axes: mpl_axes.Axes, height: float, text: str, **look) -> None:
  """Writes at some points above the upper left corner of a panel."""
  axes.annotate(
    text,
    (0, 1),
    (0, height),
    xycoords='axes fraction',
    textcoords='offset points',
    **look,
  )


_MARK = dict(linestyle='none', markersize=6, zorder=3, clip_on=False)
_ANCHOR = _MARK | dict(marker='D', color=style.INK, markersize=5)
_POSITIVE = _MARK | dict(marker='o', color=style.BLUE)
_NEGATIVE = _MARK | dict(marker='s', color=style.ORANGE, markersize=5.4)
_LEFT_OUT = dict(markerfacecolor=style.PAPER, alpha=0.6)
_ZONE = dict(facecolor='#dbe9f4', edgecolor='none', zorder=0)


def _panel(axes: mpl_axes.Axes, chosen: np.ndarray, margin: float) -> None:
  """A row for each positive, the nearest on top."""
  rows = len(POSITIVES) - np.arange(len(POSITIVES))
  for y, dist, takes in zip(rows, POSITIVES, chosen, strict=True):
    axes.axhline(y, color=style.GRID, linewidth=1, zorder=1)
    axes.add_patch(patches.Rectangle((dist, y - 0.36), margin, 0.72, **_ZONE))
    axes.plot(0, y, **_ANCHOR)
    axes.plot(dist, y, **_POSITIVE | ({} if takes.any() else _LEFT_OUT))
    axes.plot(NEGATIVES[takes], np.full(takes.sum(), y), **_NEGATIVE)
    axes.plot(
      NEGATIVES[~takes], np.full((~takes).sum(), y), **_NEGATIVE | _LEFT_OUT
    )
  axes.set(xlim=(-0.05, 1.52), ylim=(0.4, len(POSITIVES) + 0.6))
  axes.set_xticks([0, 0.5, 1])
  axes.set_yticks(rows, [f'$p_{i + 1}$' for i in range(len(POSITIVES))])
  axes.tick_params(axis='y', length=0)
  axes.grid(False)
  axes.spines['left'].set_visible(False)


def _legend(figure: mpl_figure.Figure) -> None:
  def mark(look):
    return lines.Line2D([], [], **look)

  handles = {
    'anchor': mark(_ANCHOR),
    'positive': mark(_POSITIVE),
    'selected negative': mark(_NEGATIVE),
    'left out': (mark(_POSITIVE | _LEFT_OUT), mark(_NEGATIVE | _LEFT_OUT)),
    'within the margin': patches.Patch(**_ZONE),
  }
  figure.legend(
    handles.values(),
    handles.keys(),
    handler_map={tuple: legend_handler.HandlerTuple(ndivide=None)},
    loc='upper left',
    ncols=len(handles),
    columnspacing=1.4,
    handletextpad=0.4,
  )
