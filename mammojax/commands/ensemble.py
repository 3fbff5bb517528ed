"""`ensemble`: the average of the decisions of several runs."""

from collections.abc import Sequence
import pathlib

from absl import flags

from mammojax import errors
from mammojax.commands import parsing, report, tables


def run(arguments: Sequence[str]) -> None:
  """Averages the probabilities of runs, measures them, writes the report."""
  values = flags.FlagValues()
  flags.DEFINE_string('out', '', 'Folder of the ensemble.', flag_values=values)
  folders = parsing.parse(values, 'ensemble', arguments, 'RUN RUN [RUN ...]')
  if not values.out:
    raise errors.UsageError('ensemble needs --out=FOLDER.')
  if len(folders) < 2:
    raise errors.UsageError('ensemble needs the folders of two runs or more.')
  if pathlib.Path(values.out).resolve() in {
    pathlib.Path(folder).resolve() for folder in folders
  }:
    raise errors.UsageError(
      f'--out={values.out} is one of the runs; choose another folder.'
    )
  from mammojax.apps import ensemble

  out = tables.make_folder(values.out)
  report.write(out, ensemble.run(folders, out))
