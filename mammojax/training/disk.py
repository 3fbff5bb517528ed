"""Room on a disk: asked for before a save, and named when it ran out."""

import math
import pathlib
import shutil

import jax

from mammojax import errors
from mammojax.training import layouts

# What arrays need on disk beyond their bytes.
_OVERHEAD = 1.1
# The texts under which libraries pass ENOSPC and EDQUOT on.
_FULL = (
  'No space left on device',
  'RESOURCE_EXHAUSTED',
  'Disk quota exceeded',
  'disk is full',
)


def bytes_needed(state) -> int:
  """Bytes that a pytree of arrays takes on disk, rounded up generously."""
  leaves = jax.tree.leaves(layouts.abstract_state(state))
  size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
  return math.ceil(size * _OVERHEAD)


def bytes_free(directory: pathlib.Path) -> int:
  """Bytes that may still be written under a folder."""
  return shutil.disk_usage(directory).free


def is_full(error: BaseException) -> bool:
  """Whether an error says that the disk is full, whoever raised it."""
  return any(text in str(error) for text in _FULL)


def no_room(directory: pathlib.Path, needed: int) -> errors.ResourceError:
  """The error that names what is needed, what is free and what to do."""
  return errors.ResourceError(
    f'{directory}: a checkpoint needs {needed} bytes, '
    f'{bytes_free(directory)} are free. Earlier checkpoints are untouched. '
    'Free some space and give the same command again, or choose another '
    '--workdir.'
  )


def check_room(directory: pathlib.Path, state) -> int:
  """Bytes that a state needs; raises ResourceError where they are not free."""
  needed = bytes_needed(state)
  if bytes_free(directory) < needed:
    raise no_room(directory, needed)
  return needed
