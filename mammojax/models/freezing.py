"""Which parameters learn, chosen by name, and how many they are.

    optimizer = freezing.freeze(optax.adam(1e-3), ['backbone/stem', '*/norm*'])
    trainable, frozen = freezing.count(variables, ['backbone'])

A name is the path of a parameter, its parts joined by '/', such as
'backbone/mixed8/branch1_conv1/conv/kernel'. A pattern of the shell ('*', '?',
'[ab]') chooses every parameter whose path, or a leading part of it at a '/',
it matches as a whole, case included; '*' also matches '/'.

Running statistics are no parameters: no optimizer changes them. A batch norm
all of whose parameters are frozen keeps its own; see `norms`.
"""

from collections.abc import Iterable, Mapping, Sequence
import difflib
import fnmatch
from typing import Any, NamedTuple

import jax
import optax

from mammojax import errors

TRAINABLE = 'trainable'
FROZEN = 'frozen'


class Counts(NamedTuple):
  """Numbers of values.

  Attributes:
    trainable: parameters that learn.
    frozen: parameters that do not, and all running statistics.
  """

  trainable: int
  frozen: int


def labels(params: Any, patterns: Sequence[str]) -> Any:
  """What becomes of each parameter, as optax.multi_transform wants it.

  Args:
    params: a nested dictionary of arrays or of their shapes.
    patterns: what to freeze; see the module. None freezes nothing.

  Returns:
    The same tree with TRAINABLE or FROZEN for each array.

  Raises:
    UsageError: if a pattern matches no parameter, or is a plain string where
      a sequence of them is wanted.
  """
  _check(params, patterns)

  def label(path: Any, _: Any) -> str:
    return FROZEN if matches(path_name(path), patterns) else TRAINABLE

  return jax.tree_util.tree_map_with_path(label, params)


def matches(name: str, patterns: Sequence[str]) -> bool:
  """Whether a pattern matches a name or a leading part of it."""
  return _matches(_leading(name), patterns)


def hold(params: Any, patterns: Sequence[str]) -> Any:
  """The parameters, of which the frozen ones have no gradient.

  Their gradients then cost no time, and norms and clipping of gradients see
  the others alone.

  Args:
    params: a nested dictionary of arrays.
    patterns: what to freeze; see the module.

  Returns:
    The same tree.

  Raises:
    UsageError: as `labels`.
  """
  if not patterns:
    return params
  return jax.tree.map(
    lambda x, label: jax.lax.stop_gradient(x) if label == FROZEN else x,
    params,
    labels(params, patterns),
  )


def trainable_mask(params: Any, patterns: Sequence[str]) -> Any:
  """True for each parameter that learns.

  For weight decay and the like. Not for freezing by optax.masked, which passes
  on the gradient of what it leaves out: see `freeze`.

  Args:
    params: a nested dictionary of arrays or of their shapes.
    patterns: what to freeze; see the module.

  Returns:
    The same tree with a bool for each array.

  Raises:
    UsageError: as `labels`.
  """
  return jax.tree.map(lambda x: x == TRAINABLE, labels(params, patterns))


def freeze(
  optimizer: optax.GradientTransformation, patterns: Sequence[str]
) -> optax.GradientTransformationExtraArgs:
  """An optimizer that does not move the parameters chosen.

  It keeps no state for them, and their weight decay is off as well.

  Args:
    optimizer: what moves the others.
    patterns: what to freeze; see the module.

  Returns:
    GradientTransformationExtraArgs; its `init` raises as `labels` does.
  """
  parts = {TRAINABLE: optimizer, FROZEN: optax.set_to_zero()}
  return optax.multi_transform(parts, lambda tree: labels(tree, patterns))


def count(variables: Mapping[str, Any], patterns: Sequence[str] = ()) -> Counts:
  """How many values learn and how many do not, as Keras counts them.

  Args:
    variables: collections of a flax module, or their shapes by
      jax.eval_shape; 'params' among them.
    patterns: what is frozen, by its path inside 'params'.

  Returns:
    Counts, whose sum is all there is.

  Raises:
    UsageError: as `labels`.
  """
  params = variables['params']
  mask = jax.tree.leaves(trainable_mask(params, patterns))
  sizes = [x.size for x in jax.tree.leaves(params)]
  trainable = sum(n for n, learns in zip(sizes, mask, strict=True) if learns)
  total = sum(x.size for x in jax.tree.leaves(variables))
  return Counts(trainable, total - trainable)


def _check(params: Any, patterns: Sequence[str]) -> None:
  """Raises for a pattern that chooses nothing."""
  if isinstance(patterns, str):
    raise errors.UsageError(
      f'patterns must be a sequence of strings, got {patterns!r}; '
      f'write [{patterns!r}].'
    )
  paths = jax.tree_util.tree_leaves_with_path(params)
  names = {
    name: None for path, _ in paths for name in _leading(path_name(path))
  }
  for pattern in patterns:
    if _matches(names, [pattern]):
      continue
    near = difflib.get_close_matches(pattern, names, n=3)
    hint = f' Did you mean {" or ".join(map(repr, near))}?' if near else ''
    top = ', '.join(name for name in names if '/' not in name)
    raise errors.UsageError(
      f'Pattern {pattern!r} matches no parameter.{hint} Names begin with: '
      f'{top}.'
    )


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
  names = list(names)
  return any(
    fnmatch.fnmatchcase(name, pattern) for pattern in patterns for name in names
  )


def path_name(path: Any) -> str:
  """The name of a leaf, of its path as jax gives it."""
  return jax.tree_util.keystr(path, simple=True, separator='/')


def _leading(name: str) -> list[str]:
  """'a', 'a/b' and 'a/b/c' of 'a/b/c'."""
  parts = name.split('/')
  return ['/'.join(parts[: n + 1]) for n in range(len(parts))]
