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
import pandas as pd

from mammojax import errors
from mammojax.report import reading, table

METRICS = ('map', 'map_at_r', 'cmc@1', table.ALL_SHOTS)
DECISIONS = ('accuracy', 'log_loss', 'f2', 'auc')


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
  """METRICS, or DECISIONS, over runs: group -> metric -> `mean_and_error`.

  Args:
    runs: contents of metrics.json; a run without a number does not count.

  Returns:
    Groups in reading order, those that at least one run has.
  """
  groups = {group: None for run in runs for group in run['test']}
  found: dict[str, dict[str, Any]] = {}
  for group in table.groups(groups):
    for metric in (*METRICS, *DECISIONS):
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
  """Validation of the checkpoint that was tested, more being better.

  The mAP; of decisions the score that chose the checkpoint, with a minus where
  less is better. None where there is none.

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
    reading.history(folder)[0],
    'validation',
    'choice' if table.decides(metrics) else 'map',
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
    'name', 'overrides', 'runs', 'finished', 'validation', 'validation_by' and
    'scores'; 'runs' as given; and 'metrics', the names of those that the runs
    have; 'leak', whether a run went on in spite of one. A finished run whose
    files are damaged becomes 'failed'.
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
  decide = any(table.decides(content) for content in contents.values())
  metrics = DECISIONS if decide else METRICS
  return {
    'rows': made,
    'runs': runs,
    'metrics': list(metrics),
    'leak': any(map(table.leaks, contents.values())),
  }


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
    'validation': mean_and_error(known) if known else None,
    'validation_by': _chosen_by(contents[folders[0]]) if folders else '',
    'scores': averages([contents[folder] for folder in folders]),
  }


def _chosen_by(metrics: Mapping[str, Any]) -> str:
  """The metric that chose the checkpoint of a run."""
  return metrics['choose_by'] if table.decides(metrics) else 'map'


def _choose(settings) -> tuple[int | None, str]:
  """Index of the setting that counts, and how it was found."""
  if len(settings) == 1:
    return (0 if settings[0]['finished'] else None), ''
  able = [i for i, s in enumerate(settings) if s['validation']]
  if not able:
    return None, 'no run with a validation, so no setting is chosen'
  best = max(able, key=lambda i: settings[i]['validation']['mean'])
  done = sum(s['finished'] == s['runs'] for s in settings)
  by, value = (settings[best][name] for name in ('validation_by', 'validation'))
  shown = table.score(by, abs(value['mean']))
  note = (
    f'validation {table.heading(by)} {shown}, the best of {len(settings)} '
    'settings'
  )
  if done < len(settings):
    note += f', of which {done} have all their runs'
  return best, note


def frame(record: Mapping[str, Any]) -> pd.DataFrame:
  """A record as one line a row, setting, group and metric; percent."""
  lines = []
  for row in record['rows']:
    published = record['published'].get(row['name'], {})
    for index, setting in enumerate(row['settings']):
      is_chosen = index == row['chosen']
      for group, cells in setting['scores'].items():
        for metric, cell in cells.items():
          theirs = published.get(group, {}).get(metric) if is_chosen else None
          value, error = theirs or (None, None)
          lines.append(
            {
              'row': row['name'],
              'setting': setting['name'],
              'scans': row['scans'],
              'chosen': is_chosen,
              'group': group,
              'metric': metric,
              'mean': _scaled(cell['mean'], metric),
              'standard_error': _scaled(cell['standard_error'], metric),
              'runs': cell['runs'],
              'wanted_runs': setting['runs'],
              'published': value,
              'published_error': error,
            }
          )
  return pd.DataFrame(lines, columns=_COLUMNS)


_COLUMNS = (
  'row', 'setting', 'scans', 'chosen', 'group', 'metric', 'mean',
  'standard_error', 'runs', 'wanted_runs', 'published', 'published_error',
)  # fmt: skip


def _scaled(value: float | None, metric: str) -> float | None:
  factor = 1.0 if metric in table.UNBOUNDED else 100.0
  return None if value is None else factor * value
