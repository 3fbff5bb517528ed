"""The command line: `python -m mammojax <command>`.

    python -m mammojax train --config=configs/adatriplet.py --workdir=runs/ada
    python -m mammojax report --workdir=runs/ada
    python -m mammojax figures loss-surface --out=figures

Exit codes: 0 done, 2 usage, 3 bad data, 4 integrity or leak, 5 disk or
memory, 6 numbers, 75 stopped by a signal with the state saved.
"""

from collections.abc import Sequence
import logging
import pathlib
import sys

from absl import flags
from ml_collections import config_flags
import rich.console

from mammojax import errors


def train(arguments: Sequence[str]) -> None:
  """Trains, evaluates on the test split, and writes the report."""
  values = flags.FlagValues()
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Python file with get_config(); any field is overridden by '
    '--config.<field>=<value>.',
    lock_config=True,
    flag_values=values,
  )
  flags.DEFINE_string(
    'workdir',
    '',
    "The run's folder; default: runs/<name of the config file>.",
    flag_values=values,
  )
  _parse(values, 'train', arguments)
  config, path = _config(values)
  workdir = pathlib.Path(values.workdir or pathlib.Path('runs') / path.stem)
  # Only now: a wrong flag is answered before the seconds this import takes.
  from mammojax.training import folds, parallel

  parallel.initialize()
  command = ['python', 'main.py', *arguments]
  results = folds.run(config, workdir, command)
  if parallel.is_first_process():
    _report(workdir, results)


def report(arguments: Sequence[str]) -> None:
  """Writes report.html and figures/ of a finished run again."""
  values = flags.FlagValues()
  flags.DEFINE_string('workdir', '', "The run's folder.", flag_values=values)
  _parse(values, 'report', arguments)
  if not values.workdir:
    raise errors.UsageError('report needs --workdir=FOLDER of a run.')
  from mammojax.report import reading

  workdir = pathlib.Path(values.workdir)
  _report(workdir, reading.metrics(workdir))


# What each figure that needs no run can be told.
FIGURES = {
  'loss-surface': ('margin', 'beta', 'negative_weight'),
  'selections': ('margin',),
}


def figures(arguments: Sequence[str]) -> None:
  """Draws a figure that needs no run: loss-surface or selections."""
  values = flags.FlagValues()
  flags.DEFINE_string(
    'out', 'figures', 'Folder for its SVG and PNG.', flag_values=values
  )
  for name, meaning in (
    ('margin', 'Epsilon of AdaTriplet; default: 0.25.'),
    ('beta', 'Its ceiling for negatives, loss-surface only; default: 0.1.'),
    ('negative_weight', 'Its lambda, loss-surface only; default: 1.'),
  ):
    flags.DEFINE_float(name, None, meaning, flag_values=values)
  name, numbers = _figure(values, arguments)
  from mammojax.report import selections, style, surfaces

  draw = {
    'loss-surface': surfaces.loss_surface,
    'selections': selections.small_multiples,
  }[name]
  saved = style.save(
    draw(**numbers), pathlib.Path(values.out), name.replace('-', '_')
  )
  for path in saved.values():
    print(path)


def _figure(values, arguments):
  """The name of a figure and the numbers it is given."""
  names = _parse(values, 'figures', arguments, '|'.join(FIGURES))
  if len(names) != 1:
    raise errors.UsageError(
      f'figures needs one name, {" or ".join(FIGURES)}; got {len(names)}.'
    )
  (name,) = names
  if name not in FIGURES:
    raise errors.unknown('figure', name, FIGURES)
  if not values.out or pathlib.Path(values.out).is_file():
    raise errors.UsageError(f'--out must be a folder, got {values.out!r}.')
  numbers = {}
  for number in FIGURES['loss-surface']:
    if values[number].present:
      if number not in FIGURES[name]:
        raise errors.UsageError(f'figures {name} takes no --{number}.')
      numbers[number] = values[number].value
  return name, numbers


def _report(workdir, results):
  from mammojax.report import html, table

  page = html.write(workdir)
  rich.console.Console().print(table.results(results))
  print(f'Report: {page}')


def _config(values):
  """The config and the path of its file."""
  try:
    config = values.config
    # A file that failed to load shows only when it is looked into.
    _ = config is None or config.keys()
  except OSError as error:
    path = pathlib.Path(values['config'].config_filename)
    if path.is_file():
      raise errors.UsageError(f'{path} is no config: {error}') from error
    known = sorted(str(p) for p in path.parent.glob('*.py'))
    raise errors.unknown('config file', str(path), known) from error
  if config is None:
    raise errors.UsageError(
      'train needs --config=FILE, such as --config=configs/adatriplet.py.'
    )
  return config, pathlib.Path(values['config'].config_filename)


COMMANDS = {'train': train, 'report': report, 'figures': figures}


# What absl and ml_collections raise for a flag that does not fit.
_BAD_FLAGS = (flags.Error, AttributeError, KeyError, TypeError, ValueError)


def _parse(values, command, arguments, positional=''):
  """Parses flags; what is wrong with them becomes a UsageError.

  Args:
    values: FlagValues with the flags of the command.
    command: its name.
    arguments: what follows the name.
    positional: what arguments without a dash are; '' where none are taken.

  Returns:
    The arguments without a dash.
  """
  flags.DEFINE_bool(
    'help', False, 'Show this help.', short_name='h', flag_values=values
  )
  try:
    rest = values([command, *arguments])
  except _BAD_FLAGS as error:
    text = ' '.join(str(error.args[0] if error.args else error).split())
    if isinstance(error, AttributeError | KeyError):
      text = f'Unknown config field {text}'
    raise errors.UsageError(text) from error
  if values.help:
    usage = f'python -m mammojax {command} {positional}'.rstrip()
    print(f'{usage}\n{values.get_help()}')
    raise SystemExit(0)
  if len(rest) > 1 and not positional:
    raise errors.UsageError(
      f'{command} takes flags only, got {rest[1]!r}. Write --name=value.'
    )
  # Threads and processes of the input read absl's global flags.
  flags.FLAGS.mark_as_parsed()
  return rest[1:]


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command.

  Args:
    arguments: without the program's name; None: those of this process.

  Returns:
    The exit code.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  logging.basicConfig(level=logging.INFO, format='%(message)s')
  for noisy in ('absl', 'jax', 'orbax', 'matplotlib', 'grain', 'tensorboardX'):
    logging.getLogger(noisy).setLevel(logging.WARNING)
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    print(__doc__)
    for name, command in COMMANDS.items():
      print(f'  {name:10} {command.__doc__.splitlines()[0]}')
    return 0 if arguments else 2
  try:
    if arguments[0] not in COMMANDS:
      raise errors.unknown('command', arguments[0], COMMANDS)
    COMMANDS[arguments[0]](arguments[1:])
  except errors.MammojaxError as error:
    print(f'Error: {error}', file=sys.stderr)
    return error.exit_code
  return 0


if __name__ == '__main__':
  sys.exit(main())
