"""A network that starts where another run ended."""

import logging
import pathlib

import jax
import orbax.checkpoint as ocp

from mammojax import errors
from mammojax.training import layouts
from mammojax.training import state as state_lib
from mammojax.training.sealed_steps import SealedSteps

_LOG = logging.getLogger(__name__)


def from_run(
  state: state_lib.TrainState, workdir: str | pathlib.Path
) -> state_lib.TrainState:
  """The state with the network of another run's best checkpoint.

  Optimizer, margins and step stay as they are: a new training begins.

  Args:
    state: before step 0.
    workdir: folder of the other run.

  Returns:
    TrainState.

  Raises:
    UsageError: the folder holds no checkpoint.
    IntegrityError: all are damaged, or the networks differ.
  """
  shelf = SealedSteps(pathlib.Path(workdir) / 'checkpoints', 'map')
  wanted = {'params': state.params, 'batch_stats': state.batch_stats}
  for step in shelf.ranked() or shelf.candidates(None):
    if shelf.verify(step) is not None:
      break
  else:
    if shelf.damaged():
      raise shelf.none_whole('best')
    raise errors.UsageError(
      f'model.init_from: {workdir} is no folder of a run with checkpoints.'
    )
  with ocp.StandardCheckpointer() as reader:
    found = reader.restore(shelf.folder(step).absolute() / 'default')
  found = {name: found[name] for name in wanted}
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
  return state.replace(**jax.tree.unflatten(jax.tree.structure(wanted), leaves))
