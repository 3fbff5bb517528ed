"""Writes report.html, one file that shows a run to a person.

Everything is inside the file: figures as SVG, photographs as data URIs, the
style sheet. It holds no script and asks no server, and a content policy says
so to the browser, because ids and settings come from other people's tables.

    path = html.write('runs/adatriplet')
"""

from collections.abc import Mapping
import os
import pathlib
import re
import shlex
from typing import Any

import jinja2
import markupsafe

from mammojax.report import (
  decisions,
  examples,
  figures,
  reading,
  style,
  table,
)

NO_MARGINS = 'The loss of this run follows no margin, or none was logged.'
NO_YEARS = (
  'There are no results by year: no query has a known time since the first '
  'visit.'
)


def write(workdir: str | os.PathLike[str]) -> pathlib.Path:
  """Writes report.html and figures/*.svg, *.png from a workdir's files.

  The same files give the same bytes. The page is written whole or not at all,
  readable by its owner only.

  Args:
    workdir: folder with metrics.json and, where they exist, config.json,
      environment.json, metrics.jsonl and evaluation.npz.

  Returns:
    Path of report.html.

  Raises:
    DataError: metrics.json is missing or damaged.
    ResourceError: the page or a figure cannot be written.
  """
  folder = pathlib.Path(workdir)
  metrics = reading.metrics(folder)
  config, config_note = reading.settings(folder, 'config.json')
  environment, environment_note = reading.settings(folder, 'environment.json')
  history, history_note = reading.history(folder)
  evaluation, evaluation_note = reading.evaluation(folder)
  decides = table.decides(metrics)
  make = _of_decisions if decides else _of_retrieval
  own = make(metrics, history, evaluation, config)
  page = template('decisions.html' if decides else 'report.html').render(
    **own,
    figures=_saved(folder, own['drawn'], table.leaks(metrics)),
    name=folder.resolve().name,
    metrics=metrics,
    leak=table.leaks(metrics),
    warnings=_warnings(metrics),
    facts=_facts(metrics),
    notes={
      'history': history_note or 'Nothing of this was logged by this run.',
      'history_bad': history_note if history else '',
      'margins': history_note or NO_MARGINS,
      'years': NO_YEARS,
      'evaluation': evaluation_note
      or 'evaluation.npz holds nothing of this kind.',
      'config': config_note,
      'environment': environment_note,
    },
    config=reading.flat(config),
    environment=reading.flat(environment),
    reproduce=_reproduce(config, environment),
  )
  path = folder / 'report.html'
  # An id may hold half a surrogate pair, which UTF-8 cannot express.
  style.write_atomic(path, page.encode('utf-8', 'backslashreplace'))
  return path


def template(name: str) -> jinja2.Template:
  """A template of this package; what it is given is escaped."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('mammojax.report'),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.globals['table'] = table
  return environment.get_template(name)


def _of_decisions(
  metrics: Mapping[str, Any],
  history: reading.History,
  evaluation: Mapping[str, Any],
  config: Mapping[str, Any],
) -> dict[str, Any]:
  """What the page of a run that decides says, figures undrawn."""
  del config
  return {
    'verdict': decisions.verdict(metrics),
    'threshold': decisions.threshold(metrics),
    'splits': decisions.splits(metrics),
    'drawn': decisions.figures(metrics, history, evaluation),
  }


def _of_retrieval(
  metrics: Mapping[str, Any],
  history: reading.History,
  evaluation: Mapping[str, Any],
  config: Mapping[str, Any],
) -> dict[str, Any]:
  """What the page of a run that embeds says, figures undrawn."""
  distance = reading.flat(config).get('loss.distance', 'cosine')
  return {
    'verdict': table.verdict(metrics),
    'pairs': _pairs(evaluation),
    'groups': table.groups(metrics['test']),
    'baselines': table.baselines(metrics),
    'has_masked': 'masked' in table.baselines(metrics),
    'examples': examples.rows(evaluation),
    'drawn': {
      'loss': figures.loss(history),
      'active_fraction': figures.active_fraction(history),
      'validation': figures.validation(
        history, table.number(metrics.get('best_step'))
      ),
      'margins': figures.margins(history, distance),
      'years_map': figures.years(metrics, 'map'),
      'years_cmc1': figures.years(metrics, 'cmc@1'),
      'distances': figures.distances(evaluation),
      'examples': examples.draw(evaluation),
    },
  }


def _saved(
  folder: pathlib.Path, drawn: Mapping[str, Any], is_leak: bool
) -> dict[str, markupsafe.Markup | None]:
  """Saves every figure; name -> SVG for the page or None."""
  inline: dict[str, markupsafe.Markup | None] = {}
  for name, figure in drawn.items():
    inline[name] = None
    if figure is None:
      _remove_old(folder / 'figures', name)
      continue
    if is_leak:
      style.stamp(figure, 'LEAK')
    paths = style.save(figure, folder / 'figures', name)
    # The page sets the examples itself, in columns that fit the screen.
    if name != 'examples':
      svg = style.inline_svg(paths['svg'].read_bytes(), name)
      inline[name] = markupsafe.Markup(svg)
  return inline


def _remove_old(folder: pathlib.Path, name: str) -> None:
  """A figure of an earlier report must not pass for one of this run."""
  for suffix in ('svg', 'png'):
    (folder / f'{name}.{suffix}').unlink(missing_ok=True)


def _warnings(metrics: Mapping[str, Any]) -> list[str]:
  """The run's own warnings, and what its baselines say against it."""
  found = list(metrics.get('warnings') or [])
  masked = table.cell(table.baselines(metrics).get('masked', {}), 'all', 'map')
  chance = table.cell(table.baselines(metrics).get('chance', {}), 'all', 'map')
  low, level = (
    table.number(masked.get('low')),
    table.number(chance.get('value')),
  )
  if low is not None and level is not None and low > level:
    found.append(
      f'With the breast masked out mAP is {table.percent(masked["value"])} % '
      f'({table.interval(masked)}), above chance ({table.percent(level)} %): '
      'film labels, markers or exposure may tell who is who.'
    )
  return found


def _facts(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
  """What is worth knowing at a glance; what was not recorded is left out."""
  seconds = table.number(metrics.get('seconds'))
  share = table.number(metrics.get('input_wait_fraction'))
  speed = table.number(metrics.get('images_per_second'))
  facts = [
    ('Loss', metrics.get('loss')),
    ('Started from', metrics.get('start')),
    ('Steps', _whole(metrics.get('steps'))),
    ('Kept step', _whole(metrics.get('best_step'))),
    ('Seed', metrics.get('seed')),
    ('Time', None if seconds is None else _duration(seconds)),
    ('Speed', None if speed is None else f'{speed:,.0f} images/s'),
    (
      'Waiting for input',
      None if share is None else f'{table.percent(share)} %',
    ),
  ]
  return [(name, str(value)) for name, value in facts if value is not None]


def _pairs(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
  """The distance histograms in numbers."""
  found = reading.histograms(evaluation)
  if found is None:
    return []
  threshold, rate = figures.equal_error(*found)
  _, mated, nonmated = found
  return [
    ('Equal-error rate', f'{table.percent(rate)} %'),
    ('Threshold', f'{threshold:.3f}'),
    ('Matched pairs', table.count(int(mated.sum()))),
    ('Mismatched pairs', table.count(int(nonmated.sum()))),
  ]


def _whole(value: Any) -> str | None:
  return None if table.number(value) is None else table.count(value)


def _duration(seconds: float) -> str:
  """'48 s', '6 min 5 s' or '2 h 10 min'."""
  whole = round(seconds)
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60} s'
  return f'{whole // 3600} h {whole % 3600 // 60} min'


def _reproduce(
  config: Mapping[str, Any], environment: Mapping[str, Any]
) -> list[str]:
  """Shell lines that repeat the run, as far as the run recorded them."""
  lines = []
  git = environment.get('git')
  commit = git.get('commit') if isinstance(git, dict) else git
  # Only what looks like a commit becomes part of a line to be typed.
  if isinstance(commit, str) and re.fullmatch(r'[0-9a-f]{7,64}', commit):
    lines.append(f'git checkout {commit}')
  command = environment.get('command') or environment.get('argv')
  if isinstance(command, str):
    lines.append(command)
  elif isinstance(command, list):
    lines.append(_typed([str(word) for word in command]))
  elif re.fullmatch(r'\w+', str(config.get('name', ''))):
    lines.append(f'python main.py --config=configs/{config["name"]}.py')
  return lines


def _typed(argv: list[str]) -> str:
  """The line that was typed to get this sys.argv."""
  script, rest = pathlib.PurePath(argv[0]), argv[1:]
  if script.name == '__main__.py':
    return shlex.join(['python', '-m', script.parent.name, *rest])
  if script.suffix == '.py':
    return shlex.join(['python', *argv])
  return shlex.join(argv)
