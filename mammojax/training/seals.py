"""Seals: what proves that a folder is whole and as it was written.

A seal is a JSON file `<name>.json` beside the folder `<name>/`, with the
sha256 of every file in it and of its own content. It knows nothing of arrays.

    seals.write(root, '500', {'metrics': None, 'extra': {}})
    body = seals.read(root, '500')          # None: no seal, or damaged
    seals.damaged_file(root, '500', body)   # None: every file is as written
"""

from collections.abc import Mapping
import hashlib
import json
import pathlib
from typing import Any

from mammojax.training import workdir


def _file_sum(path: pathlib.Path) -> str:
  with path.open('rb') as file:
    return hashlib.file_digest(file, 'sha256').hexdigest()


def _body_sum(body: Mapping[str, Any]) -> str:
  text = json.dumps(body, sort_keys=True, allow_nan=False)
  return hashlib.sha256(text.encode()).hexdigest()


def path_of(root, name: str) -> pathlib.Path:
  """Where the seal of folder `name` in `root` lies."""
  return pathlib.Path(root) / f'{name}.json'


def write(root, name: str, record: Mapping[str, Any]) -> None:
  """Makes the folder private, sums its files and writes the seal.

  Args:
    root: folder that holds the folder `name`.
    name: the folder to seal; it must be finished.
    record: JSON-able data kept in the seal; NaN becomes null.

  Raises:
    ResourceError: the disk is full.
  """
  folder = pathlib.Path(root) / name
  folder.chmod(0o700)
  sums = {}
  for path in sorted(folder.rglob('*')):
    path.chmod(0o700 if path.is_dir() else 0o600)
    if path.is_file():
      sums[path.relative_to(folder).as_posix()] = _file_sum(path)
  replace(root, name, workdir.finite({**record, 'files': sums}))


def replace(root, name: str, body: Mapping[str, Any]) -> None:
  """Writes the seal of a folder whose files were summed before.

  Args:
    root: folder that holds the folder `name`.
    name: the sealed folder.
    body: what `read` is to return; finite JSON data.
  """
  sealed = {**body, 'sha256': _body_sum(body)}
  workdir.atomic_write_json(path_of(root, name), sealed)


def read(root, name: str) -> dict[str, Any] | None:
  """The record of a sealed folder with 'files'; None without a good seal."""
  if not (pathlib.Path(root) / name).is_dir():
    return None
  try:
    body = json.loads(path_of(root, name).read_bytes().decode())
  except (FileNotFoundError, ValueError):
    return None
  if not isinstance(body, dict):
    return None
  own = body.pop('sha256', None)
  return body if own == _body_sum(body) else None


def damaged_file(root, name: str, body: Mapping[str, Any]) -> str | None:
  """The first file that is missing or not as it was sealed, or None.

  Args:
    root: folder that holds the folder `name`.
    name: the sealed folder.
    body: its seal, from `read`.

  Returns:
    Path relative to the folder.
  """
  folder = pathlib.Path(root) / name
  for file, expected in sorted(body['files'].items()):
    try:
      if _file_sum(folder / file) != expected:
        return file
    except OSError:
      return file
  return None
