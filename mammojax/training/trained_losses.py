"""Losses that train something of their own, and how that begins.

Each loss has the form f(embeddings, relation, params, ...), each beginning the
form (key, number of classes, embedding_dim, options) -> params.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mammojax import errors, losses, numerics, relations
from mammojax.models import heads

Params = Mapping[str, Any]


def class_weights(
  key: jax.Array, num_classes: int, dim: int, options: Mapping[str, Any]
) -> dict[str, Any]:
  """Directions of classes for arcface, soft_triplet and proxy_anchor."""
  centers = options.get('centers_per_class', 1)
  return {
    'class_weights': losses.init_class_weights(key, num_classes, dim, centers)
  }


def arcface(embeddings, relation, params: Params, **options):
  """`losses.arcface` with the weights among the parameters."""
  weights = params['class_weights']
  return losses.arcface(embeddings, relation, weights, **options)


def soft_triplet(embeddings, relation, params: Params, **options):
  """`losses.soft_triplet` with the weights among the parameters."""
  weights = params['class_weights']
  return losses.soft_triplet(embeddings, relation, weights, **options)


def proxy_anchor(embeddings, relation, params: Params, **options):
  """`losses.proxy_anchor` with the weights among the parameters."""
  weights = params['class_weights']
  return losses.proxy_anchor(embeddings, relation, weights, **options)


def classifier(
  key: jax.Array, num_classes: int, dim: int, options: Mapping[str, Any]
) -> dict[str, Any]:
  """A dense layer from embeddings to logits."""
  del options
  layer = heads.Mlp(hidden=(), dim=num_classes)
  return layer.init(key, jnp.zeros((1, dim)), train=False)['params']


def cross_entropy(
  embeddings,
  relation,
  params: Params,
  *,
  reduction: str = 'mean',
  axis_name: str | None = None,
  stats: bool = False,
):
  """Softmax cross-entropy of a dense layer on the embeddings.

      mean over valid rows of -log softmax(W f + b)_y

  Args:
    embeddings: float[b, d], this device's rows.
    relation: int32[b] labels or Relation; labels are class ids.
    params: what `classifier` made.
    reduction: 'mean' over valid rows, or 'sum'.
    axis_name: device axis over which sums and counts are reduced.
    stats: return (loss, losses.ClassStats) instead of the loss; its mean gap
      is the mean margin between the own logit and the largest other one.

  Returns:
    float32[], or (float32[], ClassStats).
  """
  if reduction not in ('mean', 'sum'):
    raise errors.unknown('reduction', reduction, ('mean', 'sum'))
  count = params['dense']['bias'].shape[0]
  logits = heads.Mlp(hidden=(), dim=count).apply(
    {'params': params}, embeddings, train=False
  )
  relation = relations.fill(
    relations.as_relation(relation, embeddings.shape[0])
  )
  own = jax.nn.one_hot(relation.label, count, dtype=jnp.bool_)
  value = optax.softmax_cross_entropy_with_integer_labels(
    logits, relation.label
  )
  others = jnp.max(jnp.where(own, -jnp.inf, logits), axis=1)
  gap = jax.lax.stop_gradient(
    jnp.sum(jnp.where(own, logits, 0.0), axis=1) - others
  )
  kept = [
    jnp.sum(jnp.where(relation.valid, each, 0.0))
    for each in (value, 1.0, gap > 0, jnp.where(count > 1, gap, 0.0))
  ]
  if axis_name is not None:
    kept = jax.lax.psum(kept, axis_name)
  total, rows, correct, gap = kept
  loss = numerics.divide(total, rows) if reduction == 'mean' else total
  if not stats:
    return loss
  return loss, losses.ClassStats(rows, correct, numerics.divide(gap, rows))


def logistic(
  logits,
  relation,
  *,
  reduction: str = 'mean',
  axis_name: str | None = None,
  stats: bool = False,
):
  """Binary cross-entropy of the logits that a network gives.

  Args:
    logits: float[b, 1], this device's rows.
    relation: int32[b] labels or Relation; label 1 is positive, 0 is not.
    reduction: 'mean' over valid rows, or 'sum'.
    axis_name: device axis over which sums and counts are reduced.
    stats: return (loss, losses.SiameseStats) instead of the loss.

  Returns:
    float32[], or (float32[], SiameseStats).
  """
  relation = relations.fill(relations.as_relation(relation, logits.shape[0]))
  return losses.siamese_cross_entropy(
    logits,
    relation.label == 1,
    where=relation.valid,
    axis_name=axis_name,
    reduction=reduction,
    stats=stats,
  )


def siamese_head(
  key: jax.Array, num_classes: int, dim: int, options: Mapping[str, Any]
) -> dict[str, Any]:
  """Dense layers from two embeddings side by side to one logit."""
  del num_classes
  layers = heads.Mlp(hidden=tuple(options['hidden']), dim=1)
  return layers.init(key, jnp.zeros((1, 2 * dim)), train=False)['params']


def siamese(
  embeddings,
  relation,
  params: Params,
  *,
  hidden=(128,),
  reduction: str = 'mean',
  axis_name: str | None = None,
  stats: bool = False,
):
  """Cross-entropy of "the same or not" over the pairs of rows 2i and 2i + 1.

  Args:
    embeddings: float[b, d], this device's rows, b even.
    relation: int32[b] labels or Relation; a pair is the same where labels
      agree, and counts where both rows are valid.
    params: what `siamese_head` made.
    hidden: widths of its layers.
    reduction: 'mean' over pairs, or 'sum'.
    axis_name: device axis over which sums and counts are reduced.
    stats: return (loss, losses.SiameseStats) instead of the loss.

  Returns:
    float32[], or (float32[], SiameseStats).

  Raises:
    ValueError: an odd number of rows.
  """
  rows = embeddings.shape[0]
  if rows % 2:
    raise errors.UsageError(
      f'loss.name=siamese needs an even number of rows a device, got {rows}.'
    )
  relation = relations.fill(relations.as_relation(relation, rows))
  joined = embeddings.reshape(rows // 2, -1)
  logits = heads.Mlp(hidden=tuple(hidden), dim=1).apply(
    {'params': params}, joined, train=False
  )
  label = relation.label.reshape(-1, 2)
  return losses.siamese_cross_entropy(
    logits,
    label[:, 0] == label[:, 1],
    where=jnp.all(relation.valid.reshape(-1, 2), axis=1),
    axis_name=axis_name,
    reduction=reduction,
    stats=stats,
  )
