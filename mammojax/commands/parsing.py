"""Flags of a command, and what is said when they do not fit."""

import ast
from collections.abc import Sequence
import pathlib

from absl import flags
from ml_collections import config_flags

from mammojax import errors

# What absl and ml_collections raise for a flag that does not fit.
_BAD_FLAGS = (flags.Error, AttributeError, KeyError, TypeError, ValueError)


def parse(
  values: flags.FlagValues,
  command: str,
  arguments: Sequence[str],
  positional: str = '',
) -> list[str]:
  """Parses flags; what is wrong with them becomes a UsageError.

  Args:
    values: FlagValues with the flags of the command.
    command: its name.
    arguments: what follows the name.
    positional: what arguments without a dash are; '' where none are taken.

  Returns:
    The arguments without a dash.

  Raises:
    UsageError: an unknown or wrong flag, an argument that is none, or a file of
      --config that is no config.
    SystemExit: after --help has been answered.
  """
  flags.DEFINE_bool(
    'help', False, 'Show this help.', short_name='h', flag_values=values
  )
  try:
    rest = values([command, *arguments])
  except (SyntaxError, ImportError) as error:
    raise errors.UsageError(
      f'The file of --config cannot be used: {error}. A config is a Python file'
      ' with get_config(), such as configs/adatriplet.py.'
    ) from error
  except _BAD_FLAGS as error:
    text = ' '.join(_unquoted(error.args[0] if error.args else error).split())
    if "no attribute 'get_config'" in text:
      text = 'The file of --config has no function get_config().'
    elif isinstance(error, AttributeError | KeyError):
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


def _unquoted(said: object) -> str:
  """What a library said; some put a quoted message into another."""
  try:
    return str(ast.literal_eval(str(said)))
  except (SyntaxError, ValueError):
    return str(said)


def define_config(values: flags.FlagValues, arguments: Sequence[str]) -> None:
  """Adds --config, any field of which may be overridden.

  Args:
    values: FlagValues of the command.
    arguments: what `parse` will be given; a field has a flag where they
      override it.
  """
  config_flags.DEFINE_config_file(
    'config',
    None,
    'Python file with get_config(); any field is overridden by '
    '--config.<field>=<value>.',
    lock_config=True,
    flag_values=values,
    # Otherwise those of the process count, and a caller's are unknown.
    sys_argv=['', *arguments],
  )


def define_key(values: flags.FlagValues) -> None:
  """Adds --key, which is `data.key_file` of a run."""
  flags.DEFINE_string(
    'key',
    '',
    'Key under which subjects become pseudonyms, outside --out; those of DICOM '
    'files are read from their headers where the table has none.',
    flag_values=values,
  )


def key(values: flags.FlagValues, folder: str | None = None) -> bytes | None:
  """The key that was named, or None.

  Args:
    values: parsed flags, after `define_key`.
    folder: where the results go and the key must not lie.

  Returns:
    of `pseudonyms.load_key`.

  Raises:
    UsageError: as `pseudonyms.load_key`.
  """
  if not values.key:
    return None
  from mammojax.data import pseudonyms

  return pseudonyms.load_key(values.key, workdir=folder)


def define_voi(values: flags.FlagValues) -> None:
  """Adds --voi, which is `data.voi` of a run."""
  from mammojax.data import luts

  flags.DEFINE_enum(
    'voi',
    'none',
    luts.MODES,
    'Window of DICOM files that is used; none keeps all levels.',
    flag_values=values,
  )


def config(values: flags.FlagValues, command: str):
  """The config that was named and the path of its file.

  Args:
    values: parsed flags, after `define_config`.
    command: for messages.

  Returns:
    (locked ConfigDict, path).

  Raises:
    UsageError: no such file, none named, or a file that is no config.
  """
  try:
    chosen = values.config
    # A file that failed to load shows only when it is looked into.
    _ = chosen is None or chosen.keys()
  except OSError as error:
    path = pathlib.Path(values['config'].config_filename)
    if path.is_file():
      raise errors.UsageError(f'{path} is no config: {error}') from error
    known = sorted(str(p) for p in path.parent.glob('*.py'))
    raise errors.unknown('config file', str(path), known) from error
  if chosen is None:
    raise errors.UsageError(
      f'{command} needs --config=FILE, such as --config=configs/adatriplet.py.'
    )
  return chosen, pathlib.Path(values['config'].config_filename)
