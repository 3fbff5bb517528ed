"""From semi-hard to hard triplets, once: by step, or when the loss stalls.

    state = curriculum.init('stall', patience=200)

    def loss_fn(embeddings, relation, state):
      easy = functools.partial(
        losses.batch_all_triplet, margin=0.2, selection='semihard_region'
      )
      hard = functools.partial(losses.batch_all_triplet, margin=0.2)
      return curriculum.select(state, easy, hard, embeddings, relation)

    state = curriculum.update(state, loss, margin=0.2)

The state is a pytree, to be jitted, replicated and checkpointed; whatever
`easy` and `hard` are, they return the same shapes. There is no way back: the
hard selection's loss is another, and says nothing about the first.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from mammojax import errors

SWITCHES = ('step', 'stall')
STALLS = ('margin', 'anywhere')


@dataclasses.dataclass(frozen=True)
class Rule:
  """When to switch; static, hashable. See `init`."""

  switch: str
  at_step: int
  stall_at: str
  patience: int
  tolerance: float
  min_drop: float
  decay: float


_DATA = ('step', 'hard', 'mean', 'weight', 'best', 'num_near', 'num_flat')


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=_DATA, meta_fields=('rule',)
)
@dataclasses.dataclass(frozen=True)
class CurriculumState:
  """Where a training is between semi-hard and hard.

  Attributes:
    step: int32[], updates so far.
    hard: bool[], the switch has been made.
    mean: float32[], running mean of the loss.
    weight: float32[], share of the running mean that is filled.
    best: float32[], the mean when it last fell by `min_drop`.
    num_near: int32[], updates in a row with the mean at the margin.
    num_flat: int32[], updates since `best`.
    rule: Rule.
  """

  step: jax.Array
  hard: jax.Array
  mean: jax.Array
  weight: jax.Array
  best: jax.Array
  num_near: jax.Array
  num_flat: jax.Array
  rule: Rule


def init(
  switch: str = 'step',
  *,
  at_step: int = 0,
  stall_at: str = 'margin',
  patience: int = 100,
  tolerance: float = 0.05,
  min_drop: float = 0.01,
  decay: float = 0.9,
) -> CurriculumState:
  """The state before the first step.

  With m_t = decay m_(t-1) + (1 - decay) loss_t, divided by 1 - decay^t, a
  loss stalls after `patience` updates in a row with

      |m_t - margin| <= tolerance * margin          stall_at 'margin'
      the same, or m_t >= (1 - min_drop) * best     stall_at 'anywhere'

  where best is the mean m of the last update for which the second did not
  hold. Each of the two conditions is counted on its own.

  Args:
    switch: 'step' or 'stall'.
    at_step: for 'step', the number of semi-hard steps.
    stall_at: for 'stall', 'margin' (where a collapsed network's loss lies) or
      'anywhere'.
    patience: for 'stall', at least 1.
    tolerance: above 0, as a share of the margin.
    min_drop: in [0, 1), the fall of the mean that counts as progress.
    decay: in [0, 1), of the running mean.

  Returns:
    CurriculumState.

  Raises:
    ValueError: an unknown name or a number out of its range.
  """
  if switch not in SWITCHES:
    raise errors.unknown('curriculum switch', switch, SWITCHES)
  if stall_at not in STALLS:
    raise errors.unknown('stall', stall_at, STALLS)
  infinity = float('inf')
  for name, value, low, high in (
    ('at_step', at_step, 0, infinity),
    ('patience', patience, 1, infinity),
    ('tolerance', tolerance, 0, infinity),
    ('min_drop', min_drop, 0, 0.999999),
    ('decay', decay, 0, 0.999999),
  ):
    if not low <= value <= high:
      raise errors.UsageError(
        f'{name} must lie in [{low}, {high}], got {value}.'
      )
  rule = Rule(switch, at_step, stall_at, patience, tolerance, min_drop, decay)
  return CurriculumState(
    step=jnp.zeros((), jnp.int32),
    hard=jnp.asarray(switch == 'step' and at_step == 0),
    mean=jnp.zeros((), jnp.float32),
    weight=jnp.zeros((), jnp.float32),
    best=jnp.full((), jnp.inf, jnp.float32),
    num_near=jnp.zeros((), jnp.int32),
    num_flat=jnp.zeros((), jnp.int32),
    rule=rule,
  )


def update(
  state: CurriculumState, loss: jax.Array, margin: jax.Array | float
) -> CurriculumState:
  """Takes in the loss of a step, and switches when it is time.

  Args:
    state: CurriculumState.
    loss: float32[], equal on all devices; one that is not finite counts as a
      step and is otherwise passed over.
    margin: float32[] or number, of this step.

  Returns:
    CurriculumState for the next step.
  """
  rule = state.rule
  step = state.step + 1
  if rule.switch == 'step':
    hard = state.hard | (step >= rule.at_step)
    return dataclasses.replace(state, step=step, hard=hard)
  loss, margin = jax.lax.stop_gradient(
    (jnp.asarray(loss, jnp.float32), jnp.asarray(margin, jnp.float32))
  )
  seen = _take_in(state, loss, margin)
  is_finite = jnp.isfinite(loss)
  seen = jax.tree.map(
    lambda new, old: jnp.where(is_finite, new, old), seen, state
  )
  stalls = seen.num_near >= rule.patience
  if rule.stall_at == 'anywhere':
    stalls |= seen.num_flat >= rule.patience
  return dataclasses.replace(seen, step=step, hard=state.hard | stalls)


def _take_in(state, loss, margin):
  """The running mean with this loss, and for how long it has stood still."""
  rule = state.rule
  weight = rule.decay * state.weight + (1.0 - rule.decay)
  mean = state.mean + (1.0 - rule.decay) / weight * (loss - state.mean)
  is_near = jnp.abs(mean - margin) <= rule.tolerance * margin
  is_flat = mean >= (1.0 - rule.min_drop) * state.best
  return dataclasses.replace(
    state,
    mean=mean,
    weight=weight,
    best=jnp.where(is_flat, state.best, mean),
    num_near=jnp.where(is_near, state.num_near + 1, 0),
    num_flat=jnp.where(is_flat, state.num_flat + 1, 0),
  )


def is_hard(state: CurriculumState) -> jax.Array:
  """bool[]: the switch has been made."""
  return state.hard


def select(
  state: CurriculumState,
  easy_fn: Callable[..., Any],
  hard_fn: Callable[..., Any],
  *operands: Any,
) -> Any:
  """Calls one of two functions, differentiable in the operands.

  Args:
    state: CurriculumState.
    easy_fn: operands -> pytree; called until the switch.
    hard_fn: operands -> pytree of the same shapes and dtypes.
    *operands: pytrees of arrays.

  Returns:
    What the chosen function returns; the other is not run (under vmap both
    are).
  """
  return jax.lax.cond(state.hard, hard_fn, easy_fn, *operands)
