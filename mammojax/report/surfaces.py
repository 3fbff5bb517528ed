"""Loss surfaces of the triplet loss and of AdaTriplet over two similarities.

    figure = surfaces.loss_surface(margin=0.25, beta=0.1)
    style.save(figure, folder, 'loss_surface')

A point is a triplet: φ_ap, the cosine similarity of anchor and positive, to
the right, φ_an, that of anchor and negative, upwards. A good embedding moves
its triplets to the lower right.
"""

import math

from matplotlib import axes as mpl_axes
from matplotlib import colors, lines, patheffects
from matplotlib import figure as mpl_figure
from matplotlib import image as mpl_image
import numpy as np

from mammojax import errors
from mammojax.report import style

_STEPS = 64  # More cannot be told apart, and make the file larger.
_ARROWS = 8  # In each direction.
_PIXELS = 400
# Never dark, so that arrows and lines stand out; a loss of 0 is white.
_COLOURS = colors.LinearSegmentedColormap.from_list(
  'surface', ['#fdf0dd', '#f7cf9f', '#eea36c', '#dd7a52'], N=_STEPS
).with_extremes(under=style.PAPER)


def surface(
  sim_ap: np.ndarray,
  sim_an: np.ndarray,
  *,
  margin: float,
  beta: float,
  negative_weight: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """AdaTriplet of single triplets, and its derivatives.

      [φ_an - φ_ap + margin]_+  +  negative_weight [φ_an - beta]_+

  With negative_weight 0 it is the triplet loss. At a hinge of 0 its
  derivative is taken as 0.

  Args:
    sim_ap: float64[...], φ_ap.
    sim_an: float64[...], φ_an, of the same shape.
    margin: ε of the paper.
    beta: β.
    negative_weight: λ.

  Returns:
    (loss, derivative by φ_ap, derivative by φ_an), float64[...] each.

  Source: Nguyen et al., 2022, arXiv:2205.02849, equation 1.
  """
  hinge = np.maximum(sim_an - sim_ap + margin, 0.0)
  excess = np.maximum(sim_an - beta, 0.0)
  is_active = (hinge > 0).astype(np.float64)
  value = hinge + negative_weight * excess
  return value, -is_active, is_active + negative_weight * (excess > 0)


@style.styled
def loss_surface(
  margin: float = 0.25, beta: float = 0.1, negative_weight: float = 1.0
) -> mpl_figure.Figure:
  """Both surfaces side by side, with their negative gradients as arrows.

  Args:
    margin: ε of the paper, in [0, 2).
    beta: β, in [0, 1].
    negative_weight: λ, at least 0.

  Returns:
    The figure. An arrow starts at its triplet; a dot has no gradient.

  Raises:
    UsageError: a number out of its range.

  Source: Nguyen et al., 2022, arXiv:2205.02849, figure 1.
  """
  _check('margin', margin, 0.0, 2.0, is_open=True)
  _check('beta', beta, 0.0, 1.0)
  _check('negative_weight', negative_weight, 0.0, math.inf, is_open=True)
  figure = style.new_figure(7.4, 3.7)
  figure.set_layout_engine('compressed', wspace=0.07)
  left, right = figure.subplots(1, 2, sharex=True, sharey=True)
  numbers = {'margin': margin, 'beta': beta}
  highest = 2.0 + margin + negative_weight * (1.0 - beta)
  longest = math.hypot(1.0, 1.0 + negative_weight)
  for axes, title, weight in (
    (left, 'Triplet loss', 0.0),
    (right, 'AdaTriplet', negative_weight),
  ):
    image = _fill(axes, highest, negative_weight=weight, **numbers)
    _arrows(axes, longest, negative_weight=weight, **numbers)
    axes.set_title(title)
    axes.set_xlabel('Similarity to the positive, $\\phi_{ap}$')
  left.set_ylabel('Similarity to the negative, $\\phi_{an}$')
  bar = figure.colorbar(image, ax=(left, right), label='Loss', aspect=24)
  bar.outline.set_visible(False)
  _bounds(left, margin, None)
  handles = _bounds(right, margin, beta)
  figure.legend(
    handles=handles, loc='outside upper left', ncols=3, columnspacing=1.6
  )
  return figure


def _check(name, value, low, high, is_open=False):
  if not (low <= value <= high) or (is_open and value == high):
    end = ')' if is_open else ']'
    raise errors.UsageError(
      f'{name} must be in [{low:g}, {high:g}{end}, got {value}.'
    )


def _fill(
  axes: mpl_axes.Axes, highest: float, **numbers: float
) -> mpl_image.AxesImage:
  """The surface in colour, with a level line at every half."""
  # The middle of each pixel, so that the picture spans [-1, 1].
  middles = (2.0 * np.arange(_PIXELS) + 1.0) / _PIXELS - 1.0
  sim_ap, sim_an = np.meshgrid(middles, middles)
  value, _, _ = surface(sim_ap, sim_an, **numbers)
  image = axes.imshow(
    value,
    cmap=_COLOURS,
    vmin=np.finfo(np.float64).tiny,
    vmax=highest,
    extent=(-1, 1, -1, 1),
    origin='lower',
    interpolation='nearest',
  )
  axes.contour(
    sim_ap,
    sim_an,
    value,
    np.arange(0.5, highest, 0.5),
    colors=style.PAPER,
    linewidths=0.9,
  )
  ticks = [-1, -0.5, 0, 0.5, 1]
  axes.set(xlim=(-1, 1), ylim=(-1, 1), xticks=ticks, yticks=ticks)
  axes.grid(False)
  return image


def _arrows(axes: mpl_axes.Axes, longest: float, **numbers: float) -> None:
  """Negative gradients, all in one scale; a dot where there is none."""
  step = 2.0 / _ARROWS
  spots = -1.0 + step * (np.arange(_ARROWS) + 0.5)
  sim_ap, sim_an = (grid.ravel() for grid in np.meshgrid(spots, spots))
  _, by_ap, by_an = surface(sim_ap, sim_an, **numbers)
  moves = np.hypot(by_ap, by_an) > 0
  axes.plot(
    sim_ap[~moves], sim_an[~moves], '.', color=style.MUTED, markersize=2.5
  )
  if moves.any():
    axes.quiver(
      sim_ap[moves],
      sim_an[moves],
      -by_ap[moves],
      -by_an[moves],
      angles='xy',
      scale_units='xy',
      # The longest is a little shorter than the way to its neighbour.
      scale=longest / (0.86 * step),
      pivot='tail',
      width=0.0065,
      color=style.INK,
      zorder=4,
    )


def _bounds(
  axes: mpl_axes.Axes, margin: float, beta: float | None
) -> list[lines.Line2D]:
  """The lines where order, margin and ceiling begin to hold."""
  ends = np.array([-1.0, 1.0])
  drawn = axes.plot(
    ends,
    ends,
    color=style.MUTED,
    linestyle=':',
    label='$\\phi_{an} = \\phi_{ap}$',
  )
  drawn += axes.plot(
    ends,
    ends - margin,
    color=style.BLUE,
    label=f'$\\phi_{{an}} = \\phi_{{ap}} - \\varepsilon$ '
    f'($\\varepsilon$ = {margin:g})',
  )
  if beta is not None:
    drawn.append(
      axes.axhline(
        beta,
        color=style.PURPLE,
        linestyle='--',
        label=f'$\\phi_{{an}} = \\beta$ ($\\beta$ = {beta:g})',
      )
    )
  # A light edge keeps the lines apart from the arrows that they cross.
  edge = [patheffects.withStroke(linewidth=3.2, foreground=style.PAPER)]
  for line in drawn:
    line.set_path_effects(edge)
  return drawn
