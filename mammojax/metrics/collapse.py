"""Signs that an embedding has collapsed, and what to do about it.

  found = collapse.spread(embeddings)
  message = collapse.diagnose(found, active_fraction=0.99)   # str or None

A collapsed network maps every image to the same point, or onto a line. The
loss then rests at its margin with zero gradient, which looks like slow
training unless the embeddings themselves are looked at.
"""

import numpy as np

from mammojax import errors

# Two unit vectors at cosine 0.99 are 8 degrees apart.
MAX_MEAN_COSINE = 0.99
# An embedding that varies along one line has effective rank 1.
MIN_EFFECTIVE_RANK = 1.5
# Beyond this share every triplet violates its margin.
MAX_ACTIVE_FRACTION = 0.98
# Variance of unit vectors that float32 rounding alone can make.
_ROUNDING = 1e-10


def spread(embeddings: np.ndarray) -> dict[str, float]:
  """How far embeddings are from being one point.

  Rows are first scaled to unit length, in float64; zero rows stay zero.

      mean_cosine    = (|sum_i u_i|^2 - sum_i |u_i|^2) / (n (n - 1))
      effective_rank = exp(-sum_k p_k log p_k),  p = s / sum(s),
                       s the singular values of the centred covariance
      std            = sqrt(trace of the covariance)

  Args:
    embeddings: float32[n, d], n at least 2, finite.

  Returns:
    'mean_cosine': mean over all pairs of different rows, in [-1, 1].
    'effective_rank': from 1 (a line) to min(n - 1, d); 0.0 where the variance
      is no more than rounding, the rank of nothing.
    'std': from 0 (one point) to 1 (mean vector zero), whatever d is.

  Raises:
    UsageError: wrong shape or fewer than two rows.
    DataError: a row that is not finite.

  Source: Roy & Vetterli 2007, The effective rank: a measure of effective
  dimensionality, EUSIPCO, applied to the covariance matrix.
  """
  x = np.asarray(embeddings, np.float64)
  if x.ndim != 2 or len(x) < 2:
    raise errors.UsageError(
      f'embeddings must be [n, d] with n >= 2, got {x.shape}.'
    )
  bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
  if len(bad):
    raise errors.DataError(
      f'Embedding row {int(bad[0])} is not finite ({len(bad)} of {len(x)}).'
    )
  norm = np.linalg.norm(x, axis=1, keepdims=True)
  unit = x / np.where(norm > 0.0, norm, 1.0)
  total = unit.sum(axis=0)
  pairs = len(x) * (len(x) - 1)
  centred = unit - total / len(x)
  values = np.linalg.svd(centred, compute_uv=False) ** 2 / len(x)
  variance = float(values.sum())
  rank = 0.0
  if variance > _ROUNDING:
    share = values[values > 0.0] / variance
    rank = float(np.exp(-np.sum(share * np.log(share))))
  return {
    'mean_cosine': float((total @ total - np.square(unit).sum()) / pairs),
    'effective_rank': rank,
    'std': float(np.sqrt(variance)),
  }


def diagnose(
  found: dict[str, float], active_fraction: float | None = None
) -> str | None:
  """A warning that names collapse and its remedies, or None.

  Args:
    found: the result of `spread`, of validation embeddings.
    active_fraction: share of the triplets with a loss above zero in the last
      steps, if known. It adds to the warning and raises none by itself: a
      network that has just started may violate every margin.

  Returns:
    One warning, or None when the embeddings are spread out.
  """
  cosine, rank = found['mean_cosine'], found['effective_rank']
  if cosine >= MAX_MEAN_COSINE or rank == 0.0:
    sign = f'all images map to nearly one point (mean cosine {cosine:.4f})'
  elif rank < MIN_EFFECTIVE_RANK:
    sign = f'all images lie along one line (effective rank {rank:.2f})'
  else:
    return None
  if active_fraction is not None and active_fraction >= MAX_ACTIVE_FRACTION:
    sign += f', and {active_fraction:.0%} of the triplets violate the margin'
  return (
    f'The embedding has collapsed: {sign}. Rankings are then chance. Try '
    'semi-hard instead of hardest negatives, a lower learning rate or a '
    'warm-up, larger batches with more subjects, and normalisation of the '
    'embedding (L2, batch norm).'
  )
