"""The config of a finished run, read again by what comes after training.

with saved.understood('runs/ada'):
  config = saved.config('runs/ada')
  ...                       # whatever reads fields of the config
"""

from collections.abc import Iterator
import contextlib
import os
import pathlib

import ml_collections

from mammojax import errors
from mammojax.training import workdir as workdirs


def config(workdir: str | os.PathLike[str]) -> ml_collections.ConfigDict:
  """The config that a run saved.

  Args:
    workdir: folder of the run.

  Returns:
    ConfigDict, not locked.

  Raises:
    UsageError: no folder of a run.
    DataError: the file is damaged.
  """
  path = pathlib.Path(workdir) / workdirs.CONFIG
  if not path.is_file():
    raise errors.UsageError(
      f'{str(workdir)!r} is no folder of a run: it has no {workdirs.CONFIG}.'
    )
  found = workdirs.read_json(path)
  if not isinstance(found, dict):
    raise errors.DataError(f'{str(path)!r} holds no config of a run.')
  return ml_collections.ConfigDict(found)


@contextlib.contextmanager
def understood(workdir: str | os.PathLike[str]) -> Iterator[None]:
  """Names the field that a run of another version lacks.

  Args:
    workdir: folder of the run.

  Yields:
    None; reads of the saved config belong inside.

  Raises:
    DataError: a field was asked for that the saved config does not have.
  """
  try:
    yield
  except AttributeError as error:
    if not isinstance(error.obj, ml_collections.ConfigDict):
      raise
    raise errors.DataError(
      f'{str(pathlib.Path(workdir) / workdirs.CONFIG)!r} has no field '
      f'{error.name!r}: the run was made by another version. Read it with that '
      'version, or train again.'
    ) from error
