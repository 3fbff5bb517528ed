"""What every step does to a few pictures, as one figure.

    line = Line('a/1.png', ('small',), [Panel('read', image), ...])
    figure = draw([line, ...])

A line is a picture, a column a step. All panels share one scale from 0 (black)
to 1 (white), so what a step does to contrast is seen as it is.
"""

from collections.abc import Sequence
import dataclasses

import cv2
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
import numpy as np

from mammojax.report import examples, style

# Larger pictures are shrunk before they are drawn: a panel has 1.3 inches.
_SIDE = 256
_PANEL_INCHES = (1.35, 1.75)


@dataclasses.dataclass(frozen=True)
class Panel:
  """A picture after a step.

  Attributes:
    step: its name.
    image: float32[h, w, 1 or 3] in [0, 1].
    outline: bool[h, w], whose edge is drawn; None.
  """

  step: str
  image: np.ndarray
  outline: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Line:
  """A picture through all steps.

  Attributes:
    name: as repr gives it, so that no name acts on a terminal.
    doubts: what is suspect, a word each; empty when nothing is.
    panels: as many in every line.
  """

  name: str
  doubts: tuple[str, ...]
  panels: Sequence[Panel]


@style.styled
def draw(lines: Sequence[Line]) -> mpl_figure.Figure:
  """A figure with a row for each line and a column for each step.

  Args:
    lines: at least one.

  Returns:
    Figure.
  """
  shape = len(lines), len(lines[0].panels)
  width, height = _PANEL_INCHES
  figure = style.new_figure(width * shape[1], height * shape[0])
  grid = figure.subplots(*shape, squeeze=False)
  for axes, line in zip(grid, lines, strict=True):
    for axis, panel in zip(axes, line.panels, strict=True):
      _picture(axis, panel)
    doubts = ', '.join(line.doubts)
    axes[0].set_ylabel(
      examples.short_name(line.name), fontsize=7, parse_math=False
    )
    if doubts:
      axes[-1].spines[:].set(
        color=style.RED, linewidth=2, linestyle=(0, (2, 1))
      )
      axes[-1].set_title(
        f'{line.panels[-1].step}\nin doubt: {doubts}',
        fontsize=7,
        color=style.RED,
        pad=3,
      )
  return figure


def _picture(axes: mpl_axes.Axes, panel: Panel) -> None:
  image = panel.image
  height, width, channels = image.shape
  scale = min(1.0, _SIDE / max(height, width))
  size = max(1, round(width * scale)), max(1, round(height * scale))
  small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
  small = small.reshape(*size[::-1], channels).clip(0.0, 1.0)
  axes.imshow(small[..., 0] if channels == 1 else small, 'gray', vmin=0, vmax=1)
  if panel.outline is not None and 0 < panel.outline.mean() < 1:
    edge = cv2.resize(panel.outline.astype(np.float32), size)
    axes.contour(edge, [0.5], colors=[style.ORANGE], linewidths=0.8)
  axes.set_xticks([])
  axes.set_yticks([])
  axes.grid(False)
  axes.spines[:].set(visible=True, color=style.MUTED, linewidth=0.7)
  axes.set_title(panel.step, fontsize=7, pad=3, parse_math=False)
  axes.set_xlabel(
    f'{image.min():.3f} to {image.max():.3f}\n{height} x {width}',
    fontsize=7,
    labelpad=3,
  )
