"""Shapes, dtypes and placement of a state, without its values."""

from collections.abc import Mapping

import jax
import numpy as np


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
