"""`catalog`: a public data set as a table that can be trained on."""

from collections.abc import Sequence
import pathlib
import shlex

from absl import flags

from mammojax import errors
from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Writes the table of a public data set, or lists those that are known."""
  from mammojax.data import catalog

  # The options depend on the name, so it is looked for before the flags.
  words = [argument for argument in arguments if not argument.startswith('-')]
  known = [word for word in words if word in catalog.DATASETS] + words[:1]
  values = flags.FlagValues()
  flags.DEFINE_string(
    'root',
    '',
    'Folder that the data set was unpacked into.',
    flag_values=values,
  )
  flags.DEFINE_string('out', '', 'The table, a .csv.', flag_values=values)
  flags.DEFINE_bool(
    'overwrite', False, 'Replace a table that is there.', flag_values=values
  )
  options = catalog.module(known[0]).OPTIONS if known else {}
  for name, option in options.items():
    choices = f' One of: {", ".join(option.choices)}.' if option.choices else ''
    flags.DEFINE_string(
      name, option.default, option.meaning + choices, flag_values=values
    )
  names = parsing.parse(values, 'catalog', arguments, '[NAME]')
  if not names:
    _list(catalog.DATASETS)
    return
  if len(names) > 1:
    raise errors.UsageError(f'catalog takes one name, got {names[1]!r} too.')
  out = _out(values)
  given = {name: values[name].value for name in options}
  _write(out, catalog.read(names[0], values.root, **given))
  _print_how(out, pathlib.Path(values.root))


def _list(datasets) -> None:
  """One line a data set: the first of its module's docstring."""
  width = max(map(len, datasets))
  for name, module in datasets.items():
    print(f'  {name:{width}}  {module.__doc__.partition(chr(10))[0]}')
  print(
    'python -m mammojax catalog NAME --root=FOLDER --out=table.csv;'
    ' NAME --help shows its options.'
  )


def _out(values) -> pathlib.Path:
  """The table's path, checked before anything is read."""
  if not values.root or not values.out:
    raise errors.UsageError('catalog needs --root=FOLDER and --out=table.csv.')
  out = pathlib.Path(values.out)
  if out.suffix.lower() != '.csv':
    raise errors.UsageError(f'--out must end in .csv, got {values.out!r}.')
  if not out.parent.is_dir():
    raise errors.UsageError(f'--out: {str(out.parent)!r} is not a folder.')
  if out.is_dir() or (out.exists() and not values.overwrite):
    raise errors.UsageError(
      f'{str(out)!r} exists; choose another --out, or --overwrite.'
    )
  return out


def _write(out: pathlib.Path, read) -> None:
  from mammojax.training import workdir

  frame = read.frame
  workdir.atomic_write_bytes(out, frame.to_csv(index=False).encode())
  counts = frame['split'].value_counts().sort_index()
  parts = [f'{count} {name or "by hash"}' for name, count in counts.items()]
  print(
    f'{out}: {len(frame)} images of {frame["subject"].nunique()} subjects'
    f' (split: {", ".join(parts)}).'
  )
  for note in read.notes:
    print(f'- {note}')
  print(f'Terms: {read.terms}')


def _print_how(out: pathlib.Path, root: pathlib.Path) -> None:
  print(
    'Train with --config.data.source=table'
    f' --config.data.table={shlex.quote(str(out))}'
    f' --config.data.root={shlex.quote(str(root.resolve()))}'
  )
