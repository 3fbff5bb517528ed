"""Shapes, dtypes and placement of the arrays of a state."""

from collections.abc import Mapping

import jax
import numpy as np

from mammojax import errors


def abstract_state(state):
  """Shapes, dtypes and shardings of a pytree, without its values.

  Args:
    state: pytree of arrays; JAX arrays keep their sharding, so a state laid
      out for the devices of this process restores onto them, however many
      there were when it was saved.

  Returns:
    The same tree of jax.ShapeDtypeStruct.
  """

  def describe(leaf):
    sharding = getattr(leaf, 'sharding', None)
    leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

  return jax.tree.map(describe, state)


def array_table(state) -> dict[str, str]:
  """'path/of/leaf': 'float32[3, 4]' for every leaf."""
  leaves = jax.tree_util.tree_flatten_with_path(abstract_state(state))[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): (
      f'{leaf.dtype}{list(leaf.shape)}'
    )
    for path, leaf in leaves
  }


def differences(saved: Mapping[str, str], wanted: Mapping[str, str]) -> str:
  """A line for each array that differs; '' when none does.

  Args:
    saved: `array_table` of what was saved.
    wanted: `array_table` of what it shall be restored into.
  """
  names = sorted(saved.keys() | wanted.keys())
  return '\n'.join(
    f'  {name}: saved {saved.get(name, "(absent)")}, '
    f'wanted {wanted.get(name, "(absent)")}'
    for name in names
    if saved.get(name) != wanted.get(name)
  )


def check_fits(where, saved: Mapping[str, str], target) -> None:
  """Checks that saved arrays are those that a state is restored into.

  Args:
    where: the checkpoint, for the message.
    saved: `array_table` of what was saved.
    target: pytree of arrays or of jax.ShapeDtypeStruct.

  Raises:
    IntegrityError: they differ; the message has a line for each array.
  """
  lines = differences(saved, array_table(target))
  if lines:
    raise errors.IntegrityError(
      f'Checkpoint {where} holds other arrays than this model and optimizer '
      f'have:\n{lines}\nUse the config it was trained with.'
    )


def with_own_memory(state):
  """The state with every NumPy leaf copied.

  Orbax writes such a leaf from the caller's own memory, while the caller may
  already be writing to it.
  """
  return jax.tree.map(
    lambda leaf: leaf if isinstance(leaf, jax.Array) else np.array(leaf), state
  )
