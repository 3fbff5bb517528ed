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


def check_origin(
  saved: Mapping[str, Any],
  recipe: recipes.Recipe,
  source: str,
  *,
  allow: bool,
) -> None:
  """Refuses to start from a network that saw images prepared otherwise.

  Args:
    saved: record of the run that the network comes from; {} if there is none.
      Its input scaling is not compared: each run measures its own.
    recipe: of the run that starts.
    source: where the network lies, for messages.
    allow: only warn.

  Raises:
    IntegrityError: the preprocess_id is another one, with a table.
    DataError: the record is damaged.
  """
  try:
    before = saved['preprocess_id'] if saved else recipe.identity
    if before == recipe.identity:
      return
    given = {'steps': recipe.record(), 'input': saved['input']}
    rows = [('preprocess_id', before[:12], recipe.identity[:12])]
    rows += differences(saved, given)
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.DataError(
      f'{source}: its {FILE} is damaged ({error!r}).'
    ) from error
  text = (
    f'The network of {source} saw images prepared otherwise than those of this '
    f'run:\n{workdirs.table(rows)}'
  )
  if not allow:
    raise errors.IntegrityError(
      f'{text}\nGive data.* the saved values, or set '
      'model.allow_other_preparation=True to start from it all the same.'
    )
  _LOG.warning('%s', text)


def of_run(folder: str | pathlib.Path) -> dict[str, Any]:
  """The record in a run's folder; {} where it has none.

  Raises:
    DataError: it is damaged.
  """
  path = pathlib.Path(folder) / FILE
  return workdirs.read_json(path) if path.exists() else {}


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
