"""Reads the files that training leaves in a workdir.

Only metrics.json must be there. Of the others, what is missing or damaged is
said in words that the report repeats, since a report with a gap is worth more
than none.
"""

from collections.abc import Mapping, Sequence
import json
import math
import pathlib
from typing import Any
import zipfile

import numpy as np

from mammojax import errors
from mammojax.report import table

History = Mapping[str, Sequence[Mapping[str, Any]]]
Arrays = Mapping[str, np.ndarray]

# Far above what an evaluation writes; a damaged header may promise anything.
MAX_EVALUATION_BYTES = 2**30


def metrics(workdir: pathlib.Path) -> dict[str, Any]:
  """The content of metrics.json.

  Raises:
    DataError: the file is missing, is no JSON, lacks the test mAP over all
      years (of decisions the accuracy), or holds a number that is no fraction.
  """
  path = workdir / 'metrics.json'
  try:
    found = json.loads(path.read_text('utf-8'))
  except FileNotFoundError:
    raise errors.DataError(
      f'{str(path)!r} does not exist: the run in this workdir has not been '
      'evaluated. Let the training finish (the same command continues it), '
      'or name the workdir of a finished run.'
    ) from None
  except (OSError, ValueError) as error:
    raise _damaged(path, f'it cannot be read as JSON ({error})') from error
  problem = _problem(found)
  if problem:
    raise _damaged(path, problem)
  return found


def _damaged(path: pathlib.Path, why: str) -> errors.DataError:
  return errors.DataError(
    f'{str(path)!r} is damaged: {why}. Delete it and run the training '
    'command again; it evaluates the kept checkpoint and writes it anew.'
  )


def _problem(found: Any) -> str:
  """What is wrong with the content of metrics.json; '' when nothing is."""
  if not isinstance(found, dict) or not isinstance(found.get('test'), dict):
    return "it has no table 'test'"
  kept = found.get('baselines') or {}
  if not isinstance(kept, dict):
    return "'baselines' is not a table"
  warnings = found.get('warnings') or []
  if not isinstance(warnings, list) or any(
    not isinstance(warning, str) for warning in warnings
  ):
    return "'warnings' is not a list of sentences"
  for name, scores in {'test': found['test'], **kept}.items():
    problem = _scores_problem(name, scores)
    if problem:
      return problem
  name = 'accuracy' if table.decides(found) else 'map'
  if table.number(table.cell(found['test'], 'all', name).get('value')) is None:
    return f'the number test / all / {name} / value is missing'
  return ''


def _scores_problem(name: str, scores: Any) -> str:
  if scores is None:
    return ''
  if not isinstance(scores, dict):
    return f'{name!r} is not a table'
  for group, cells in scores.items():
    if not isinstance(cells, dict | None):
      return f'{name} / {group!r} is not a table'
    for metric, cell in (cells or {}).items():
      if not isinstance(cell, dict):
        return f'{name} / {group} / {metric!r} is not a table'
      for end in ('value', 'low', 'high'):
        value = table.number(cell.get(end))
        most = math.inf if metric in table.UNBOUNDED else 1
        if value is not None and not 0 <= value <= most:
          return (
            f'{name} / {group} / {metric} / {end} is {value:g}, '
            'not a fraction between 0 and 1'
          )
  return ''


def settings(workdir: pathlib.Path, name: str) -> tuple[dict[str, Any], str]:
  """config.json or environment.json, and a sentence when it is not usable."""
  path = workdir / name
  try:
    found = json.loads(path.read_text('utf-8'))
  except FileNotFoundError:
    return {}, f'{name} is not in the workdir.'
  except (OSError, ValueError) as error:
    return {}, f'{name} cannot be read: {error}.'
  if not isinstance(found, dict):
    return {}, f'{name} does not hold a table of settings.'
  return found, ''


def flat(settings_: Mapping[str, Any], prefix: str = '') -> dict[str, str]:
  """Nested settings as 'data.columns.subject' -> text, in given order."""
  rows: dict[str, str] = {}
  for key, value in settings_.items():
    if isinstance(value, dict) and value:
      rows |= flat(value, f'{prefix}{key}.')
    elif isinstance(value, str):
      rows[f'{prefix}{key}'] = value
    else:
      rows[f'{prefix}{key}'] = json.dumps(value, ensure_ascii=False)
  return rows


def history(workdir: pathlib.Path) -> tuple[dict[str, list[dict]], str]:
  """Records of metrics.jsonl by split, rising in step, and a note.

  A run that was stopped and continued repeats steps: the later record counts.
  A line cut short by a stop is left out and counted in the note.
  """
  try:
    lines = (workdir / 'metrics.jsonl').read_text('utf-8').splitlines()
  except FileNotFoundError:
    return {}, 'metrics.jsonl is not in the workdir, so there are no curves.'
  except (OSError, ValueError) as error:
    return {}, f'metrics.jsonl cannot be read, so there are no curves: {error}.'
  kept: dict[str, dict[float, dict]] = {}
  bad = 0
  for line in filter(str.strip, lines):
    record = _record(line)
    if record is None:
      bad += 1
    else:
      kept.setdefault(str(record['split']), {})[record['step']] = record
  note = f'{bad} lines of metrics.jsonl cannot be read.' if bad else ''
  ordered = {
    split: [by_step[step] for step in sorted(by_step)]
    for split, by_step in kept.items()
  }
  return ordered, note


def _record(line: str) -> dict | None:
  try:
    found = json.loads(line)
  except ValueError:
    return None
  if not isinstance(found, dict) or 'split' not in found:
    return None
  return None if table.number(found.get('step')) is None else found


def evaluation(workdir: pathlib.Path) -> tuple[dict[str, np.ndarray], str]:
  """Arrays of evaluation.npz by name, and a sentence when there are none."""
  name = 'evaluation.npz'
  missing = 'so there are neither distances nor example queries'
  found, problem = arrays(workdir, name)
  if problem:
    return {}, f'{problem[:-1]}, {missing}.'
  if not _fits(found):
    return {}, f'{name} holds arrays of unlike lengths, {missing}.'
  return found, ''


def arrays(
  workdir: pathlib.Path, name: str
) -> tuple[dict[str, np.ndarray], str]:
  """Arrays of an npz file by name, and a sentence when there are none."""
  path = workdir / name
  try:
    with zipfile.ZipFile(path) as members:
      size = sum(member.file_size for member in members.infolist())
    if size > MAX_EVALUATION_BYTES:
      return {}, f'{name} unpacks to {size:,} bytes.'
    # Objects in an array would be pickles, which can run code.
    with np.load(path, allow_pickle=False) as found:
      return dict(found), ''
  except FileNotFoundError:
    return {}, f'{name} is not in the workdir.'
  except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
    return {}, f'{name} cannot be read: {error}.'


def _fits(found: Arrays) -> bool:
  """Whether the arrays that are there have the lengths they should."""
  shapes = {name: array.shape for name, array in found.items()}
  edges = shapes.get('distance_edges', (0,))
  counts = [shapes.get(f'{kind}_counts') for kind in ('mated', 'nonmated')]
  if any(shape not in (None, (edges[0] - 1,)) for shape in counts):
    return False
  hits = shapes.get('example_hits', ())[:2]
  one_each = ('query', 'truth_rank', 'query_name')
  five_each = ('correct', 'hit_names', 'distance')
  return all(
    shapes.get(f'example_{name}', hits)[:1] == hits[:1] for name in one_each
  ) and all(shapes.get(f'example_{name}', hits) == hits for name in five_each)


def series(
  history: History, split: str, name: str
) -> tuple[np.ndarray, np.ndarray]:
  """Steps and values of one column, float64[n] each, finite values only."""
  pairs = [
    (record['step'], value)
    for record in history.get(split, ())
    if (value := table.number(record.get(name))) is not None
  ]
  both = np.array(pairs, np.float64).reshape(-1, 2)
  return both[:, 0], both[:, 1]


def histograms(
  evaluation: Arrays,
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
  """Edges, mated and non-mated counts; None when either kind has no pair."""
  needed = ('distance_edges', 'mated_counts', 'nonmated_counts')
  if any(name not in evaluation for name in needed):
    return None
  edges, mated, nonmated = (evaluation[name] for name in needed)
  if not (mated.sum() and nonmated.sum()):
    return None
  return edges, mated, nonmated
