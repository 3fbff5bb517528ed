"""Float64 loops over every selection, choice and pair filter, by definition.

Nothing here imports the package. A selection is the list of its triplets
(a, p, n); counts, columns and losses follow from the list. Decisions are made
on the distances given, in their own precision: where they hang on the last
bit, pass the float32 distances that the code under test had before its eyes.
"""

import numpy as np
import reference

PAIR_CHOICES = ('semihard', 'semihard_facenet', 'hard')
ANCHOR_CHOICES = (
  'batch_hard',
  'batch_easy_positive_hard_negative',
  'batch_easy_positive_semihard',
)
SELECTIONS = reference.SELECTIONS + PAIR_CHOICES + ANCHOR_CHOICES


def triplets(name, dist, positive, negative, margin):
  """The list of (a, p, n) that the named selection keeps."""
  margin = dist.dtype.type(margin)
  chosen = []
  for a in range(len(dist)):
    row = dist[a]
    own = [int(p) for p in np.flatnonzero(positive[a])]
    others = [int(n) for n in np.flatnonzero(negative[a])]
    if name in reference.SELECTIONS:
      chosen += [
        (a, p, n)
        for p in own
        for n in others
        if reference.is_selected(row[p], row[n], margin, name)
      ]
    elif name in PAIR_CHOICES:
      for p in own:
        n = _negative_of_pair(name, row, p, others, margin)
        chosen += [] if n is None else [(a, p, n)]
    elif own and others:
      chosen += _of_anchor(name, a, row, own, others)
  return chosen


def _first(columns, row, sign):
  """The first column of the smallest sign * distance; None without any."""
  best = None
  for column in columns:
    if best is None or sign * row[column] < sign * row[best]:
      best = column
  return best


def _negative_of_pair(name, row, p, others, margin):
  if name == 'hard':
    return _first(others, row, 1)
  beyond = [n for n in others if row[n] > row[p]]
  if name == 'semihard':
    return _first([n for n in beyond if row[n] < row[p] + margin], row, 1)
  if name == 'semihard_facenet':
    return _first(beyond, row, 1) if beyond else _first(others, row, -1)
  raise ValueError(name)


def _of_anchor(name, a, row, own, others):
  if name == 'batch_hard':
    return [(a, _first(own, row, -1), _first(others, row, 1))]
  nearest = _first(own, row, 1)
  if name == 'batch_easy_positive_semihard':
    others = [n for n in others if row[n] > row[nearest]]
  elif name != 'batch_easy_positive_hard_negative':
    raise ValueError(name)
  return [(a, nearest, _first(others, row, 1))] if others else []


def counts(chosen, dist, margin):
  """How many kept and how many active triplets each pair is in: int [n, m]."""
  selected, active = np.zeros(dist.shape, int), np.zeros(dist.shape, int)
  margin = dist.dtype.type(margin)
  for a, p, n in chosen:
    for column in (p, n):
      selected[a, column] += 1
      active[a, column] += dist[a, n] < dist[a, p] + margin
  return selected, active


def columns(chosen, shape):
  """The negative of each positive pair, int [n, m]; -1 where there is none."""
  out = np.full(shape, -1)
  for a, p, n in chosen:
    out[a, p] = n
  return out


def next_negative(dist, positive, negative):
  """The nearest negative beyond each positive, without a margin."""
  return columns(
    triplets('semihard', dist, positive, negative, np.inf), dist.shape
  )


def triplet_loss(
  dist, chosen, margin, soft=False, reduction='mean', num_pairs=None
):
  """Hinge, or log(1 + exp), of d_ap - d_an + margin over listed triplets.

  Returns:
    (value, weights [n, m], number listed, number with a hinge above 0).
    'mean_pairs' divides by `num_pairs`.
  """
  total, weights, num_active = 0.0, np.zeros(dist.shape), 0
  for a, p, n in chosen:
    excess = dist[a, p] - dist[a, n] + margin
    num_active += excess > 0
    if soft:
      total += np.logaddexp(0.0, excess)
      slope = 1.0 / (1.0 + np.exp(-excess))
    else:
      total += max(0.0, excess)
      slope = float(excess > 0)
    weights[a, p] += slope
    weights[a, n] -= slope
  count = {
    'mean': len(chosen),
    # A soft margin is above 0 for every triplet.
    'mean_active': len(chosen) if soft else num_active,
    'mean_pairs': num_pairs,
    'sum': 1,
  }[reduction]
  if not count:
    return 0.0, np.zeros(dist.shape), len(chosen), num_active
  return total / count, weights / count, len(chosen), num_active


def pair_margin(dist, positive, negative, positive_margin, negative_margin):
  """Masks of positives farther, negatives nearer than their margin."""
  kept = np.zeros(dist.shape, bool), np.zeros(dist.shape, bool)
  for i, j in np.ndindex(dist.shape):
    kept[0][i, j] = positive[i, j] and dist[i, j] > positive_margin
    kept[1][i, j] = negative[i, j] and dist[i, j] < negative_margin
  return kept


def multi_similarity(dist, positive, negative, epsilon):
  """Masks of pairs that some pair of the other kind makes informative.

  A positive is kept if d_ap > d_an - epsilon for any negative, a negative if
  d_an < d_ap + epsilon for any positive.
  """
  epsilon = dist.dtype.type(epsilon)
  kept = np.zeros(dist.shape, bool), np.zeros(dist.shape, bool)
  for a, p, n in reference.triplets(positive, negative):
    kept[0][a, p] |= dist[a, p] > dist[a, n] - epsilon
    kept[1][a, n] |= dist[a, n] < dist[a, p] + epsilon
  return kept


def draw_probabilities(
  dist, negative, dim, cutoff=0.5, nonzero_loss_cutoff=1.4
):
  """Chance of each negative in Wu's distance-weighted draw: [n, m].

  min(1 / q(cutoff), 1 / q(d)) with q(d) = d^(dim-2) (1 - d^2/4)^((dim-3)/2),
  normalised over the negatives nearer than the outer cut-off; rows without
  any are 0.
  """

  def inverse_density(d):
    density = d ** (dim - 2) * (1.0 - d * d / 4.0) ** ((dim - 3) / 2)
    return 1.0 / density if density > 0 else np.inf

  out = np.zeros(dist.shape)
  for a, n in np.ndindex(dist.shape):
    d = float(dist[a, n])
    if negative[a, n] and d < nonzero_loss_cutoff:
      out[a, n] = min(inverse_density(cutoff), inverse_density(d))
  total = out.sum(1, keepdims=True)
  return out / np.where(total > 0, total, 1.0)


def facenet_by_masks(squared, labels, margin):
  """TensorFlow Addons' semi-hard loss on squared distances, for labels alone.

  The masked minima and maxima of its formula, row by row; it divides by the
  ordered positive pairs. Every anchor must have a negative.
  """
  total, num_pairs = 0.0, 0
  for i in range(len(labels)):
    is_other = labels != labels[i]
    farthest = ((squared[i] - squared[i].min()) * is_other).max()
    farthest += squared[i].min()
    for j in range(len(labels)):
      if j == i or labels[j] != labels[i]:
        continue
      num_pairs += 1
      outside = is_other & (squared[i] > squared[i, j])
      nearest = ((squared[i] - squared[i].max()) * outside).min()
      nearest += squared[i].max()
      other = nearest if outside.any() else farthest
      total += max(0.0, margin + squared[i, j] - other)
  return total / num_pairs
