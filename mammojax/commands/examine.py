"""`examine`: what the embedding of a run tells about classes."""

from collections.abc import Sequence
import pathlib
import shlex

from absl import flags

from mammojax import errors
from mammojax.commands import parsing, tables


def run(arguments: Sequence[str]) -> None:
  """Measures and draws neighbours, pairs, triplets and enrolled classes."""
  values = flags.FlagValues()
  _define(values)
  parsing.parse(values, 'examine', arguments)
  if not values.workdir:
    raise errors.UsageError('examine needs --workdir=FOLDER of a run.')
  workdir = pathlib.Path(values.workdir)
  if not workdir.is_dir():
    raise errors.UsageError(f'--workdir={values.workdir} does not exist.')
  if (workdir / 'sweep.json').is_file():
    _sweep(
      workdir, values, f'python -m mammojax examine {shlex.join(arguments)}'
    )
    return
  folder = tables.make_folder(values.out or str(workdir / 'examine'))
  _examine(workdir, folder, values, workdir.resolve().name, values.pixels)


def _examine(
  workdir, folder, values: flags.FlagValues, name: str, pixels: bool
) -> None:
  """Numbers and page of one run."""
  import rich

  from mammojax.apps import examine_run
  from mammojax.report import examined

  summary = examine_run.run(
    workdir,
    folder,
    distance=values.distance,
    k=values.neighbours,
    pixels=pixels,
    draws=values.draws,
    galleries=values.galleries,
    seed=values.seed,
  )
  page = examined.write(folder, name)
  rich.print(examined.results(summary))
  print(f'{examined.verdict(summary)}\nPage: {page}')


def _sweep(workdir: pathlib.Path, values: flags.FlagValues, command) -> None:
  """Every finished run of a sweep, and the table of them all."""
  from mammojax.report import examined_sweep
  from mammojax.training import workdir as workdirs

  if values.out:
    raise errors.UsageError(
      '--out is for a single run; of a sweep each run has its own folder.'
    )
  record = workdirs.read_json(workdir / 'sweep.json')
  runs = [run for run in record['runs'] if run['state'] == 'finished']
  if not runs:
    raise errors.UsageError(f'No run of {workdir} is finished.')
  for number, run in enumerate(runs):
    one = workdir / run['folder']
    name = f'{run["row"]} {run["setting"]}'.rstrip()
    name += f', seed {run["seed"]}'
    print(name)
    folder = tables.make_folder(str(one / 'examine'))
    # Pixels are the same in every run.
    _examine(one, folder, values, name, values.pixels and number == 0)
  for path in examined_sweep.write(workdir, runs, command):
    print(path)


def _define(values: flags.FlagValues) -> None:
  from mammojax.apps import comparing

  for name, meaning in (
    ('workdir', 'Folder of a finished run, or of a sweep.'),
    ('out', 'Folder for numbers and pictures; default: examine in the run.'),
  ):
    flags.DEFINE_string(name, '', meaning, flag_values=values)
  flags.DEFINE_enum(
    'distance', '', ('', *comparing.METRICS),
    "Default: that of the run's loss.", flag_values=values,
  )  # fmt: skip
  flags.DEFINE_bool(
    'pixels', True, 'Measure raw pixels, too.', flag_values=values
  )
  for number, size, meaning, least in (
    ('neighbours', 10, 'That vote on the class of an image.', 1),
    ('draws', 2000, 'Resamples for the intervals.', 1),
    ('galleries', 20, 'Draws of the images that are enrolled.', 2),
    ('seed', 0, 'Of all that is drawn.', 0),
  ):
    flags.DEFINE_integer(
      number, size, meaning, lower_bound=least, flag_values=values
    )
