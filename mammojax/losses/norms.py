"""Regularisers on the lengths of embeddings.

For losses that do not see length, such as those on cosine similarity, or that
are free to shorten or stretch embeddings, such as N-pair:

    loss = losses.n_pair(x, labels) + 0.02 * norms.squared_norm(x, labels)

Each is `f(embeddings, labels=None, *, ..., axis_name=None)`:

  embeddings: float[b, d], this device's share of the batch, as the network
    made them: rows already normalised have nothing left to regularise.
  labels: int32[b] or Relation, of which only `valid` is used; None: all rows.
  reduction: 'mean' over the valid rows of all devices, or 'sum'; no
    valid row gives 0 with zero gradient.
  axis_name: device axis of the batch. Average gradients over it once.

All return float32[]. They raise ValueError for shapes that do not fit or hold
nothing and for unknown reductions, TypeError for embeddings that are not
floating.
"""

import jax
import jax.numpy as jnp

from mammojax import distances, numerics, pairs, relations
from mammojax.losses import checks

REDUCTIONS = ('mean', 'sum')


def squared_norm(embeddings, labels=None, *, reduction='mean', axis_name=None):
  """Mean of |f|^2.

  Args:
    embeddings: see the module, as all arguments.
    labels: see there.
    reduction: see there.
    axis_name: see there.

  Returns:
    float32[].

  Source: Sohn 2016, Improved deep metric learning with multi-class N-pair
  loss objective, section 3.2.2.
  """
  x, valid = _rows(embeddings, labels)
  return _reduce(jnp.sum(x * x, axis=1), valid, reduction, axis_name)


def norm_deviation(
  embeddings, labels=None, *, target=1.0, reduction='mean', axis_name=None
):
  """Mean of (|f| - target)^2.

  Args:
    embeddings: see the module, as all arguments not listed.
    labels: see there.
    target: float, the length wanted, at least 0; may be traced.
    reduction: see there.
    axis_name: see there.

  Returns:
    float32[]. The gradient at a zero row is 0, though it has no length yet.
  """
  target = checks.number('target', target)
  x, valid = _rows(embeddings, labels)
  return _reduce((_length(x) - target) ** 2, valid, reduction, axis_name)


def norm_spread(embeddings, labels=None, *, reduction='mean', axis_name=None):
  """Variance of the lengths: mean of (|f| - mean |f|)^2.

  Args:
    embeddings: see the module, as all arguments.
    labels: see there.
    reduction: see there; the mean length is a mean in either case.
    axis_name: see there; the mean length is that of all devices.

  Returns:
    float32[]. The variance divides by the number of rows, not by one less.
  """
  x, valid = _rows(embeddings, labels)
  length = _length(x)
  mean = _reduce(length, valid, 'mean', axis_name)
  return _reduce((length - mean) ** 2, valid, reduction, axis_name)


def _rows(embeddings, labels):
  """Widened rows, zero where they do not count, and which do."""
  x = distances.prepare(embeddings, 'euclidean')
  pairs.check_not_empty('The batch', x)
  if labels is None:
    return x, jnp.ones(x.shape[:1], jnp.bool_)
  relation = relations.as_relation(labels, x.shape[0])
  valid = relations.fill(relation).valid
  return jnp.where(valid[:, None], x, 0.0), valid


def _length(x):
  return numerics.safe_sqrt(jnp.sum(x * x, axis=1))


def _reduce(values, valid, reduction, axis_name):
  checks.one_of('reduction', reduction, REDUCTIONS)
  sums = (
    jnp.sum(jnp.where(valid, values, 0.0)),
    jnp.sum(valid, dtype=jnp.int32).astype(jnp.float32),
  )
  total, count = sums if axis_name is None else jax.lax.psum(sums, axis_name)
  return numerics.divide(total, count) if reduction == 'mean' else total
