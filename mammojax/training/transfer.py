"""A network that starts where another run ended."""

from collections.abc import Mapping
import logging
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mammojax import errors
from mammojax.training import classifying, layouts, matching, networks
from mammojax.training import state as state_lib
from mammojax.training import workdir as workdirs
from mammojax.training.sealed_steps import SealedSteps

_LOG = logging.getLogger(__name__)


def best(workdir: str | pathlib.Path, field: str) -> tuple[dict[str, Any], int]:
  """The network of a run's best checkpoint that is whole.

  Args:
    workdir: folder of the run.
    field: what named the folder, for messages.

  Returns:
    ({'params', 'batch_stats'}, step).

  Raises:
    UsageError: the folder holds no checkpoint.
    IntegrityError: all are damaged.
  """
  shelf = SealedSteps(
    pathlib.Path(workdir) / 'checkpoints', _best_metric(pathlib.Path(workdir))
  )
  for step in shelf.ranked() or shelf.candidates(None):
    if shelf.verify(step) is not None:
      break
  else:
    if shelf.damaged():
      raise shelf.none_whole('best')
    raise errors.UsageError(
      f'{field}: {workdir} is no folder of a run with checkpoints.'
    )
  found = _arrays(shelf.folder(step).absolute() / 'default')
  return {name: found[name] or {} for name in ('params', 'batch_stats')}, step


def _arrays(folder: pathlib.Path) -> dict[str, Any]:
  """The state in a folder as NumPy arrays.

  They are not placed as they were when saved: the devices of that process, how
  many and of which kind, need not be here.
  """
  # The reader's own metadata() warns of a file that lies a folder above.
  handler = ocp.PyTreeCheckpointHandler()
  saved = handler.metadata(folder).tree
  with ocp.Checkpointer(handler) as reader:
    how = jax.tree.map(
      lambda _: ocp.RestoreArgs(restore_type=np.ndarray), saved
    )
    return reader.restore(folder, args=ocp.args.PyTreeRestore(restore_args=how))


def _best_metric(workdir: pathlib.Path) -> str:
  """The metric of the validation that ranks the checkpoints of a run."""
  path = workdir / workdirs.CONFIG
  saved = workdirs.read_json(path) if path.is_file() else {}
  head = (saved.get('model') or {}).get('head')
  return (
    classifying.Classifying.best_metric
    if (head in networks.LOGITS)
    else matching.Matching.best_metric
  )


def from_run(
  state: state_lib.TrainState, workdir: str | pathlib.Path
) -> state_lib.TrainState:
  """The state with the network of another run's best checkpoint.

  Optimizer, margins, step and the parameters of the loss (proxies, class
  weights) stay as they are: a new training begins, maybe of other subjects.

  Args:
    state: before step 0.
    workdir: folder of the other run.

  Returns:
    TrainState.

  Raises:
    UsageError: the folder holds no checkpoint.
    IntegrityError: all are damaged, or the networks differ.
  """
  wanted = network(state.params, state.batch_stats)
  found, step = best(workdir, 'model.init_from')
  found = network(**found)
  lines = layouts.differences(
    layouts.array_table(found), layouts.array_table(wanted)
  )
  if lines:
    raise errors.IntegrityError(
      f'model.init_from: the network of {workdir} is another one:\n{lines}\n'
      'Give model and data.channels the values of that run.'
    )
  _LOG.info('The network starts from step %d of %s.', step, workdir)
  leaves = jax.tree.leaves(found)
  taken = jax.tree.unflatten(jax.tree.structure(wanted), leaves)
  return state.replace(
    params={**state.params, **taken['params']},
    batch_stats=taken['batch_stats'],
  )


def network(
  params: Mapping[str, Any], batch_stats: Mapping[str, Any]
) -> dict[str, Any]:
  """'params' and 'batch_stats' without what a loss learnt beside them."""
  kept = {k: v for k, v in params.items() if k != state_lib.LOSS}
  return {'params': kept, 'batch_stats': batch_stats}
