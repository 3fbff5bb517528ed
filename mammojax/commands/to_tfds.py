"""`to-tfds`: a table of images as a data set of tensorflow-datasets."""

from collections.abc import Sequence
import pathlib
import shlex

from absl import flags

from mammojax import errors
from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Writes a table and its images as array_record, without TensorFlow."""
  values = flags.FlagValues()
  for name, meaning in (
    ('table', 'CSV or parquet file, as for data.table.'),
    ('root', 'Folder or zip of its images; default: that of the table.'),
    ('out', 'Folder of data sets, the data_dir of the library.'),
    ('name', 'Of the data set: lower case letters, digits, underscores.'),
  ):
    flags.DEFINE_string(name, '', meaning, flag_values=values)
  flags.DEFINE_enum(
    'on_bad',
    'stop',
    ['stop', 'skip'],
    'At an image that cannot be read; skip sets up to 1 % aside.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'columns',
    [],
    'Own names of columns, such as subject=patient_id,diagnosis=label.',
    flag_values=values,
  )
  parsing.parse(values, 'to-tfds', arguments)
  for name in ('table', 'out', 'name'):
    if not values[name].value:
      raise errors.UsageError(
        'to-tfds needs --table=FILE --out=FOLDER --name=NAME; '
        f'--{name} is missing.'
      )
  columns = _columns(values.columns)
  from mammojax.data import table, tfds_writing

  frame, store = table.read(
    values.table,
    root=str(pathlib.Path(values.root).resolve()) if values.root else '',
    columns=columns,
    on_bad=values.on_bad,
  )
  out = pathlib.Path(values.out)
  folder = tfds_writing.write(frame, store, out, values.name)
  counts = frame['split'].value_counts(sort=False)
  parts = ', '.join(f'{count} {name}' for name, count in counts.items())
  print(f'{folder}: {len(frame)} images ({parts}).')
  print(
    'Train with --config.data.source=tfds'
    f' --config.data.tfds.name={values.name}'
    f' --config.data.tfds.data_dir={shlex.quote(str(out.resolve()))}'
  )


def _columns(pairs: Sequence[str]) -> dict[str, str]:
  """Canonical name -> column of the table."""
  columns = {}
  for pair in pairs:
    name, equals, column = pair.partition('=')
    if not equals or not column:
      raise errors.UsageError(
        f'--columns takes name=column, divided by commas; got {pair!r}.'
      )
    columns[name] = column
  return columns
