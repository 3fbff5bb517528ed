"""`train`: what main.py does."""

from collections.abc import Sequence
import pathlib

from absl import flags

from mammojax.commands import parsing, report


def run(arguments: Sequence[str]) -> None:
  """Trains, evaluates on the test split, and writes the report."""
  values = flags.FlagValues()
  parsing.define_config(values, arguments)
  flags.DEFINE_string(
    'workdir',
    '',
    "The run's folder; default: runs/<name of the config file>.",
    flag_values=values,
  )
  parsing.parse(values, 'train', arguments)
  config, path = parsing.config(values, 'train')
  workdir = pathlib.Path(values.workdir or pathlib.Path('runs') / path.stem)
  # Only now: a wrong flag is answered before the seconds this import takes.
  from mammojax.training import folds, parallel

  parallel.initialize()
  command = ['python', 'main.py', *arguments]
  results = folds.run(config, workdir, command)
  if parallel.is_first_process():
    report.write(workdir, results)
