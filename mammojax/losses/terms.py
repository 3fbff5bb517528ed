"""Terms of a loss per anchor or per pair, made and summed block by block.

    of = pairs.batch(embeddings, labels, distance=distance)

    def term_fn(dist, positive, negative, extras):
      return terms.pair_terms(values, positive)

    loss = terms.reduce(term_fn, of, reduction='mean', block=128, stats=False)

A block of anchors makes its distances, takes its log-sums and forgets them;
the backward pass makes them again.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mammojax import pairs
from mammojax.losses import reductions

# Smallest Python number that a loss divides by.
SMALLEST = 1e-6
# Log of an empty sum: far below every score, and finite, so that sums and
# differences of two of them are no NaN.
EMPTY = -1e30


class Terms(NamedTuple):
  """Terms of a block of anchors, summed for each anchor; float32[k] each.

  Attributes:
    total: sum of the values.
    num_selected: terms that count.
    num_active: those of them with a value above 0.
  """

  total: jax.Array
  num_selected: jax.Array
  num_active: jax.Array


def anchor_terms(values, where) -> Terms:
  """One term an anchor: float32[k] values that count where bool[k]."""
  return pair_terms(values[:, None], where[:, None])


def pair_terms(values, where) -> Terms:
  """One term a pair: float32[k, m] values that count where bool[k, m]."""
  values = jnp.where(where, values, 0.0)

  def count(mask):
    return jnp.sum(mask, axis=1, dtype=jnp.int32).astype(jnp.float32)

  return Terms(jnp.sum(values, axis=1), count(where), count(values > 0))


def reduce(
  term_fn: Callable[..., Terms],
  of: pairs.Batch,
  *,
  reduction: str,
  block: int,
  stats: bool,
  extras: tuple[Any, Any] = (None, None),
  dist_fn: Callable[..., jax.Array] | None = None,
):
  """Runs a loss over blocks of anchors and reduces it over all devices.

  Args:
    term_fn: (dist, positive, negative, extras) -> Terms, as `pairs.rows`.
    of: what `pairs.batch` returned.
    reduction: 'mean' over terms that count, 'mean_active' over those with a
      value above 0, or 'sum'.
    block: anchors at a time.
    stats: return (loss, AnchorStats) instead of the loss.
    extras: see `pairs.rows`.
    dist_fn: (dist, extras) -> what takes the place of dist; None keeps it.

  Returns:
    float32[], or (float32[], AnchorStats). No term gives 0 with zero
    gradient.
  """

  def row_fn(dist, positive, negative, extras):
    dist = dist if dist_fn is None else dist_fn(dist, extras)
    found = term_fn(dist, positive, negative, extras)
    gap = reductions.row_gap(dist, positive, negative) if stats else None
    return found, gap

  found, gap = pairs.rows(row_fn, of, extras, block=block)
  total, selected, active = of.total(jax.tree.map(jnp.sum, found))
  loss = reductions.reduced(total, selected, active, reduction)
  if not stats:
    return loss
  return loss, reductions.anchor_stats(of, selected, active, *gap)


def similarity(dist, distance):
  """1 - d for cosine, -d for every other distance: larger is closer."""
  return 1.0 - dist if distance == 'cosine' else -dist


def log_sum(scores, where):
  """Log of the sum of exp(scores) over a mask: float32[k, 1].

  Args:
    scores: float32[k, m].
    where: bool[k, m].

  Returns:
    EMPTY, with zero gradient, where nothing counts.
  """
  some = jnp.any(where, axis=1, keepdims=True)
  largest = jnp.max(jnp.where(where, scores, EMPTY), axis=1, keepdims=True)
  largest = jax.lax.stop_gradient(largest)
  # Guarded before the exponential too: a masked score may be far above.
  shifted = jnp.where(where, scores - largest, EMPTY)
  total = jnp.sum(jnp.exp(shifted), axis=1, keepdims=True)
  return jnp.where(some, largest + jnp.log(jnp.where(some, total, 1.0)), EMPTY)
