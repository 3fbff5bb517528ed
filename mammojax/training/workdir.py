"""The folder of a run: its lock, its config and its record of surroundings.

One workdir belongs to one run. `prepare` makes the folder (0700), takes the
lock, saves `config.json` the first time and compares it every later time, and
writes `environment.json`.

    with workdir.prepare('runs/ada', config, command=sys.argv) as lock:
      ...                      # until here no other run can enter
"""

from collections.abc import Mapping, Sequence
import errno
import json
import logging
import math
import os
import pathlib
import tempfile
from typing import Any

from mammojax import errors
from mammojax.training import environment
from mammojax.training.lock import Lock

_LOG = logging.getLogger(__name__)

CONFIG = 'config.json'
ENVIRONMENT = 'environment.json'

# Fields that do not change what is learnt: where and how it runs, what is
# logged. They may differ between the runs that share a workdir.
FREE = (
  'data.cache_mb',
  'data.phantom.cache_dir',
  'data.prepared',
  'logging',
  'parallel',
  'sampler.num_threads',
  'sampler.prefetch',
  'train.allow_config_change',
  'train.checkpoint_every',
  'train.log_every',
)

# Rates and lengths: they change the course of training, not what the saved
# arrays mean, and may differ when train.allow_config_change says so.
ON_REQUEST = (
  'optim.clip_norm',
  'optim.learning_rate',
  'optim.warmup_steps',
  'optim.weight_decay',
  'train.eval_every',
  'train.max_bad_steps',
  'train.steps',
)


def atomic_write_bytes(path, data: bytes) -> None:
  """Writes a file of mode 0600 that is there whole or not at all.

  Args:
    path: the file; its folder must exist.
    data: what to write.

  Raises:
    ResourceError: the disk is full, or the folder cannot be written; the old
      file stays as it was.
  """
  path = pathlib.Path(path)
  name = None
  try:
    # mkstemp opens with 0600, whatever the umask.
    handle, name = tempfile.mkstemp(prefix=f'.{path.name}.', dir=path.parent)
    with os.fdopen(handle, 'wb') as file:
      file.write(data)
      file.flush()
      os.fsync(file.fileno())
    os.replace(name, path)
  except OSError as error:
    if name is not None:
      pathlib.Path(name).unlink(missing_ok=True)
    if error.errno != errno.ENOSPC:
      raise errors.ResourceError(
        f'{path} cannot be written: {error.strerror or error}. Choose another '
        'folder, or make this one writable.'
      ) from error
    raise errors.ResourceError(
      f'{path}: {len(data)} bytes needed, the disk is full. Free some space '
      'or choose another --workdir.'
    ) from error


def atomic_write_json(path, value: Any) -> None:
  """Writes `value` as indented strict JSON, as `atomic_write_bytes` does."""
  text = json.dumps(finite(value), indent=2, allow_nan=False)
  atomic_write_bytes(path, (text + '\n').encode())


def read_json(path) -> Any:
  """Reads a JSON file.

  Raises:
    DataError: the file is missing, or is not JSON in UTF-8.
  """
  path = pathlib.Path(path)
  try:
    return json.loads(path.read_bytes().decode())
  except FileNotFoundError as error:
    raise errors.DataError(f'{path} does not exist.') from error
  except ValueError as error:
    raise errors.DataError(
      f'{path} is not valid JSON ({error}). It may have been cut or edited: '
      'restore it from a copy, or choose another --workdir.'
    ) from error


def finite(value: Any) -> Any:
  """A copy of nested JSON data with NaN and infinities as None.

  NumPy and JAX scalars become Python numbers, tuples become lists.
  """
  if isinstance(value, Mapping):
    return {str(key): finite(item) for key, item in value.items()}
  if isinstance(value, list | tuple):
    return [finite(item) for item in value]
  if getattr(value, 'ndim', None) == 0:
    value = value.item()
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _flat(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Nested fields as 'a.b': value."""
  fields: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, Mapping) and value:
      fields.update(_flat(value, f'{prefix}{key}.'))
    else:
      fields[f'{prefix}{key}'] = value
  return fields


def _under(field: str, prefixes: Sequence[str]) -> bool:
  return any(field == p or field.startswith(p + '.') for p in prefixes)


def differences(
  saved: Mapping[str, Any],
  given: Mapping[str, Any],
  free: Sequence[str] = FREE,
) -> list[tuple[str, str, str]]:
  """Rows (field, saved, given) of the fields that differ.

  Args:
    saved: nested config of the workdir.
    given: nested config of this command.
    free: fields, or prefixes of fields, that are not compared.

  Returns:
    Rows sorted by field; a field that is absent reads '(absent)'.
  """
  old, new = _flat(finite(saved)), _flat(finite(given))
  rows = []
  for field in sorted(old.keys() | new.keys()):
    if _under(field, free):
      continue
    if field in old and field in new and old[field] == new[field]:
      continue
    values = [
      json.dumps(fields[field]) if field in fields else '(absent)'
      for fields in (old, new)
    ]
    rows.append((field, values[0], values[1]))
  return rows


def table(rows: Sequence[tuple[str, str, str]]) -> str:
  """Rows of `differences` as text, with a head."""
  rows = [('field', 'saved', 'given'), *rows]
  widths = [max(len(row[i]) for row in rows) for i in range(3)]
  return '\n'.join(
    '  '
    + '  '.join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip()
    for row in rows
  )


def _compare(workdir, given, free, on_request) -> bool:
  """Whether allowed differences to config.json exist; raises on others."""
  rows = differences(read_json(workdir / CONFIG), given, free)
  if not rows:
    return False
  allow = given.get('train', {}).get('allow_config_change', False)
  fixed = [row for row in rows if not _under(row[0], on_request)]
  if allow and not fixed:
    _LOG.warning('%s continues with changes:\n%s', workdir, table(rows))
    return True
  advice = 'Choose another --workdir, or give these fields their saved values'
  if not fixed:
    advice += ', or continue with --config.train.allow_config_change=True'
  raise errors.UsageError(
    f'{workdir} belongs to a run with another config:\n'
    f'{table(fixed if allow else rows)}\n{advice}.'
  )


def _make(workdir: pathlib.Path) -> None:
  """Makes the folder; one with content keeps the mode its owner chose."""
  try:
    workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not any(workdir.iterdir()):
      workdir.chmod(0o700)
  except OSError as error:
    raise errors.UsageError(
      f'{workdir} cannot be made or used as a folder ({error.strerror}). '
      'Choose another --workdir.'
    ) from error


def prepare(
  workdir,
  config_json: Mapping[str, Any],
  command: Sequence[str],
  *,
  devices: Sequence[str] = (),
  process_index: int = 0,
  free: Sequence[str] = FREE,
  on_request: Sequence[str] = ON_REQUEST,
) -> Lock | None:
  """Makes the folder, locks it, and saves or compares the config.

  Args:
    workdir: the folder of the run; made with mode 0700.
    config_json: the resolved config as nested dicts of JSON values.
    command: argv of the run.
    devices: names of the devices that JAX sees, from the caller.
    process_index: only process 0 locks and writes; the others compare.
    free: prefixes of fields that may always differ.
    on_request: prefixes that may with config.train.allow_config_change.

  Returns:
    The Lock, to be released at the end; None in processes above 0.

  Raises:
    UsageError: the workdir is in use, or belongs to another config.
    DataError: its config.json cannot be read.
  """
  workdir = pathlib.Path(workdir)
  if process_index != 0:
    if (workdir / CONFIG).exists():
      _compare(workdir, config_json, free, on_request)
    return None
  _make(workdir)
  lock = Lock(workdir)
  try:
    path = workdir / CONFIG
    if not path.exists() or _compare(workdir, config_json, free, on_request):
      atomic_write_json(path, config_json)
    record = environment.describe(command, devices)
    atomic_write_json(workdir / ENVIRONMENT, record)
  except BaseException:
    lock.release()
    raise
  return lock


def withdraw(workdir) -> None:
  """Takes back the config of a run that never began.

  What was wrong with it is then corrected under the same name. Once there are
  checkpoints the config stays.

  Args:
    workdir: the folder of the run.
  """
  workdir = pathlib.Path(workdir)
  if not (workdir / 'checkpoints').exists():
    (workdir / CONFIG).unlink(missing_ok=True)
