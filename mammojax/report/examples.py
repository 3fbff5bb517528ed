"""Query images beside their nearest gallery images, as figure and for HTML.

Right answers are framed solid green and ticked, wrong ones dashed orange and
crossed, so that a grey print says the same.

`evaluation` is the content of evaluation.npz by name; without examples in it
both functions return nothing. A hit whose distance is not finite is a place
that a gallery of fewer than five images could not fill; it is left empty.
"""

import base64
from collections.abc import Mapping
from typing import Any

import cv2
from matplotlib import axes as mpl_axes
from matplotlib import figure as mpl_figure
from matplotlib import font_manager
import numpy as np

from mammojax.report import style

Arrays = Mapping[str, np.ndarray]

NAME_LENGTH = 20
NEEDED = (
  'example_query',
  'example_hits',
  'example_correct',
  'example_truth_rank',
  'example_query_name',
  'example_hit_names',
  'example_distance',
)


def present(evaluation: Arrays) -> bool:
  """Whether there is at least one whole example."""
  return (
    all(name in evaluation for name in NEEDED)
    and len(evaluation['example_query']) > 0
  )


def rows(evaluation: Arrays) -> list[dict[str, Any]]:
  """What the page shows of each query.

  Returns:
    One dict a query: 'image' (data URI of a PNG), 'name', 'truth' and 'hits',
    a list of dicts with 'image', 'name', 'right' and 'distance'. Names are
    as they were given: escaping is the template's.
  """
  if not present(evaluation):
    return []
  return [
    {
      'image': data_uri(query),
      'name': str(evaluation['example_query_name'][row]),
      'truth': truth(int(evaluation['example_truth_rank'][row])),
      'hits': [
        {
          'image': data_uri(image),
          'name': str(evaluation['example_hit_names'][row, place]),
          'right': bool(evaluation['example_correct'][row, place]),
          'distance': f'{evaluation["example_distance"][row, place]:.3f}',
        }
        for place, image in enumerate(evaluation['example_hits'][row])
        if np.isfinite(evaluation['example_distance'][row, place])
      ],
    }
    for row, query in enumerate(evaluation['example_query'])
  ]


def data_uri(image: np.ndarray) -> str:
  """uint8[h, w, 1 or 3], red first, as a data URI of a PNG."""
  # OpenCV wants blue first.
  _, png = cv2.imencode('.png', np.ascontiguousarray(image[..., ::-1]))
  return 'data:image/png;base64,' + base64.b64encode(png.tobytes()).decode()


@style.styled
def draw(evaluation: Arrays) -> mpl_figure.Figure | None:
  """A figure with one line for each query, the query first."""
  if not present(evaluation):
    return None
  queries = evaluation['example_query']
  hits, right = evaluation['example_hits'], evaluation['example_correct']
  shape = (len(queries), 1 + hits.shape[1])
  figure = style.new_figure(1.45 * shape[1], 1.85 * shape[0])
  grid = figure.subplots(*shape, squeeze=False)
  for row, query in enumerate(queries):
    name = evaluation['example_query_name'][row]
    rank = 'query, ' + truth(int(evaluation['example_truth_rank'][row]))
    picture(grid[row, 0], query, short_name(name), rank, None)
    for place in range(hits.shape[1]):
      good = bool(right[row, place])
      far = float(evaluation['example_distance'][row, place])
      if not np.isfinite(far):
        grid[row, place + 1].set_axis_off()
        continue
      name = short_name(evaluation['example_hit_names'][row, place])
      label = f'{"✓" if good else "✗"} {far:.3f}'
      picture(grid[row, place + 1], hits[row, place], name, label, good)
  return figure


def truth(rank: int) -> str:
  """The rank of the first right image in words."""
  return f'truth at rank {rank:,}' if rank > 0 else 'truth not in the gallery'


def picture(
  axes: mpl_axes.Axes,
  image: np.ndarray,
  title: str,
  label: str,
  good: bool | None,
) -> None:
  """Draws one image, framed by whether the answer was right.

  Args:
    axes: to draw on.
    image: uint8[h, w, 1 or 3].
    title: above it.
    label: below it.
    good: None for a picture that is no answer.
  """
  image = image[..., 0] if image.shape[-1] == 1 else image
  axes.imshow(image, cmap='gray', vmin=0, vmax=255)
  axes.set_xticks([])
  axes.set_yticks([])
  axes.grid(False)
  axes.set_title(title, fontsize=7, pad=3, parse_math=False)
  axes.set_xlabel(label, fontsize=9, labelpad=3)
  axes.spines[:].set_visible(True)
  if good is None:
    axes.spines[:].set(color=style.MUTED, linewidth=1)
  else:
    axes.spines[:].set(
      color=style.GREEN if good else style.ORANGE,
      linewidth=3,
      linestyle='-' if good else (0, (2, 1)),
    )


def short_name(name: str) -> str:
  """A name that fits above a picture, with every glyph in the font."""
  font = font_manager.get_font(font_manager.findfont('DejaVu Sans'))
  name = str(name)
  # Ids often differ at their end only, so the middle is what goes.
  if len(name) > NAME_LENGTH:
    half = (NAME_LENGTH - 1) // 2
    name = f'{name[:half]}…{name[-half:]}'
  return ''.join(
    c if c.isprintable() and font.get_char_index(ord(c)) else '?' for c in name
  )
