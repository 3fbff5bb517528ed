"""Cross-batch memory: embeddings of past steps as a gallery of any loss.

    state = memory.init(size=4096, dim=128, warmup_steps=1000)

    def objective(params, state):
      embeddings = embed(params, images)
      state = memory.enqueue(state, embeddings, relation)
      loss = losses.contrastive(embeddings, relation)
      loss += losses.contrastive(
        embeddings, relation, gallery=memory.gallery(state)
      )
      return loss, state

That is the source's use: the batch enters first, then the loss over the batch
and the loss over the memory are added. Slots that hold nothing yet are not
valid, so the second loss is 0, with zero gradient, until there is something.
Item ids go along: an image is never compared with a copy of itself, whether
it came this step or a thousand steps ago. (Keep the relation's
same_item='ignored': 'positive' needs both copies in one batch.)

The state is a pytree of static shapes, to be jitted, donated, replicated and
checkpointed like parameters; it is equal on all devices.

Source: Wang et al. 2020, arXiv:1912.06798, section 3.3 and algorithm 1.
Differs: copies are told by item id; the source drops pairs with a similarity
of almost 1.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mammojax import errors, relations

_DATA = ('embeddings', 'label', 'item', 'group', 'valid', 'cursor', 'step')


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=_DATA,
  meta_fields=('warmup_steps',),
)
@dataclasses.dataclass(frozen=True)
class MemoryState:
  """A ring of the newest rows.

  Attributes:
    embeddings: float32[size, dim].
    label: int32[size].
    item: int32[size].
    group: int32[size]; 0 for relations without one.
    valid: bool[size], slots that hold a row.
    cursor: int32[], the slot that is written next.
    step: int32[], calls of `enqueue` so far.
    warmup_steps: calls of `enqueue` that store nothing.
  """

  embeddings: jax.Array
  label: jax.Array
  item: jax.Array
  group: jax.Array
  valid: jax.Array
  cursor: jax.Array
  step: jax.Array
  warmup_steps: int


def init(size: int, dim: int, *, warmup_steps: int = 0) -> MemoryState:
  """An empty memory.

  Args:
    size: rows it holds; more than a batch, or it adds nothing.
    dim: width of the embeddings.
    warmup_steps: first calls of `enqueue` that store nothing, while
      embeddings still move too fast to be compared with later ones (the
      source waits for 1,000).

  Returns:
    MemoryState.

  Raises:
    ValueError: a size or width below 1, or warmup_steps below 0.
  """
  for name, value, low in (
    ('size', size, 1),
    ('dim', dim, 1),
    ('warmup_steps', warmup_steps, 0),
  ):
    if value < low:
      raise errors.UsageError(f'{name} must be at least {low}, got {value}.')
  return MemoryState(
    embeddings=jnp.zeros((size, dim), jnp.float32),
    label=jnp.zeros(size, jnp.int32),
    item=jnp.zeros(size, jnp.int32),
    group=jnp.zeros(size, jnp.int32),
    valid=jnp.zeros(size, jnp.bool_),
    cursor=jnp.zeros((), jnp.int32),
    step=jnp.zeros((), jnp.int32),
    warmup_steps=warmup_steps,
  )


def enqueue(
  state: MemoryState,
  embeddings: jax.Array,
  relation: relations.Relation,
  axis_name: str | None = None,
) -> MemoryState:
  """Puts the global batch into the ring, in place of its oldest rows.

  Args:
    state: MemoryState.
    embeddings: float[b, dim], this device's share; stored as float32 without
      gradient.
    relation: Relation with item ids; rows that are not valid take no slot.
    axis_name: device axis of the batch, or None on one device.

  Returns:
    MemoryState, equal on all devices. Of a batch larger than the memory the
    last rows stay.

  Raises:
    ValueError: no item ids, or shapes that do not fit.
    TypeError: ids that are not int32.
  """
  rows = _check(state, embeddings, relation)
  rows = _gather(jax.lax.stop_gradient(rows), axis_name)
  size = state.label.shape[0]
  valid = rows.pop('valid')
  rank = jnp.cumsum(valid, dtype=jnp.int32) - 1
  total = rank[-1] + 1
  is_stored = (
    valid & (rank >= total - size) & (state.step >= state.warmup_steps)
  )
  # One row for each slot at most; what is not stored falls off the end.
  slot = jnp.where(is_stored, (state.cursor + rank) % size, size)
  written = {
    name: getattr(state, name).at[slot].set(value, mode='drop')
    for name, value in rows.items()
  }
  moved = jnp.where(state.step >= state.warmup_steps, total, 0)
  return dataclasses.replace(
    state,
    **written,
    valid=state.valid.at[slot].set(True, mode='drop'),
    cursor=(state.cursor + moved) % size,
    step=state.step + 1,
  )


def gallery(state: MemoryState) -> tuple[jax.Array, relations.Relation]:
  """What the argument `gallery` of a loss takes.

  Returns:
    (float32[size, dim], Relation); slots that hold nothing are not valid.
  """
  relation = relations.Relation(
    state.label, item=state.item, valid=state.valid, group=state.group
  )
  return state.embeddings, relation


def is_warm(state: MemoryState) -> jax.Array:
  """bool[]: the warm-up is over and something is stored."""
  return jnp.any(state.valid)


def _check(state, embeddings, relation):
  dim = state.embeddings.shape[1]
  if embeddings.ndim != 2 or embeddings.shape[1] != dim:
    raise errors.UsageError(
      f'The memory holds embeddings [b, {dim}], got {embeddings.shape}.'
    )
  relation = relations.as_relation(relation, embeddings.shape[0])
  if relation.item is None:
    raise errors.UsageError(
      'A memory needs item ids (relations.Relation(label, item=...)): without '
      'them an image could meet its own copy as a positive.'
    )
  relation = relations.fill(relation)
  group = relation.group
  return {
    'embeddings': embeddings.astype(jnp.float32),
    'label': relation.label,
    'item': relation.item,
    'group': jnp.zeros_like(relation.label) if group is None else group,
    'valid': relation.valid,
  }


def _gather(rows, axis_name):
  """Shares of all devices, typed as equal on all: a sum with zeros."""
  if axis_name is None:
    return rows
  index = jax.lax.axis_index(axis_name)
  count = jax.lax.axis_size(axis_name)

  def gather(leaf):
    words = leaf.astype(jnp.int32) if leaf.dtype == jnp.bool_ else leaf
    slots = jnp.zeros((count,) + leaf.shape, words.dtype)
    summed = jax.lax.psum(slots.at[index].set(words), axis_name)
    return summed.reshape((-1,) + leaf.shape[1:]).astype(leaf.dtype)

  return jax.tree.map(gather, rows)
