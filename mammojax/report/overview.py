"""The page of `inspect`: a table of images in numbers and pictures.

write(folder, 'manifest.csv', frame, seen, problems, store)
"""

from collections.abc import Mapping
import json
import pathlib
from typing import Any

import markupsafe
from matplotlib import figure as mpl_figure
from matplotlib import ticker
import numpy as np
import pandas as pd

from mammojax.data import checks, readers, summary, survey
from mammojax.report import html, spreadsheets, style, table, thumbnails

# Pictures on the contact sheet, bars of a figure, lines of a list.
SHEET = 48
_BARS = 20
_LINES = 500
_TITLES = {
  'split': 'Split',
  'diagnosis': 'Diagnosis',
  'laterality': 'Side',
  'view': 'View',
  'visit_months': 'Visit, months',
}


def write(
  folder: pathlib.Path,
  name: str,
  frame: pd.DataFrame,
  seen: survey.Survey,
  problems: checks.Problems,
  store: readers.Store,
  voi: str = 'none',
) -> dict[str, Any]:
  """Writes inspect.html, summary.json and images.csv, 0600 each.

  Args:
    folder: where to; it exists.
    name: of the table, for the page.
    frame: columns of `mammojax.data.table`.
    seen: of the same rows.
    problems: what `table.examine` noted.
    store: the pictures of the contact sheet are read from it again.
    voi: see `thumbnails`.

  Returns:
    what summary.json holds.

  Raises:
    ResourceError: a file cannot be written.
  """
  found = summary.summarize(frame, seen)
  found['problems'] = {kind: problems.lines(kind) for kind in problems.kinds()}
  page = html.template('inspect.html').render(
    name=name,
    verdict=_verdict(found),
    found=found,
    titles=_TITLES,
    absent={
      column: title
      for column, title in _TITLES.items()
      if not any(found['columns'][column])
    },
    figures=_figures(found, seen),
    sheet=_sheet(frame, seen, thumbnails.Thumbnails(store, voi=voi)),
    lines=_LINES,
    bars=_BARS,
  )
  text = json.dumps(found, indent=2, allow_nan=False) + '\n'
  by_row = summary.by_row(frame, seen)
  for file, content in (
    ('summary.json', text.encode('utf-8', 'backslashreplace')),
    ('images.csv', spreadsheets.csv_bytes(by_row)),
    ('inspect.html', page.encode('utf-8', 'backslashreplace')),
  ):
    style.write_atomic(folder / file, content)
  return found


@style.styled
def labels(found: Mapping[str, Any]) -> mpl_figure.Figure:
  """Images of every diagnosis, one bar a split."""
  by_split = found['diagnosis_by_split']
  names = list(found['columns']['diagnosis'])[:_BARS]
  height = max(style.HEIGHT_INCHES, 1.2 + 0.22 * len(names) * len(by_split))
  figure = style.new_figure(height=height)
  axes = figure.subplots()
  places = np.arange(len(names))
  colours = (style.BLUE, style.ORANGE, style.GREEN)
  hatches = ('', '//', '..')
  thick = 0.8 / max(len(by_split), 1)
  order = [s for s in ('train', 'validation', 'test') if s in by_split]
  order += [s for s in by_split if s not in order]
  for at, split in enumerate(order):
    axes.barh(
      places + (at - (len(order) - 1) / 2) * thick,
      [by_split[split].get(name, 0) for name in names],
      thick,
      label=_words(split),
      color=colours[at % 3],
      hatch=hatches[at % 3],
      edgecolor=style.PAPER,
    )
  axes.set_yticks(places, [_words(name) or '(none)' for name in names])
  axes.invert_yaxis()
  axes.grid(True, axis='x')
  axes.grid(False, axis='y')
  axes.set_xlabel('images')
  axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axes.legend()
  return figure


@style.styled
def pixels(seen: survey.Survey) -> mpl_figure.Figure:
  """Share of pixels by value, all images together."""
  figure = style.new_figure()
  axes = figure.subplots()
  edges = np.linspace(0.0, 1.0, survey.BINS + 1)
  total = max(int(seen.histogram.sum()), 1)
  axes.stairs(seen.histogram / total, edges, fill=True, color=style.BLUE)
  axes.set_yscale('log')
  axes.set_xlabel('pixel value')
  axes.set_ylabel('share of pixels')
  return figure


@style.styled
def sample(seen: survey.Survey) -> mpl_figure.Figure | None:
  """Grey values of one ordinary image: that of the median mean."""
  usable = np.flatnonzero(seen.facts['problem'] == '')
  if not len(usable):
    return None
  means = seen.facts['mean'].to_numpy()[usable]
  row = usable[np.argsort(means, kind='stable')[len(means) // 2]]
  figure = style.new_figure()
  left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
  left.imshow(seen.pictures[row], cmap='gray', vmin=0, vmax=255)
  left.set_axis_off()
  low, high = seen.facts['minimum'].iloc[row], seen.facts['maximum'].iloc[row]
  values = low + seen.pictures[row].ravel() / 255.0 * (high - low)
  counts, edges = np.histogram(values, bins=64, range=(0.0, 1.0))
  right.stairs(counts, edges, fill=True, color=style.BLUE)
  right.set_xlabel('grey value')
  right.set_ylabel('pixels, at 128 x 128')
  return figure


@style.styled
def per_subject(found: Mapping[str, Any]) -> mpl_figure.Figure:
  """Subjects by their number of images."""
  figure = style.new_figure()
  axes = figure.subplots()
  numbers = found['images_per_subject']
  shown = dict(list(numbers.items())[:_BARS])
  axes.bar(list(shown), list(shown.values()), color=style.BLUE)
  # One bar alone would fill the axes, and there are no halves of subjects.
  axes.set_xlim(-0.75, max(len(shown), 5) - 0.25)
  axes.yaxis.set_major_locator(ticker.MaxNLocator(integer=True))
  axes.set_xlabel('images of a subject')
  axes.set_ylabel('subjects')
  return figure


def _figures(found, seen) -> dict[str, markupsafe.Markup | None]:
  drawn = {
    'labels': labels(found),
    'subjects': per_subject(found),
    'pixels': pixels(seen),
    'sample': sample(seen),
  }
  return {
    name: figure
    and markupsafe.Markup(style.inline_svg(style.svg_bytes(figure), name))
    for name, figure in drawn.items()
  }


def _verdict(found: Mapping[str, Any]) -> str:
  """One sentence, or two."""
  text = (
    f'{table.count(found["images"])} images of'
    f' {table.count(found["subjects"])} subjects.'
  )
  if found['problems'] or found['suspects']:
    return text
  return f'{text} Nothing looks wrong.'


def _words(text: str) -> str:
  """A name of a table for matplotlib: short, and no formula."""
  printable = ''.join(c if c.isprintable() else '?' for c in text)
  short = printable if len(printable) <= 24 else printable[:23] + '…'
  return style.plain(short)


def _sheet(frame, seen, pictures) -> list[dict[str, Any]]:
  """Images spread over the diagnoses, the same ones every time."""
  usable = frame[(seen.facts['problem'] == '').to_numpy()]
  turn = usable.groupby('diagnosis').cumcount()
  chosen = usable.assign(turn=turn).sort_values(
    ['turn', 'diagnosis', 'row'], kind='stable'
  )
  chosen = chosen.head(SHEET).sort_values(['diagnosis', 'row'], kind='stable')
  return [
    {
      'uri': pictures.uri(row['path']),
      **{k: row[k] for k in ('item', 'subject', 'diagnosis', 'row')},
    }
    for row in chosen.to_dict('records')
  ]
