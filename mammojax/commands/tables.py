"""What the commands on a table of images share: its flags and its folder."""

import pathlib
import shlex

from absl import flags
import pandas as pd

from mammojax import errors
from mammojax.commands import parsing

# What commands add to a table; of a table that one wrote they are left out.
_WRITTEN = ('subject_before', 'split_before', 'reason')


def define(values: flags.FlagValues) -> None:
  """Adds --table, --root, --columns.<name>, --key and --threads."""
  from mammojax.data import table

  flags.DEFINE_string(
    'table', '', 'CSV or parquet, one row an image.', flag_values=values
  )
  flags.DEFINE_string(
    'root',
    '',
    "Folder or zip that its paths lead into; default: the table's folder, or "
    'the one zip in it that holds them.',
    flag_values=values,
  )
  for name in table.REQUIRED + table.OPTIONAL:
    flags.DEFINE_string(
      f'columns.{name}',
      '',
      f"The table's column for {name}; default: {name}.",
      flag_values=values,
    )
  flags.DEFINE_integer(
    'threads', 2, 'Images read at once.', lower_bound=1, flag_values=values
  )
  parsing.define_key(values)


def parse(values: flags.FlagValues, command: str, arguments, out: str) -> None:
  """Parses; --table and --out must be given.

  Args:
    values: after `define`, with --out.
    command: its name.
    arguments: what follows the name.
    out: what --out should be, for the message.

  Raises:
    UsageError: a wrong flag, or none of these two.
  """
  parsing.parse(values, command, arguments)
  if not values.table:
    raise errors.UsageError(f'{command} needs --table=FILE.')
  if not values.out:
    raise errors.UsageError(f'{command} needs --out={out}.')


def examine(values: flags.FlagValues, folder: str | None):
  """The table that was named.

  Args:
    values: parsed.
    folder: where the results go and the key must not lie; None for one file.

  Returns:
    (frame, store, problems) of `table.examine`.
  """
  from mammojax.data import table

  columns = {
    name: values[f'columns.{name}'].value
    for name in table.REQUIRED + table.OPTIONAL
  }
  return table.examine(
    values.table,
    root=values.root,
    columns=columns,
    key=parsing.key(values, folder),
  )


def usable(values: flags.FlagValues, folder: str | None):
  """(frame, store) of `examine`, refused when a row alone cannot be used.

  Raises:
    DataError: values that cannot be understood, all of them listed.
  """
  from mammojax.data import checks

  frame, store, problems = examine(values, folder)
  for kind in checks.BETWEEN_ROWS:
    problems.drop(kind)
  problems.raise_if_any()
  return frame, store


def with_other_columns(values: flags.FlagValues, frame: pd.DataFrame):
  """The frame with the columns that the table has besides, as text.

  Under a key it stays as it is: they may tell who a subject is.
  """
  from mammojax.data import records, table

  if values.key:
    return frame
  raw = records.read(pathlib.Path(values.table)).loc[frame['row']]
  known = {*frame, *_WRITTEN}
  known |= {values[f'columns.{n}'].value for n in table.REQUIRED}
  known |= {values[f'columns.{n}'].value for n in table.OPTIONAL}
  others = [name for name in raw if name not in known]
  return frame.assign(**{name: raw[name].to_numpy() for name in others})


def make_folder(out: str) -> pathlib.Path:
  """The folder of --out, 0700 when it is made.

  Raises:
    UsageError: it is a file, cannot be made, or is the folder of a run, where
      files of the same names would be lost.
  """
  from mammojax.training import workdir

  folder = pathlib.Path(out)
  if (folder / workdir.CONFIG).is_file():
    raise errors.UsageError(
      f'--out={out} is the folder of a run, whose files would be overwritten; '
      'choose another folder, such as one in it.'
    )
  try:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
  except OSError as error:
    raise errors.UsageError(
      f'--out={out} cannot be made or used as a folder ({error.strerror}).'
    ) from error
  return folder


def how_to_train(path: pathlib.Path, store, voi: str) -> str:
  """The flags that let a written table be read as it was here."""
  return (
    '--config.data.source=table'
    f' --config.data.table={shlex.quote(str(path))}'
    f' --config.data.root={shlex.quote(str(store.root))}'
  ) + (f' --config.data.voi={voi}' if voi != 'none' else '')


def broken(frame: pd.DataFrame, facts: pd.DataFrame) -> list[str]:
  """One line for each row whose image cannot be read."""
  bad = facts['problem'] != ''
  rows = zip(frame.loc[bad, 'row'], facts.loc[bad, 'problem'], strict=True)
  return [f'row {row}: {problem}' for row, problem in rows]
