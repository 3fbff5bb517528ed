"""The same queries beside the first answer of each row of a sweep.

figure = panel.draw({'Triplet': evaluation, 'AdaTriplet': evaluation})
"""

import collections
from collections.abc import Mapping
import pathlib
import textwrap
from typing import Any

from matplotlib import figure as mpl_figure
import numpy as np

from mammojax.report import examples, reading, style

_MOST_QUERIES = 6
_WIDTH_INCHES, _ROW_INCHES = 1.45, 1.85
# Letters of a row's name that fit above a picture.
_TITLE_LETTERS = 22


def collect(
  workdir: pathlib.Path, record: Mapping[str, Any]
) -> dict[str, examples.Arrays]:
  """Examples of each row's first finished run of the setting that counts.

  Args:
    workdir: the sweep's folder.
    record: of `sweep_scores.collect`.

  Returns:
    Row -> content of its evaluation.npz; rows without examples are left out.
  """
  found: dict[str, examples.Arrays] = {}
  for row in record['rows']:
    if row['chosen'] is None:
      continue
    setting = row['settings'][row['chosen']]['name']
    for run in record['runs']:
      own = (run['row'], run['setting']) == (row['name'], setting)
      if own and run['state'] == 'finished':
        evaluation, _ = reading.evaluation(workdir / run['folder'])
        if examples.present(evaluation):
          found[row['name']] = evaluation
        break
  return found


@style.styled
def draw(
  evaluations: Mapping[str, examples.Arrays],
) -> mpl_figure.Figure | None:
  """A line for each query that most rows were asked, the query first.

  Args:
    evaluations: of `collect`.

  Returns:
    The figure, or None where no two rows share a query. Runs of one seed and
    one test set are asked the same; a row of another test set, or of other
    answers to look for, has an empty place where it was not asked.

  Source: the panel of queries of Nguyen et al., 2022, arXiv:2205.02849.
  """
  places = {name: _places(one) for name, one in evaluations.items()}
  asked = collections.Counter(q for own in places.values() for q in own)
  queries = [q for q, rows in asked.most_common(_MOST_QUERIES) if rows > 1]
  if not queries:
    return None
  shape = (len(queries), 1 + len(places))
  figure = style.new_figure(_WIDTH_INCHES * shape[1], _ROW_INCHES * shape[0])
  grid = figure.subplots(*shape, squeeze=False)
  for line, query in enumerate(queries):
    asker = next(row for row, own in places.items() if query in own)
    image = evaluations[asker]['example_query'][places[asker][query]]
    name = examples.short_name(query)
    examples.picture(grid[line, 0], image, name, 'query', None)
    for column, (row, own) in enumerate(places.items(), 1):
      axes = grid[line, column]
      title = textwrap.fill(row, _TITLE_LETTERS) if line == 0 else ''
      if query in own:
        _answer(axes, evaluations[row], own[query], title)
      else:
        _not_asked(axes, title)
  return figure


def _places(evaluation) -> dict[str, int]:
  """Where each query is among the examples."""
  names = evaluation['example_query_name']
  return {str(name): place for place, name in enumerate(names)}


def _not_asked(axes, title: str) -> None:
  """The place of a row that has no answer to a query."""
  axes.set_axis_off()
  axes.set_title(title, fontsize=7, pad=3, parse_math=False)
  axes.text(0.5, 0.5, 'not asked', ha='center', transform=axes.transAxes)


def _answer(axes, evaluation, place: int, title: str) -> None:
  """The first hit of a query, and the rank of the truth where it is wrong."""
  right = bool(evaluation['example_correct'][place, 0])
  far = float(evaluation['example_distance'][place, 0])
  if not np.isfinite(far):
    axes.set_axis_off()
    return
  rank = int(evaluation['example_truth_rank'][place])
  label = '✓' if right else f'✗ {examples.truth(rank)}'
  image = evaluation['example_hits'][place, 0]
  examples.picture(axes, image, title, label, right)
