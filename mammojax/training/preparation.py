"""The record of what was done to images, beside the network that saw them.

    given = record(recipe, scaling)
    keep(workdir, given)            # the first time writes, later compares

`preprocess.json` holds `preprocess_id` (sha256 of the steps, their options and
their version), the steps in order, and the numbers of the input scaling, so
that a network can be fed years later as it was trained.
"""

from collections.abc import Mapping
import logging
import pathlib
from typing import Any

from mammojax import errors
from mammojax.data import recipes
from mammojax.models import conventions
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)
FILE = 'preprocess.json'


def record(
  recipe: recipes.Recipe, scaling: conventions.Scaling
) -> dict[str, Any]:
  """What `preprocess.json` holds.

  Args:
    recipe: of the images.
    scaling: of the network's input.

  Returns:
    JSON values.
  """
  return workdirs.finite(
    {
      'preprocess_id': recipe.identity,
      'steps': recipe.record(),
      'input': scaling._asdict(),
    }
  )


def keep(
  workdir: pathlib.Path, given: Mapping[str, Any], writes: bool = True
) -> None:
  """Writes the record of a run, or compares with the one that is there.

  Args:
    workdir: the run's folder.
    given: see `record`.
    writes: whether this process writes.

  Raises:
    IntegrityError: the run was prepared otherwise, with a table.
    DataError: the file is damaged.
  """
  path = workdir / FILE
  if path.exists():
    rows = differences(workdirs.read_json(path), given)
    if rows:
      raise errors.IntegrityError(
        f'{workdir} was trained on images prepared otherwise:\n'
        f'{workdirs.table(rows)}\nThe images, or this program, have changed '
        'since. Put them back, or choose another --workdir.'
      )
  elif writes:
    workdirs.atomic_write_json(path, given)


def warn_if_other(folder: str | pathlib.Path, given: Mapping[str, Any]) -> None:
  """Warns when a network comes from a run that saw other images.

  Args:
    folder: of the run it comes from.
    given: record of the run that goes on with it.

  Raises:
    DataError: its file is damaged.
  """
  path = pathlib.Path(folder) / FILE
  if not path.exists():
    return
  rows = differences(workdirs.read_json(path), given)
  rows = [row for row in rows if not row[0].startswith('input.')]
  if rows:
    _LOG.warning(
      'The network of %s saw images prepared otherwise:\n%s',
      folder,
      workdirs.table(rows),
    )


def differences(
  saved: Mapping[str, Any], given: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
  """Rows (field, saved, given) of what two records do not share.

  Args:
    saved: a record.
    given: a record.

  Returns:
    Rows sorted by field; a step that one of them lacks reads '(absent)'.
  """
  old, new = (
    {'input': part['input'], 'order': [step['step'] for step in part['steps']]}
    | {step['step']: step for step in part['steps']}
    for part in (saved, given)
  )
  return workdirs.differences(old, new, free=())
