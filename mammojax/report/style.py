"""The one look of every figure, and how figures become files.

Colours are those of Okabe and Ito, which stay apart under the common forms of
colour blindness; line styles, markers and hatches tell the same story in grey.
Every colour has a name, so that the page may swap it in dark mode: `inline_svg`
writes `var(--blue)` where matplotlib wrote its hexadecimal value.

    figure = style.new_figure()
    style.save(figure, folder, 'loss')
"""

from collections.abc import Callable, Sequence
import contextlib
import functools
import io
import os
import pathlib
import re
import shutil
import tempfile

import matplotlib
from matplotlib import figure as mpl_figure
from matplotlib.backends import backend_agg
import matplotlib.style

from mammojax import errors

INK = '#1f2328'
MUTED = '#5b6470'
GRID = '#dfe3e8'
PAPER = '#fffffe'  # Not #ffffff, which occurs in clip paths and masks.
BLUE = '#0072b2'
ORANGE = '#d55e00'
GREEN = '#009e73'
PURPLE = '#8a5a83'
RED = '#b3261e'

COLOURS = {
  'ink': INK,
  'muted': MUTED,
  'grid': GRID,
  'figure-paper': PAPER,
  'blue': BLUE,
  'orange': ORANGE,
  'green': GREEN,
  'purple': PURPLE,
  'red': RED,
}

# At 4.8 inches a figure fills a telephone at about its true size and half a
# desktop page at slightly more, so 9 and 10 point stay readable on both.
# loss.distance -> what a margin of such a loss is measured in.
UNITS = {
  'cosine': 'cosine similarity',
  'euclidean': 'Euclidean distance',
  'squared_euclidean': 'squared Euclidean distance',
  'manhattan': 'L1 distance',
}
WIDTH_INCHES = 4.8
HEIGHT_INCHES = 3.3
PNG_DPI = 200
# Of a legend at its size of letters: a key with the space around it, a wide
# letter, a row.
_KEY_INCHES = 0.62
_LETTER_INCHES = 0.075
LEGEND_ROW_INCHES = 0.21

RC = {
  'font.family': 'DejaVu Sans',  # Comes with matplotlib: same file everywhere.
  'font.size': 9.5,
  'axes.labelsize': 10,
  'xtick.labelsize': 9,
  'ytick.labelsize': 9,
  'legend.fontsize': 9,
  'text.color': INK,
  'axes.labelcolor': INK,
  'axes.edgecolor': MUTED,
  'axes.facecolor': PAPER,
  'figure.facecolor': PAPER,
  'savefig.facecolor': PAPER,
  'xtick.color': MUTED,
  'ytick.color': MUTED,
  'xtick.labelcolor': INK,
  'ytick.labelcolor': INK,
  'axes.linewidth': 0.7,
  'xtick.major.width': 0.7,
  'ytick.major.width': 0.7,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.grid.axis': 'y',
  'axes.axisbelow': True,
  'grid.color': GRID,
  'grid.linewidth': 0.7,
  'lines.linewidth': 1.7,
  'lines.markersize': 5,
  'hatch.linewidth': 0.6,
  'legend.frameon': False,
  'legend.handlelength': 2.4,
  'svg.fonttype': 'path',
  'svg.hashsalt': 'mammojax',  # Else the ids of an SVG change at every run.
}


def context() -> contextlib.AbstractContextManager[None]:
  """Applies the look over matplotlib's defaults, and takes it off again."""
  return matplotlib.style.context(RC, after_reset=True)


def styled(draw: Callable) -> Callable:
  """Decorates a function so that what it draws has the look."""

  @functools.wraps(draw)
  def wrapped(*args, **kwargs):
    with context():
      return draw(*args, **kwargs)

  return wrapped


def new_figure(
  width: float = WIDTH_INCHES, height: float = HEIGHT_INCHES
) -> mpl_figure.Figure:
  """An empty figure of the given size in inches, on an Agg canvas."""
  figure = mpl_figure.Figure((width, height), layout='constrained')
  backend_agg.FigureCanvasAgg(figure)
  return figure


def plain(text: str) -> str:
  """Text that is drawn as it is where matplotlib would read a formula.

  Labels of ticks and legends know no `parse_math`, and a legend leaves out what
  begins with an underscore.
  """
  shown = text.replace('$', r'\$')
  return f' {shown}' if shown.startswith('_') else shown


def legend_shape(names: Sequence[str], width: float) -> tuple[int, int]:
  """(columns, rows) of a legend of names that fits a width in inches."""
  letters = max(map(len, names), default=1)
  columns = int(width / (_KEY_INCHES + _LETTER_INCHES * letters))
  columns = min(max(columns, 1), max(len(names), 1))
  return columns, -(-len(names) // columns)


def stamp(figure: mpl_figure.Figure, text: str) -> None:
  """Writes a word in the lower left corner, where no axis has a label."""
  figure.text(
    0.01,
    0.012,
    text,
    ha='left',
    va='bottom',
    color=RED,
    weight='bold',
    parse_math=False,
  )


@styled
def svg_bytes(figure: mpl_figure.Figure) -> bytes:
  """The figure as SVG; the same figure gives the same bytes."""
  stream = io.BytesIO()
  # None takes the date and the version of matplotlib out of the file.
  nothing = dict.fromkeys(('Date', 'Creator', 'Format', 'Type'))
  figure.savefig(stream, format='svg', metadata=nothing)
  return stream.getvalue()


@styled
def png_bytes(figure: mpl_figure.Figure) -> bytes:
  """The figure as PNG at 200 dots an inch, without a version in it."""
  stream = io.BytesIO()
  figure.savefig(stream, format='png', dpi=PNG_DPI, metadata={'Software': None})
  return stream.getvalue()


def inline_svg(svg: bytes, name: str) -> str:
  """An SVG element for an HTML page, whose colours follow the page.

  Args:
    svg: what `svg_bytes` returned.
    name: unique in the page; every id starts with it, because glyphs and clip
      paths of two figures would otherwise share ids.

  Returns:
    `<svg ...>...</svg>` without fixed size, comments, metadata or prologue.
  """
  text = svg.decode('utf-8')
  text = text[text.index('<svg') :]
  text = re.sub(r'<!--.*?-->', '', text, flags=re.DOTALL)
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  text = re.sub(r'(\bid="|href="#|url\(#)', rf'\g<1>{name}-', text)
  for word, value in COLOURS.items():
    text = text.replace(value, f'var(--{word})')
  head, body = text.split('>', 1)
  head = re.sub(r'\s(width|height)="[^"]*"', '', head)
  # The page says in words what is shown; the drawing itself is skipped.
  return f'{head} aria-hidden="true">{body}'.strip()


def save(
  figure: mpl_figure.Figure, folder: pathlib.Path, name: str
) -> dict[str, pathlib.Path]:
  """Writes name.svg and name.png into a folder and returns their paths."""
  with context():
    figure.draw_without_rendering()
  # The layout is found; finding it again for each file takes as long.
  figure.set_layout_engine('none')
  svg, png = folder / f'{name}.svg', folder / f'{name}.png'
  write_atomic(svg, svg_bytes(figure))
  write_atomic(png, png_bytes(figure))
  return {'svg': svg, 'png': png}


def write_atomic(path: pathlib.Path, content: bytes) -> None:
  """Writes a file whole or not at all, readable by its owner only.

  Raises:
    ResourceError: the folder cannot be written or the disk is full. The
      temporary file is removed and an older file stays as it was.
  """
  temporary = None
  try:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp opens with mode 0600, and os.replace keeps it.
    handle, temporary = tempfile.mkstemp(
      dir=path.parent, prefix=f'.{path.name}.'
    )
    with os.fdopen(handle, 'wb') as stream:
      stream.write(content)
    os.replace(temporary, path)
  except OSError as error:
    raise errors.ResourceError(_cannot_write(path, content, error)) from error
  finally:
    if temporary is not None:
      pathlib.Path(temporary).unlink(missing_ok=True)


def _cannot_write(path: pathlib.Path, content: bytes, error: OSError) -> str:
  """Says what failed and, where the disk can be asked, how much is free."""
  where = next((p for p in path.parents if p.is_dir()), pathlib.Path('.'))
  free = shutil.disk_usage(where).free
  return (
    f'Cannot write {str(path)!r}: {error.strerror or error}. '
    f'{len(content):,} bytes are needed and {free:,} are free there. '
    'Make room or give write permission, then give the command again.'
  )
