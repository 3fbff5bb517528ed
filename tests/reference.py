"""Float64 loops that define what the metric-learning core must return.

Nothing here imports the package. Every loss is the plain triple or double loop
of its definition and returns (value, weights), with weights[i, j] the
derivative of the value by the distance of anchor i and gallery row j;
`pull_back` turns those into the gradient of the embeddings. The tests check
that chain against central differences, so a wrong derivative here cannot hide
one in the package.

Where a decision (selected or not, active or not) hangs on the last bit, pass
`decide`: the float32 distances that the code under test had before its eyes.
"""

import itertools

import numpy as np

# Distances and batches belong to the reference and are found under its name.
from reference_batches import batches as batches
from reference_distances import DISTANCES as DISTANCES
from reference_distances import central_differences as central_differences
from reference_distances import distances as distances
from reference_distances import gradient as gradient
from reference_distances import pull_back as pull_back

SELECTIONS = ('all', 'semihard_region', 'hard_region')


def masks(
  label,
  gallery_label=None,
  item=None,
  gallery_item=None,
  valid=None,
  gallery_valid=None,
  group=None,
  gallery_group=None,
  same_item='ignored',
  same_group='kept',
  offset=0,
):
  """Positive and negative bool [n, m]; the gallery defaults to the batch."""
  own = gallery_label is None
  if own:
    gallery_label, gallery_item = label, item
    gallery_valid, gallery_group = valid, group
  n, m = len(label), len(gallery_label)
  positive, negative = np.zeros((n, m), bool), np.zeros((n, m), bool)
  for i, j in itertools.product(range(n), range(m)):
    if valid is not None and not valid[i]:
      continue
    if gallery_valid is not None and not gallery_valid[j]:
      continue
    itself = i + offset == j
    if item is not None:
      same = item[i] == gallery_item[j]
      if same and (same_item == 'ignored' or itself):
        continue
    elif itself:
      continue
    if same_group == 'ignored' and group[i] == gallery_group[j]:
      continue
    if same_group == 'only' and group[i] != gallery_group[j]:
      continue
    if int(label[i]) == int(gallery_label[j]):
      positive[i, j] = True
    else:
      negative[i, j] = True
  return positive, negative


def triplets(positive, negative):
  """Every valid (a, p, n)."""
  for a in range(len(positive)):
    for p in np.flatnonzero(positive[a]):
      for n in np.flatnonzero(negative[a]):
        yield a, p, n


def is_selected(dist_ap, dist_an, margin, selection):
  """Whether the named selection keeps a triplet; gap = d_an - d_ap."""
  if selection == 'all':
    return True
  if selection == 'semihard_region':
    return dist_an > dist_ap and dist_an <= dist_ap + margin
  if selection == 'hard_region':
    return dist_an <= dist_ap and dist_an <= dist_ap + margin
  raise ValueError(selection)


def cross_counts(dist, positive, negative, shift, inclusive=False):
  """(below, above): int [n, m], counted triplet by triplet.

  below[a, p] counts negatives with d_an < d_ap + shift, above[a, n] positives
  with d_ap + shift > d_an; `inclusive` admits equality. The arithmetic has the
  precision of `dist`.
  """
  below, above = np.zeros(dist.shape, int), np.zeros(dist.shape, int)
  shift = dist.dtype.type(shift)
  for a, p, n in triplets(positive, negative):
    bound = dist[a, p] + shift
    if dist[a, n] < bound or (inclusive and dist[a, n] == bound):
      below[a, p] += 1
      above[a, n] += 1
  return below, above


def _reduced(total, weights, num_selected, num_active, reduction):
  count = {'mean': num_selected, 'mean_active': num_active, 'sum': 1}[reduction]
  if not count:
    return 0.0, np.zeros_like(weights)
  return total / count, weights / count


def batch_all_triplet(
  dist,
  positive,
  negative,
  margin,
  selection='all',
  reduction='mean',
  decide=None,
):
  """max(0, d_ap - d_an + margin) over the selected triplets.

  Returns:
    (value, weights [n, m], number selected, number with a loss above 0).
  """
  decide = dist if decide is None else decide
  bound = decide.dtype.type(margin)
  total, weights = 0.0, np.zeros(dist.shape)
  num_selected = num_active = 0
  for a, p, n in triplets(positive, negative):
    if not is_selected(decide[a, p], decide[a, n], bound, selection):
      continue
    num_selected += 1
    if decide[a, n] < decide[a, p] + bound:
      num_active += 1
      total += dist[a, p] - dist[a, n] + margin
      weights[a, p] += 1.0
      weights[a, n] -= 1.0
  value, weights = _reduced(total, weights, num_selected, num_active, reduction)
  return value, weights, num_selected, num_active


def adatriplet_paper(
  dist,
  positive,
  negative,
  margin,
  beta,
  negative_weight=1.0,
  selection='all',
  reduction='mean',
):
  """Equation 1 of Nguyen et al. over the selected triplets, dist = 1 - phi."""
  total, weights, num_selected, num_active = 0.0, np.zeros(dist.shape), 0, 0
  for a, p, n in triplets(positive, negative):
    if not is_selected(dist[a, p], dist[a, n], margin, selection):
      continue
    num_selected += 1
    sim_ap, sim_an = 1.0 - dist[a, p], 1.0 - dist[a, n]
    hinge = sim_an - sim_ap + margin
    excess = sim_an - beta
    if hinge > 0:
      total += hinge
      weights[a, p] += 1.0
      weights[a, n] -= 1.0
    if excess > 0:
      total += negative_weight * excess
      weights[a, n] -= negative_weight
    num_active += hinge > 0 or excess > 0
  value, weights = _reduced(total, weights, num_selected, num_active, reduction)
  return value, weights


def negative_pairs(positive, negative):
  """Unordered negative pairs (i < j) that occur in some valid triplet."""
  found = {(min(a, n), max(a, n)) for a, _, n in triplets(positive, negative)}
  return sorted((int(i), int(j)) for i, j in found)


def adatriplet_code(
  dist,
  positive,
  negative,
  margin,
  beta,
  negative_weight=1.0,
  selection='semihard_region',
):
  """The authors' release: two means, triplets and unordered negative pairs."""
  value, weights, _, _ = batch_all_triplet(
    dist, positive, negative, margin, selection, 'mean_active'
  )
  kept = [
    pair
    for pair in negative_pairs(positive, negative)
    if 1.0 - dist[pair] >= beta
  ]
  for pair in kept:
    value += negative_weight * (1.0 - dist[pair] - beta) / len(kept)
    weights[pair] -= negative_weight / len(kept)
  return value, weights


def contrastive(
  dist,
  positive,
  negative,
  positive_margin=0.0,
  margin=1.0,
  squared=False,
  reduction='mean',
):
  """Positives beyond, negatives within their margin, over ordered pairs."""
  total, weights, num_pairs, num_active = 0.0, np.zeros(dist.shape), 0, 0
  for i, j in np.ndindex(dist.shape):
    if not (positive[i, j] or negative[i, j]):
      continue
    num_pairs += 1
    sign = 1.0 if positive[i, j] else -1.0
    bound = positive_margin if positive[i, j] else margin
    excess = max(sign * (dist[i, j] - bound), 0.0)
    if excess > 0:
      num_active += 1
      total += excess**2 if squared else excess
      weights[i, j] = sign * (2.0 * excess if squared else 1.0)
  return _reduced(total, weights, num_pairs, num_active, reduction)


def margin_means(dist, positive, negative):
  """Means that AutoMargin reads, over every valid triplet, one by one.

  Returns:
    dict of gap, an (a pair counts once for each positive), an_pairs (once for
    each unordered pair), num_triplets, num_pairs; means are None when empty.
  """
  gaps, sims = [], []
  for a, p, n in triplets(positive, negative):
    gaps.append(dist[a, n] - dist[a, p])
    sims.append(1.0 - dist[a, n])
  pairs = [1.0 - dist[pair] for pair in negative_pairs(positive, negative)]
  return {
    'gap': float(np.mean(gaps)) if gaps else None,
    'an': float(np.mean(sims)) if sims else None,
    'an_pairs': float(np.mean(pairs)) if pairs else None,
    'num_triplets': len(gaps),
    'num_pairs': len(pairs),
  }


def automargin(mean_gap, mean_an, k_gap=2.0, k_an=2.0, form='paper'):
  """Equations 2 and 3 with the clamps of the form; returns (margin, beta)."""
  margin, beta = mean_gap / k_gap, 1.0 + (mean_an - 1.0) / k_an
  if form == 'paper':
    below_two = float(np.nextafter(np.float32(2), np.float32(0)))
    return min(max(margin, 0.0), below_two), min(max(beta, 0.0), 1.0)
  return max(margin, 0.0), beta
