"""What a sweep is made of: rows, the settings they scan, and runs.

A sweep file is a config, `get_config()`, and `get_sweep()`:

    def get_sweep():
      return {
        'title': 'Table 1b: margins',
        'rows': {                      # name -> fields of the config
          'Q1': {'automargin.mode': 'q1'},
          'AutoMargin': {'automargin.k_gap': [2.0, 4.0]},  # a list is scanned
        },
        'seeds': 5,                                          # default: 5
        'published': {'Q1': {'all': {'map': (94.3, None)}}},  # default: none
        'published_name': 'OAI',       # percent, (value, standard error)
      }

A row with lists has as many settings as they have combinations, each trained
with every seed.
"""

from collections.abc import Mapping, Sequence
import itertools
import pathlib
import re
import runpy
from typing import Any, NamedTuple

import ml_collections

from mammojax import errors
from mammojax.apps import published

_FIELDS = ('title', 'rows', 'seeds', 'published', 'published_name')
# Rows and settings are names of folders.
_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9 .,=_+-]*(?<![ .])')
_SEEDS = 5


class Setting(NamedTuple):
  """Fields that differ from the sweep's config, and a name made of them."""

  name: str
  overrides: dict[str, Any]


class Row(NamedTuple):
  """A line of the table: one setting, or several of which one is chosen."""

  name: str
  settings: tuple[Setting, ...]


class Plan(NamedTuple):
  """A sweep, read and checked.

  Attributes:
    path: of the sweep file.
    title: what is compared.
    rows: in the order of the table.
    seeds: of the runs of each setting.
    published: row -> group -> metric -> (value, standard error or None), in
      percent.
    published_name: where those come from.
  """

  path: pathlib.Path
  title: str
  rows: tuple[Row, ...]
  seeds: tuple[int, ...]
  published: Mapping[str, Any]
  published_name: str


class Run(NamedTuple):
  """One training of a sweep.

  Attributes:
    row: name of its row.
    setting: name of its setting.
    seed: its seed.
    folder: relative to the workdir of the sweep.
    config: resolved, as nested dicts.
    flags: what turns the config of the sweep file into that one.
  """

  row: str
  setting: str
  seed: int
  folder: pathlib.Path
  config: dict[str, Any]
  flags: tuple[str, ...]


def read(
  path: pathlib.Path,
  config: ml_collections.ConfigDict,
  *,
  seeds: int | None = None,
  rows: Sequence[str] = (),
) -> Plan:
  """The sweep of a file.

  Args:
    path: Python file with `get_sweep`.
    config: of the sweep; the seeds count from its own.
    seeds: how many; None: what the file says.
    rows: names of those that are run; none: all of them.

  Returns:
    Plan.

  Raises:
    UsageError: no sweep file, or an unknown row, field or key.
  """
  given = _load(path)
  found = tuple(_row(name, fields) for name, fields in given['rows'].items())
  names = [row.name for row in found]
  for name in (*rows, *given['published']):
    if name not in names:
      raise errors.unknown(f'row of {path}', name, names)
  folders = [_folder(name).lower() for name in names]
  if len(set(folders)) < len(folders):
    raise errors.UsageError(f'{path}: two rows have one folder: {names}.')
  for row in found:
    labels = [setting.name for setting in row.settings]
    if len(set(labels)) < len(labels):
      raise errors.UsageError(f'{path}, row {row.name!r} scans a value twice.')
    for setting in row.settings:
      resolved(config, setting.overrides, f'{path}, row {row.name!r}')
  count = given['seeds'] if seeds is None else seeds
  if not isinstance(count, int) or count < 1:
    raise errors.UsageError(f'A sweep needs 1 seed or more, got {count!r}.')
  return Plan(
    path,
    given['title'],
    tuple(row for row in found if not rows or row.name in rows),
    tuple(range(config.seed, config.seed + count)),
    given['published'],
    given['published_name'],
  )


def _load(path: pathlib.Path) -> dict[str, Any]:
  """What `get_sweep` returns, with its defaults."""
  make = runpy.run_path(str(path)).get('get_sweep')
  if make is None:
    raise errors.UsageError(
      f'{path} has no get_sweep(), so it is the config of one run: give it to '
      'train, or name a file of configs/sweeps.'
    )
  given = make()
  for field in given:
    if field not in _FIELDS:
      raise errors.unknown(f'field of get_sweep in {path}', field, _FIELDS)
  rows = given.get('rows')
  if not rows:
    raise errors.UsageError(f"{path}: get_sweep has no 'rows'.")
  if not isinstance(rows, Mapping):
    raise errors.UsageError(f"{path}: 'rows' must be a dict, got {rows!r}.")
  published.check(path, given.get('published', {}))
  defaults = {
    'title': path.stem,
    'seeds': _SEEDS,
    'published': {},
    'published_name': 'published',
  }
  return defaults | given


def _row(name: str, fields: Mapping[str, Any]) -> Row:
  if not isinstance(fields, Mapping):
    raise errors.UsageError(
      f'Row {name!r} must be a dict of fields and values, got {fields!r}.'
    )
  if 'seed' in fields:
    raise errors.UsageError(
      f'Row {name!r} sets seed, and every row is trained with the same seeds: '
      "give their number as 'seeds', and the first one as --config.seed."
    )
  if not isinstance(name, str) or not _NAME.fullmatch(name):
    raise errors.UsageError(
      f'Row {name!r} is also a folder: letters, digits and " .,=_+-" only.'
    )
  scanned = {k: v for k, v in fields.items() if isinstance(v, list)}
  fixed = {k: v for k, v in fields.items() if k not in scanned}
  if not all(scanned.values()):
    raise errors.UsageError(f'Row {name!r} scans an empty list: {scanned}.')
  settings = []
  for values in itertools.product(*scanned.values()):
    point = dict(zip(scanned, values, strict=True))
    label = ', '.join(f'{k.rpartition(".")[2]}={v}' for k, v in point.items())
    if label and not _NAME.fullmatch(label):
      raise errors.UsageError(
        f'Row {name!r} scans {label}, which is also a folder: letters, digits '
        'and " .,=_+-" only. Make rows of these values.'
      )
    settings.append(Setting(label, {**fixed, **point}))
  return Row(name, tuple(settings))


def _folder(name: str) -> str:
  return name.replace(' ', '_')


def resolved(
  config: ml_collections.ConfigDict, overrides: Mapping[str, Any], where: str
) -> ml_collections.ConfigDict:
  """A copy of a config with other values.

  Args:
    config: the sweep's.
    overrides: 'a.b' -> value.
    where: for messages.

  Returns:
    ConfigDict.

  Raises:
    UsageError: a field that does not exist, or a value of another type.
  """
  # ConfigDict(config) would share what is nested.
  changed = config.copy_and_resolve_references()
  for field, value in overrides.items():
    *above, last = field.split('.')
    node = changed
    for depth, part in enumerate(above):
      if not isinstance(node.get(part), ml_collections.ConfigDict):
        raise _no_field(where, field, node, above[:depth])
      node = node[part]
    if last not in node or isinstance(node[last], ml_collections.ConfigDict):
      raise _no_field(where, field, node, above)
    try:
      node[last] = value
    except TypeError as error:
      raise errors.UsageError(
        f'{where}: {field}={value!r} has another type than {node[last]!r}.'
      ) from error
  return changed


def _no_field(where, field, node, above) -> errors.UsageError:
  known = ['.'.join([*above, name]) for name in node]
  return errors.unknown(f'field ({where})', field, known)


def runs(
  plan: Plan,
  config: ml_collections.ConfigDict,
  written: ml_collections.ConfigDict,
) -> list[Run]:
  """Every training of a sweep, a seed of all settings before the next one.

  Args:
    plan: of `read`.
    config: of the sweep, with what the command line changed.
    written: what the sweep file itself returns.

  Returns:
    Runs; a sweep that is cut short so has rows that can be compared.
  """
  made = []
  for seed in plan.seeds:
    for row in plan.rows:
      for setting in row.settings:
        where = f'{plan.path}, row {row.name!r}'
        one = resolved(config, {**setting.overrides, 'seed': seed}, where)
        # Bars of several runs at once would be drawn over each other.
        one.logging.progress = False
        folder = pathlib.Path(_folder(row.name))
        if setting.name:
          folder /= _folder(setting.name)
        made.append(
          Run(
            row.name,
            setting.name,
            seed,
            folder / f'seed_{seed}',
            one.to_dict(),
            _flags(written, one),
          )
        )
  return made


def _flags(written, wanted, prefix: str = '--config.') -> tuple[str, ...]:
  """Flags for the fields in which two configs differ."""
  found: list[str] = []
  for name, value in wanted.items():
    if isinstance(value, ml_collections.ConfigDict):
      found += _flags(written[name], value, f'{prefix}{name}.')
    elif value != written[name]:
      found.append(f'{prefix}{name}={value}')
  return tuple(found)
