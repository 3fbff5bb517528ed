"""Cross-entropy of a network that tells whether two images are the same."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import errors, numerics, pairs
from mammojax.losses import checks, reductions

REDUCTIONS = ('mean', 'sum')


class SiameseStats(NamedTuple):
  """What the pairs of a batch are like, over all devices; float32[] each.

  Attributes:
    num_selected: pairs that count.
    num_same: those of them that are the same.
    num_correct: those of them whose logit has the right sign; 0 says
      different.
  """

  num_selected: jax.Array
  num_same: jax.Array
  num_correct: jax.Array


def siamese_cross_entropy(
  logits,
  is_same,
  *,
  where=None,
  axis_name=None,
  reduction='mean',
  stats=False,
):
  """Binary cross-entropy of pair logits.

      log(1 + e^-z)  for a pair of the same
      log(1 + e^z)   for a pair of different

  Args:
    logits: float[n] or float[n, 1], z, this device's share of the pairs.
    is_same: bool[n].
    where: bool[n], pairs that count, or None for all; the logits of others
      are never read.
    axis_name: see `mammojax.losses`.
    reduction: 'mean' over pairs that count, or 'sum'; none that counts
      gives 0 with zero gradient.
    stats: return (loss, SiameseStats) instead of the loss.

  Returns:
    float32[], or (float32[], SiameseStats). No logit overflows.

  Raises:
    ValueError: shapes that do not fit or hold nothing, or an unknown
      reduction.
    TypeError: logits that are not floating, masks that are not bool.

  Source: Koch et al. 2015, Siamese neural networks for one-shot image
  recognition, section 3.2, without the weight decay.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  z = _as_vector(logits)
  _check_mask('is_same', is_same, z.shape)
  if where is None:
    where = jnp.ones_like(z, dtype=jnp.bool_)
  _check_mask('where', where, z.shape)
  z = jnp.where(where, z, 0.0)
  values = jax.nn.softplus(jnp.where(is_same, -z, z))
  counted = (
    jnp.sum(jnp.where(where, values, 0.0)),
    reductions.count(where),
    reductions.count(where & is_same),
    reductions.count(where & (is_same == (z > 0))),
  )
  if axis_name is not None:
    counted = jax.lax.psum(counted, axis_name)
  total, selected, same, correct = counted
  loss = numerics.divide(total, selected) if reduction == 'mean' else total
  return (loss, SiameseStats(selected, same, correct)) if stats else loss


def _as_vector(logits):
  if not jnp.issubdtype(logits.dtype, jnp.floating):
    raise TypeError(f'logits must be floating, got {logits.dtype}.')
  if logits.ndim not in (1, 2) or logits.shape[1:] not in ((), (1,)):
    raise errors.UsageError(
      f'logits must be [n] or [n, 1], got {logits.shape}.'
    )
  pairs.check_not_empty('The batch', logits)
  dtype = jnp.promote_types(logits.dtype, jnp.float32)
  return logits.reshape(-1).astype(dtype)


def _check_mask(name, value, shape):
  if value.dtype != jnp.bool_:
    raise TypeError(f'{name} must be bool{list(shape)}, got {value.dtype}.')
  if value.shape != shape:
    raise errors.UsageError(
      f'{name} must have shape {shape}, one value a pair, got {value.shape}.'
    )
