"""`sweep`: many runs of one config, and their table."""

from collections.abc import Sequence
import pathlib
import shlex

from absl import flags
import ml_collections

from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Trains every row of a sweep with every seed, and writes its tables."""
  values = flags.FlagValues()
  parsing.define_config(values, arguments)
  flags.DEFINE_string(
    'workdir',
    '',
    "The sweep's folder; default: runs/<name of the config file>.",
    flag_values=values,
  )
  flags.DEFINE_integer(
    'seeds', None, 'Runs of each setting; default: as in the file.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_list(
    'rows',
    [],
    'Rows to run and to tabulate, by commas; default: all.',
    flag_values=values,
  )
  flags.DEFINE_integer('jobs', 1, 'Runs at a time.', flag_values=values)
  parsing.parse(values, 'sweep', arguments)
  config, path = parsing.config(values, 'sweep')
  from mammojax.apps import sweep, sweep_plan

  plan = sweep_plan.read(path, config, seeds=values.seeds, rows=values.rows)
  workdir = pathlib.Path(values.workdir or pathlib.Path('runs') / path.stem)
  # Flags of the command changed `config`; each run is given them again.
  runs = sweep_plan.runs(plan, config, _written(path))
  outcomes = sweep.run(path, runs, workdir, jobs=values.jobs)
  command = f'python -m mammojax sweep {shlex.join(arguments)}'
  outcomes = _report(workdir, plan, runs, outcomes, command)
  failure = sweep.failure(outcomes, workdir / 'sweep.md')
  if failure is not None:
    raise failure


def _written(path: pathlib.Path) -> ml_collections.ConfigDict:
  """The config of the sweep file, as no flag has changed it."""
  values = flags.FlagValues()
  arguments = [f'--config={path}']
  parsing.define_config(values, arguments)
  values(['sweep', *arguments])
  return parsing.config(values, 'sweep')[0]


def _report(workdir, plan, runs, outcomes, command):
  """Writes the tables; outcomes with what the tables found damaged."""
  from mammojax.report import sweep_scores, sweeps

  given = [
    {
      'row': one.row,
      'setting': one.setting,
      'seed': one.seed,
      'folder': str(one.folder),
      **outcome._asdict(),
    }
    for one, outcome in zip(runs, outcomes, strict=True)
  ]
  rows = {
    row.name: {setting.name: setting.overrides for setting in row.settings}
    for row in plan.rows
  }
  record = {
    'title': plan.title,
    'command': command,
    'published': plan.published,
    'published_name': plan.published_name,
    **sweep_scores.collect(workdir, rows, given),
  }
  for path in sweeps.write(workdir, record):
    print(path)
  for row in record['rows']:
    print(sweeps.summary(row))
  return [
    outcome._replace(state=run['state'])
    for run, outcome in zip(record['runs'], outcomes, strict=True)
  ]
