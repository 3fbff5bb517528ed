"""Pair losses over a whole batch, block by block, in one forward scan.

A loss that is linear in the distances, with weights that a small change of
the embeddings does not change, has the gradient of sum(weights * dist) with
the weights held constant (`docs/losses.md`). `scan` computes the value and
that gradient of one block of anchors at a time and forgets the block, so
that nothing quadratic is ever stored:

    terms, sums = pairs.scan(weigh_fn, batch)

`weigh_fn(dist, positive, negative, extras)` returns
`(weights, values, sums)`: one float32[k, m] of pair weights per term, one
float32[] value per term, and a pytree of float32[] sums that need no
gradient.
"""

from collections.abc import Callable
import functools
import numbers
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mammojax import distances, errors, numerics, relations

BLOCK = 128


class Batch(NamedTuple):
  """Anchors of this device and the gallery of all devices, prepared.

  Attributes:
    anchors: float32[n, d], prepared for the distance.
    gallery: float32[m, d], prepared for the distance.
    anchor_relation: n rows, items and validity filled in.
    gallery_relation: m rows, likewise.
    anchor_row: int32[n], the gallery row that is this very anchor, or -1
      where the gallery is another set.
    distance: key of `distances.DISTANCES`.
    axis_name: device axis over which sums are reduced, or None.
    is_self: the gallery is the batch itself.
  """

  anchors: jax.Array
  gallery: jax.Array
  anchor_relation: relations.Relation
  gallery_relation: relations.Relation
  anchor_row: jax.Array
  distance: str
  axis_name: str | None
  is_self: bool

  def total(self, tree):
    """Sums a pytree over the devices."""
    return (
      tree if self.axis_name is None else jax.lax.psum(tree, self.axis_name)
    )


def batch(
  embeddings: jax.Array,
  labels: jax.Array | relations.Relation,
  *,
  distance: str = 'cosine',
  gallery: tuple[jax.Array, relations.Relation] | None = None,
  axis_name: str | None = None,
) -> Batch:
  """Pairs the anchors of this device with the gallery of all devices.

  Args:
    embeddings: float[b, d], this device's share of the batch.
    labels: int32[b] or Relation, likewise.
    distance: key of `distances.DISTANCES`.
    gallery: (float[m, d], Relation with item ids) to use in place of the
      batch, the same on every device; None: the batch itself, gathered over
      `axis_name`.
    axis_name: device axis of the batch, or None on one device.

  Returns:
    Batch.

  Raises:
    ValueError: shapes that do not fit or hold nothing, an explicit gallery
      without item ids on both sides, an unknown name.
    TypeError: embeddings that are not floating, ids that are not int32.
  """
  check_not_empty('The batch', embeddings)
  prepared = distances.prepare(embeddings, distance)
  num_rows = prepared.shape[0]
  relation = relations.as_relation(labels, num_rows)
  offset = 0
  if axis_name is not None:
    offset = jax.lax.axis_index(axis_name).astype(jnp.int32) * num_rows
  local = relations.fill(relation, offset)
  row = jnp.arange(num_rows, dtype=jnp.int32) + offset
  if gallery is None:
    others, other_relation = gather((prepared, local), axis_name)
  else:
    others, other_relation = _check_gallery(gallery, relation, prepared)
    others = distances.prepare(others, distance)
    row = jnp.full_like(row, -1)
  return Batch(
    anchors=prepared,
    gallery=others,
    anchor_relation=local,
    gallery_relation=other_relation,
    anchor_row=row,
    distance=distance,
    axis_name=axis_name,
    is_self=gallery is None,
  )


def fixed(of: Batch) -> Batch:
  """The same batch, through which no gradient flows."""
  return of._replace(
    anchors=jax.lax.stop_gradient(of.anchors),
    gallery=jax.lax.stop_gradient(of.gallery),
  )


def gather(tree, axis_name: str | None):
  """Concatenates the shares of all devices along the first axis."""
  if axis_name is None:
    return tree
  return jax.lax.all_gather(tree, axis_name, tiled=True)


def per_anchor(row_fn: Callable[..., jax.Array], of: Batch) -> jax.Array:
  """Applies a function of the masks to blocks of anchors.

  Args:
    row_fn: (positive bool[k, m], negative bool[k, m]) -> array [k].
    of: what `batch` returned.

  Returns:
    Array [n], without gradient. Time O(n m), memory O(block m).
  """
  rows = (of.anchor_relation, of.anchor_row)
  blocks = jax.tree.map(functools.partial(split, block=BLOCK), rows)
  values = jax.lax.map(
    lambda block: row_fn(
      *relations.masks(block[0], of.gallery_relation, anchor_row=block[1])
    ),
    blocks,
  )
  return values.reshape(-1)[: of.anchors.shape[0]]


def rows(
  row_fn: Callable[..., Any],
  of: Batch,
  extras: tuple[Any, Any] = (None, None),
  *,
  block: int = BLOCK,
) -> Any:
  """Per-anchor values of a loss that is no hinge, differentiable at will.

  For softmaxes and whatever else is not linear in the distances: a block of
  distances is made, reduced to one value an anchor and forgotten; the
  backward pass makes it again.

  Args:
    row_fn: (dist float32[k, m], positive bool[k, m], negative bool[k, m],
      (anchor extras [k, ...], gallery extras [m, ...])) -> pytree of
      [k, ...].
    of: what `batch` returned.
    extras: (pytree of [n, ...], pytree of [m, ...]); they may need gradients.
    block: anchors at a time, at least 1.

  Returns:
    What row_fn returns, [n, ...]: of the anchors of this device only, so sum
    with `of.total`. Time O(n m d) in one product forward and three backward;
    memory O(block m).
  """
  anchor_extras, gallery_extras = extras
  num_rows = of.anchors.shape[0]
  per_row = (of.anchors, of.anchor_relation, of.anchor_row, anchor_extras)
  blocks = jax.tree.map(functools.partial(split, block=block), per_row)

  @jax.checkpoint
  def visit(block_rows):
    x, relation, row, extra = block_rows
    positive, negative = relations.masks(
      relation, of.gallery_relation, anchor_row=row
    )
    dist = distances.between(x, of.gallery, of.distance)
    return row_fn(dist, positive, negative, (extra, gallery_extras))

  values = jax.lax.map(visit, blocks)
  return jax.tree.map(
    lambda leaf: leaf.reshape((-1,) + leaf.shape[2:])[:num_rows], values
  )


def check_not_empty(name: str, rows: jax.Array) -> None:
  """Refuses an array without entries; `name` is for the message."""
  if 0 in rows.shape:
    raise errors.UsageError(f'{name} must not be empty, got {rows.shape}.')


def _check_gallery(gallery, relation, prepared):
  others, other_relation = gallery
  check_not_empty('The gallery', others)
  if others.ndim != 2 or others.shape[1] != prepared.shape[1]:
    raise ValueError(
      f'The gallery must be [m, {prepared.shape[1]}] like the embeddings, '
      f'got {others.shape}.'
    )
  other_relation = relations.as_relation(other_relation, others.shape[0])
  if relation.item is None or other_relation.item is None:
    raise ValueError(
      'An explicit gallery needs item ids on both sides '
      '(relations.Relation(label, item=...)): without them an image could '
      'become its own positive.'
    )
  return others, relations.fill(other_relation)


def scan(
  weigh_fn: Callable[..., tuple[tuple, tuple, Any]],
  of: Batch,
  extras: tuple[Any, Any] = (None, None),
  *,
  num_terms: int = 1,
  block: int = BLOCK,
) -> tuple[tuple[jax.Array, ...], Any]:
  """Sums of a pair-weighted loss over all anchors, differentiable.

  Args:
    weigh_fn: see the module; called once per block of anchors.
    of: what `batch` returned.
    extras: (pytree of [n, ...] per anchor, pytree of [m, ...] per gallery
      row); `weigh_fn` gets the anchors' rows of its block and all gallery
      rows.
    num_terms: how many weights and values `weigh_fn` returns.
    block: anchors at a time, at least 1.

  Returns:
    (terms, sums): one float32[] per term, whose gradient with respect to the
    embeddings is exact, and the sums; both over all devices. Time
    O(n m d) in three products; memory O(block m).
  """
  anchors = jax.lax.stop_gradient(of.anchors)
  gallery = numerics.vary_like(jax.lax.stop_gradient(of.gallery).T, anchors)
  anchor_extras, gallery_extras = jax.lax.stop_gradient(extras)
  rows = (anchors, of.anchor_relation, of.anchor_row, anchor_extras)
  blocks = jax.tree.map(functools.partial(split, block=block), rows)
  columns = jnp.swapaxes(blocks[0], 1, 2)

  def visit(gallery_grads, block_rows):
    (x, relation, row, extra), x_columns = block_rows
    positive, negative = relations.masks(
      relation, of.gallery_relation, anchor_row=row
    )

    compare_fn = functools.partial(distances.between_columns, name=of.distance)
    dist, pull_back = jax.vjp(compare_fn, x, x_columns, gallery)
    weights, values, sums = weigh_fn(
      dist, positive, negative, (extra, gallery_extras)
    )
    grads = [pull_back(weight) for weight in weights]
    gallery_grads = tuple(
      total + grad
      for total, (_, _, grad) in zip(gallery_grads, grads, strict=True)
    )
    return gallery_grads, (tuple(grad for grad, _, _ in grads), values, sums)

  zeros = numerics.vary_like((jnp.zeros_like(gallery),) * num_terms, anchors)
  gallery_grads, (anchor_grads, values, sums) = jax.lax.scan(
    visit, zeros, (blocks, columns)
  )
  values, sums = jax.tree.map(lambda leaf: jnp.sum(leaf, 0), (values, sums))
  num_rows = anchors.shape[0]
  terms = tuple(
    value
    + only_gradient(of.anchors, grad.reshape(-1, grad.shape[-1])[:num_rows])
    + only_gradient(of.gallery, gallery_grad.T)
    for value, grad, gallery_grad in zip(
      values, anchor_grads, gallery_grads, strict=True
    )
  )
  return of.total(terms), of.total(sums)


def split(leaf, block):
  """[n, ...] -> [blocks, block, ...]; padding rows are zero, so not valid."""
  if not isinstance(block, numbers.Integral) or block < 1:
    raise errors.UsageError(f'block must be an int above 0, got {block!r}.')
  num_rows = leaf.shape[0]
  block = min(block, max(num_rows, 1))
  padding = [(0, -num_rows % block)] + [(0, 0)] * (leaf.ndim - 1)
  return jnp.pad(leaf, padding).reshape((-1, block) + leaf.shape[1:])


def only_gradient(x, grad):
  """0 in value, `grad` in gradient."""
  return jnp.sum(grad * (x - jax.lax.stop_gradient(x)))
