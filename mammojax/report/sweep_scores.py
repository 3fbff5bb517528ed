"""Means over the seeds of a sweep, and which of several settings counts.

    record = sweep_scores.collect(workdir, rows, runs)

A row that scans several settings is represented by the one with the best mean
validation mAP: the test split chooses nothing.
"""

from collections.abc import Mapping, Sequence
import math
import pathlib
from typing import Any

import numpy as np

from mammojax import errors
from mammojax.report import reading, table

METRICS = ('map', 'map_at_r', 'cmc@1')


def mean_and_error(values: Sequence[float]) -> dict[str, Any]:
  """Mean and standard error of runs.

      error = sqrt(sum (x - mean)^2 / (n - 1)) / sqrt(n)

  Args:
    values: one a run, at least one.

  Returns:
    'mean'; 'standard_error', None for a single run; 'runs', their number.
  """
  found = np.asarray(values, np.float64)
  error = None
  if len(found) > 1:
    error = float(found.std(ddof=1) / math.sqrt(len(found)))
  return {
    'mean': float(found.mean()),
    'standard_error': error,
    'runs': len(found),
  }


def averages(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
  """METRICS over runs: group -> metric -> `mean_and_error`.

  Args:
    runs: contents of metrics.json; a run without a number does not count.

  Returns:
    Groups in reading order, those that at least one run has.
  """
  groups = {group: None for run in runs for group in run['test']}
  found: dict[str, dict[str, Any]] = {}
  for group in table.groups(groups):
    for metric in METRICS:
      values = [
        value
        for run in runs
        if (
          value := table.number(
            table.cell(run['test'], group, metric).get('value')
          )
        )
        is not None
      ]
      if values:
        found.setdefault(group, {})[metric] = mean_and_error(values)
  return found


def validation(
  folder: pathlib.Path, metrics: Mapping[str, Any]
) -> float | None:
  """Validation mAP of the checkpoint that was tested; None where there is none.

  Args:
    folder: of the run; with folds, the mean over them counts.
    metrics: content of its metrics.json.
  """
  folds = sorted(folder.glob('fold_*'))
  if folds and 'folds' in metrics:
    each = [validation(fold, reading.metrics(fold)) for fold in folds]
    known = [value for value in each if value is not None]
    return float(np.mean(known)) if len(known) == len(folds) else None
  steps, values = reading.series(
    reading.history(folder)[0], 'validation', 'map'
  )
  at_best = values[steps == metrics.get('best_step')]
  return float(at_best[-1]) if len(at_best) else None


def collect(
  workdir: pathlib.Path,
  rows: Mapping[str, Mapping[str, Mapping[str, Any]]],
  runs: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
  """Everything a sweep has to show, as JSON data.

  Args:
    workdir: the sweep's folder.
    rows: row -> setting -> overrides, in the order of the table.
    runs: 'row', 'setting', 'seed', 'folder' (relative), 'state', 'exit_code'
      and 'last_lines' of each.

  Returns:
    'rows', each with 'name', 'scans' (its number of settings), 'chosen' (index
    of the setting that stands for it, or None), 'note', and 'settings' with
    'name', 'overrides', 'runs', 'finished', 'validation_map' and 'scores'; and
    'runs' as given. A finished run whose files are damaged becomes 'failed'.
  """
  runs, contents = _contents(workdir, runs)
  made = []
  for row, settings in rows.items():
    found = [
      _setting(workdir, row, name, overrides, runs, contents)
      for name, overrides in settings.items()
    ]
    chosen, note = _choose(found)
    made.append(
      {
        'name': row,
        'scans': len(found),
        'chosen': chosen,
        'note': note,
        'settings': found,
      }
    )
  return {'rows': made, 'runs': runs}


def _contents(workdir, runs):
  """The runs, and metrics.json of those that are finished, by folder."""
  kept, contents = [], {}
  for run in runs:
    if run['state'] == 'finished':
      try:
        contents[run['folder']] = reading.metrics(workdir / run['folder'])
      except errors.DataError as error:
        run = {**run, 'state': 'failed', 'last_lines': [str(error)]}
    kept.append(run)
  return kept, contents


def _setting(workdir, row, name, overrides, runs, contents) -> dict[str, Any]:
  own = [r for r in runs if r['row'] == row and r['setting'] == name]
  folders = [r['folder'] for r in own if r['folder'] in contents]
  values = [validation(workdir / f, contents[f]) for f in folders]
  known = [value for value in values if value is not None]
  return {
    'name': name,
    'overrides': dict(overrides),
    'runs': len(own),
    'finished': len(folders),
    'validation_map': mean_and_error(known) if known else None,
    'scores': averages([contents[folder] for folder in folders]),
  }


def _choose(settings) -> tuple[int | None, str]:
  """Index of the setting that counts, and how it was found."""
  if len(settings) == 1:
    return (0 if settings[0]['finished'] else None), ''
  able = [i for i, s in enumerate(settings) if s['validation_map']]
  if not able:
    return None, 'no run with a validation mAP, so no setting is chosen'
  best = max(able, key=lambda i: settings[i]['validation_map']['mean'])
  done = sum(s['finished'] == s['runs'] for s in settings)
  value = table.percent(settings[best]['validation_map']['mean'])
  note = f'validation mAP {value}, the best of {len(settings)} settings'
  if done < len(settings):
    note += f', of which {done} have all their runs'
  return best, note
