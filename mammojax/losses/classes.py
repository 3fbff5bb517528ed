"""What losses on class weights share: rows beside classes, and statistics."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mammojax import distances, errors, numerics, pairs, relations
from mammojax.losses import reductions, terms


class ClassStats(NamedTuple):
  """What the rows of a batch are like, over all devices; float32[] each.

  Attributes:
    num_selected: valid rows.
    num_correct: those of them nearest their own class.
    mean_gap: mean of the similarity to the own class minus that to the
      nearest other class; without another class minus -1.
  """

  num_selected: jax.Array
  num_correct: jax.Array
  mean_gap: jax.Array


def compare(embeddings, labels, class_weights, axis_name, centers=1):
  """Pairs the rows of this device with the centers of all classes.

  Args:
    embeddings: float[b, d].
    labels: int32[b] or Relation, of which only label and validity are used.
    class_weights: float[classes * centers, d].
    axis_name: device axis of the rows, or None.
    centers: rows of class_weights for each class.

  Returns:
    (pairs.Batch with the centers as gallery, bool[b] rows whose label is no
    class, all False where labels are known).

  Raises:
    ValueError: shapes that do not fit, or a known label that is no class.
    TypeError: arrays that are not floating, labels that are not int32.
  """
  distances.check_rows(embeddings)
  if centers < 1:
    raise errors.UsageError(
      f'centers_per_class must be at least 1, got {centers}.'
    )
  shape = jnp.shape(class_weights)
  width = jnp.shape(embeddings)[-1:]
  if (
    len(shape) != 2 or shape[1:] != width or not shape[0] or shape[0] % centers
  ):
    raise errors.UsageError(
      f'class_weights must be [classes * {centers}, d] with d of the '
      f'embeddings {jnp.shape(embeddings)}, got {shape}.'
    )
  relation = relations.as_relation(labels, jnp.shape(embeddings)[0])
  num_classes = shape[0] // centers
  outside = _labels_outside(relation, num_classes)
  row = jnp.arange(shape[0], dtype=jnp.int32)
  classes = relations.Relation(row // centers, item=-1 - row)
  rows = relations.Relation(
    relation.label, jnp.arange(relation.label.shape[0], dtype=jnp.int32),
    relation.valid,
  )  # fmt: skip
  of = pairs.batch(
    embeddings, rows, gallery=(class_weights, classes), axis_name=axis_name
  )
  return of, outside


def _labels_outside(relation, num_classes):
  """Valid rows with a label outside [0, classes); an error if not traced."""
  label, valid = relation.label, relation.valid
  traced = [isinstance(leaf, jax.core.Tracer) for leaf in (label, valid)]
  if not any(traced):
    known = np.asarray(label)
    bad = (known < 0) | (known >= num_classes)
    bad &= True if valid is None else np.asarray(valid)
    if bad.any():
      row = int(np.argmax(bad))
      raise errors.UsageError(
        f'Row {row} has label {known[row]}, but class_weights hold classes 0 '
        f'to {num_classes - 1}. Make dense class ids on the host.'
      )
  is_outside = (label < 0) | (label >= num_classes)
  return is_outside if valid is None else is_outside & valid


def stop_at(of, outside, loss):
  """The loss, or NaN in value and gradient if any device met such a label."""
  is_bad = of.total(reductions.count(outside)) > 0
  return loss * jnp.where(is_bad, jnp.nan, 1.0)


def cross_entropy(logits, own):
  """-log softmax of the own class, float32[k]; small values keep digits."""
  target = jnp.sum(jnp.where(own, logits, 0.0), axis=1)
  return jax.nn.softplus(terms.log_sum(logits, ~own)[:, 0] - target)


def row_stats(sim, own):
  """Similarity to the own class minus that to the nearest other, [k]."""
  sim = jax.lax.stop_gradient(sim)
  target = jnp.sum(jnp.where(own, sim, 0.0), axis=1)
  return target - jnp.max(jnp.where(own, -1.0, sim), axis=1)


def stats_of_rows(of, block):
  """ClassStats where the loss itself never sees a row beside all classes."""

  def row_fn(dist, positive, negative, extras):
    del negative, extras
    return row_stats(1.0 - dist, positive)

  gap = pairs.rows(row_fn, of, block=block)
  return _as_stats(of, gap)


def _as_stats(of, gap):
  valid = of.anchor_relation.valid
  gap = jnp.where(valid, gap, 0.0)
  total, selected, correct = of.total(
    (jnp.sum(gap), reductions.count(valid), reductions.count(gap > 0))
  )
  return ClassStats(selected, correct, numerics.divide(total, selected))


def reduce(of, values, gap, outside, reduction, stats):
  """From values and gaps per row to what the loss returns."""
  loss, _, _ = reductions.over_anchors(
    of, values, of.anchor_relation.valid, reduction
  )
  loss = stop_at(of, outside, loss)
  return (loss, _as_stats(of, gap)) if stats else loss
