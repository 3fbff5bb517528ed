"""What each pair of images is: positive, negative or ignored.

A relation is held as vectors, one value a row, and becomes masks only for the
block of anchors in hand:

    relation = relations.Relation(label, item=item, valid=valid)
    positive, negative = relations.masks(relation, relation)

Every loss, miner and metric that takes labels takes a Relation instead.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mammojax import errors

SAME_ITEM = ('ignored', 'positive')
SAME_GROUP = ('kept', 'ignored', 'only')


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=['label', 'item', 'valid', 'group'],
  meta_fields=['same_item', 'same_group'],
)
@dataclasses.dataclass(frozen=True)
class Relation:
  """Rows of a batch or a gallery, and the rules that make pairs of them.

  Attributes:
    label: int32[b], dense ids of what is matched. Two rows are positive where
      labels agree, negative where they differ.
    item: int32[b], the image itself. A row is never its own positive. None:
      the item is the row of the global batch.
    valid: bool[b]; False rows (padding) take part in no pair. None: all do.
    group: int32[b], such as one exam. None: every row is its own group.
    same_item: what two rows of one image are, when it occurs twice (drawn
      with replacement, each copy augmented on its own): 'ignored', or
      'positive' for any two different rows. Needs both rows in one batch.
    same_group: 'ignored' drops pairs that share a group; 'only' drops all
      others, see `drawn`.
  """

  label: jax.Array
  item: jax.Array | None = None
  valid: jax.Array | None = None
  group: jax.Array | None = None
  same_item: str = 'ignored'
  same_group: str = 'kept'


def as_relation(labels: 'jax.Array | Relation', num_rows: int) -> Relation:
  """Wraps labels, and checks that every vector fits the embeddings.

  Args:
    labels: int32[b] or a Relation.
    num_rows: b, the rows of the embeddings.

  Returns:
    Relation.

  Raises:
    TypeError: label, item or group is not int32, or valid is not bool.
    ValueError: a vector of another length, or an unknown rule.
  """
  relation = labels if isinstance(labels, Relation) else Relation(labels)
  if relation.same_item not in SAME_ITEM:
    raise errors.unknown('same_item rule', relation.same_item, SAME_ITEM)
  if relation.same_group not in SAME_GROUP:
    raise errors.unknown('same_group rule', relation.same_group, SAME_GROUP)
  for name, dtype in (
    ('label', jnp.int32),
    ('item', jnp.int32),
    ('valid', jnp.bool_),
    ('group', jnp.int32),
  ):
    value = getattr(relation, name)
    if value is None and name != 'label':
      continue
    if getattr(value, 'dtype', None) != dtype:
      got = getattr(value, 'dtype', type(value).__name__)
      raise TypeError(
        f'{name} must be {jnp.dtype(dtype).name}[{num_rows}], got {got}. '
        'Make dense int32 ids on the host.'
      )
    if value.shape != (num_rows,):
      raise ValueError(
        f'{name} must have shape ({num_rows},) like the rows of the '
        f'embeddings, got {value.shape}.'
      )
  return relation


def fill(relation: Relation, offset: jax.Array | int = 0) -> Relation:
  """Gives missing item ids (the global row) and validity (all) a value.

  Args:
    relation: as `as_relation` returns it.
    offset: int32[], global row of the first row.

  Returns:
    Relation with `item` and `valid` set.
  """
  num_rows = relation.label.shape[0]
  item, valid = relation.item, relation.valid
  if item is None:
    item = jnp.arange(num_rows, dtype=jnp.int32) + offset
  if valid is None:
    valid = jnp.ones_like(relation.label, dtype=jnp.bool_)
  return dataclasses.replace(relation, item=item, valid=valid)


def masks(
  anchor: Relation,
  gallery: Relation,
  anchor_row: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
  """Positive and negative pairs between anchors and gallery rows.

  Args:
    anchor: n rows; both rules are read from it.
    gallery: m rows.
    anchor_row: int32[n], the gallery row that is this very anchor; needed
      only for same_item='positive'. None: anchor i is gallery row i.

  Returns:
    (positive, negative), bool[n, m] each; a pair in neither is ignored.

  Raises:
    TypeError: ids that are not int32, or validity that is not bool.
    ValueError: vectors of unlike length, an unknown rule, or a rule without
      the ids it needs.
  """
  anchor, gallery = (
    fill(as_relation(side, jnp.size(side.label))) for side in (anchor, gallery)
  )
  if anchor_row is None:
    anchor_row = jnp.arange(anchor.label.shape[0], dtype=jnp.int32)
  columns = jnp.arange(gallery.label.shape[0], dtype=jnp.int32)
  return paired(
    jax.tree.map(lambda leaf: leaf[:, None], anchor),
    jax.tree.map(lambda leaf: leaf[None, :], gallery),
    anchor_row[:, None] == columns[None, :],
  )


def paired(
  anchor: Relation, other: Relation, is_same_row: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """What row i of one relation is to row i of the other.

  Args:
    anchor: filled in; both rules are read from it.
    other: filled in, of a shape that broadcasts with the anchors'.
    is_same_row: bool[n], the two are one row of one batch; matters only for
      same_item='positive'.

  Returns:
    (positive, negative), bool[n] each.

  Raises:
    ValueError: a rule without the ids it needs.
  """
  exists = jnp.logical_and(anchor.valid, other.valid)
  is_same_label = anchor.label == other.label
  if anchor.same_item == 'positive':
    exists &= ~is_same_row
  else:
    exists &= anchor.item != other.item
  if anchor.same_group != 'kept':
    if anchor.group is None or other.group is None:
      raise ValueError(
        f'same_group={anchor.same_group!r} needs a group for anchors and '
        'gallery.'
      )
    is_same_group = anchor.group == other.group
    exists &= is_same_group == (anchor.same_group == 'only')
  return exists & is_same_label, exists & ~is_same_label


def drawn(relation: Relation, position: jax.Array, size: int) -> Relation:
  """Leaves of all pairs those within one drawn tuple of the batch.

  For batches of pairs (size 2) or triplets (size 3) that lie one after
  another. Of a triplet a, p, n the loss then sees (a, p, n) and, with the
  roles of a and p exchanged, (p, a, n).

  Args:
    relation: of this device's rows.
    position: int32[b], the row of the global batch.
    size: rows of a tuple.

  Returns:
    The relation with tuples as groups.
  """
  return dataclasses.replace(
    relation, group=position // size, same_group='only'
  )
