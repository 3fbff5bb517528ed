"""Every way of choosing triplets by name, as a count per pair."""

from collections.abc import Callable
import functools

import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.mining import choices, regions


def of_pairs(dist, positive, column, margin) -> regions.Selection:
  """Counts of the triplets that a choice of negatives makes.

  Args:
    dist: float32[n, m].
    positive: bool[n, m].
    column: int32[n, m], as `choices.semihard` returns it.
    margin: float32[].

  Returns:
    regions.Selection.
  """
  is_chosen = positive & (column >= 0)
  dist_an = jnp.take_along_axis(dist, jnp.maximum(column, 0), axis=1)
  is_active = is_chosen & (dist_an < dist + margin)
  return regions.Selection(_count(is_chosen, column), _count(is_active, column))


def of_anchors(dist, choice, margin) -> regions.Selection:
  """Counts of one triplet an anchor; see `of_pairs`."""
  column = jnp.full(dist.shape, -1, jnp.int32)
  rows = jnp.arange(dist.shape[0], dtype=jnp.int32)
  has_one = choice.positive >= 0
  column = column.at[rows, choice.positive].set(
    jnp.where(has_one, choice.negative, -1), mode='drop',
    wrap_negative_indices=False,
  )  # fmt: skip
  return of_pairs(dist, column >= 0, column, margin)


def spread(values, column):
  """Adds values on positive pairs up at the negatives chosen for them.

  Args:
    values: number[n, m].
    column: int32[n, m]; -1 adds nowhere.

  Returns:
    number[n, m].
  """
  rows = jax.lax.broadcasted_iota(jnp.int32, column.shape, 0)
  return (
    jnp.zeros_like(values)
    .at[rows, column]
    .add(values, mode='drop', wrap_negative_indices=False)
  )


def _count(where, column):
  ones = where.astype(jnp.int32)
  return ones + spread(ones, jnp.where(where, column, -1))


def _by_pair(choose_fn, dist, positive, negative, margin):
  column = choose_fn(dist, positive, negative)
  return of_pairs(dist, positive, column, margin)


def _by_anchor(choose_fn, dist, positive, negative, margin):
  return of_anchors(dist, choose_fn(dist, positive, negative), margin)


def _semihard(dist, positive, negative, margin):
  column = choices.semihard(dist, positive, negative, margin)
  return of_pairs(dist, positive, column, margin)


# name -> (dist, positive, negative, margin) -> regions.Selection
SELECTIONS: dict[str, Callable[..., regions.Selection]] = {
  'all': regions.batch_all,
  'hard_region': regions.hard_region,
  'semihard_region': regions.semihard_region,
  'semihard': _semihard,
  'semihard_facenet': functools.partial(_by_pair, choices.semihard_facenet),
  'hard': functools.partial(_by_pair, choices.hard),
  'batch_hard': functools.partial(_by_anchor, choices.batch_hard),
  'batch_easy_positive_hard_negative': functools.partial(
    _by_anchor, choices.batch_easy_positive_hard_negative
  ),
  'batch_easy_positive_semihard': functools.partial(
    _by_anchor, choices.batch_easy_positive_semihard
  ),
}


def select(name: str, dist, positive, negative, margin) -> regions.Selection:
  """Applies the selection of that name.

  Args:
    name: key of SELECTIONS.
    dist: float32[n, m], smaller is closer.
    positive: bool[n, m].
    negative: bool[n, m].
    margin: float32[], at least 0; may be traced.

  Returns:
    regions.Selection.

  Raises:
    ValueError: unknown name.
  """
  check_name(name)
  return SELECTIONS[name](dist, positive, negative, margin)


def check_name(name: str) -> None:
  """Raises ValueError with the nearest name unless the selection exists."""
  if name not in SELECTIONS:
    raise errors.unknown('selection', name, SELECTIONS)
