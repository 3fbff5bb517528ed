"""`report`: the page and the table of a finished run."""

from collections.abc import Sequence
import pathlib

from absl import flags
import rich.console

from mammojax import errors
from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Writes report.html and figures/ of a finished run again."""
  values = flags.FlagValues()
  flags.DEFINE_string('workdir', '', "The run's folder.", flag_values=values)
  parsing.parse(values, 'report', arguments)
  if not values.workdir:
    raise errors.UsageError('report needs --workdir=FOLDER of a run.')
  from mammojax.report import reading

  workdir = pathlib.Path(values.workdir)
  write(workdir, reading.metrics(workdir))


def write(workdir: pathlib.Path, results) -> None:
  """Writes the page of a run and prints its table.

  Args:
    workdir: the run's folder.
    results: what its metrics.json holds.
  """
  from mammojax.report import decisions, html, table

  page = html.write(workdir)
  shown = decisions if table.decides(results) else table
  rich.console.Console().print(shown.results(results))
  print(f'Report: {page}')
