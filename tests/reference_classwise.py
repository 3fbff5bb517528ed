"""Float64 loops behind losses on class weights, adaptive, Siamese and norms.

Nothing here imports the package. Losses on class weights take embeddings,
labels, a mask of rows that count, and class weights; their gradients come from
`reference.central_differences`. Losses on triplets return (value, weights by
distance) as in `reference`.
"""

import math

import numpy as np
import reference


def _unit(v):
  return v / np.sqrt(np.sum(v * v))


def _softmax_loss(logits, label):
  """-log of the share of one logit, shifted by the largest."""
  top = max(logits)
  total = sum(math.exp(logit - top) for logit in logits)
  return math.log(total) + top - logits[label]


def _reduced(values, reduction):
  if reduction == 'sum' or not values:
    return float(sum(values))
  return float(sum(values)) / len(values)


def cosines(x, weights):
  """Float64 [rows, centers]."""
  rows, units = (np.array(v, np.float64) for v in (x, weights))
  rows /= np.sqrt(np.sum(rows * rows, axis=1, keepdims=True))
  units /= np.sqrt(np.sum(units * units, axis=1, keepdims=True))
  return np.einsum('id,jd->ij', rows, units)


def arcface(x, label, valid, weights, scale, margin, reduction='mean'):
  values = []
  for cos, own, counts in zip(cosines(x, weights), label, valid, strict=True):
    if not counts:
      continue
    angle = math.acos(min(max(cos[own], -1.0), 1.0))
    logits = [scale * c for c in cos]
    if angle < math.pi - margin:
      logits[own] = scale * math.cos(angle + margin)
    else:
      logits[own] = scale * (math.cos(angle) - margin * math.sin(margin))
    values.append(_softmax_loss(logits, own))
  return _reduced(values, reduction)


def class_similarity(x, weights, count, gamma):
  """Relaxed similarity of rows to classes of `count` centers."""
  out = []
  for cos in cosines(x, weights):
    row = []
    for start in range(0, len(cos), count):
      own = cos[start : start + count]
      share = [math.exp((c - max(own)) / gamma) for c in own]
      parts = zip(share, own, strict=True)
      row.append(sum(s * c for s, c in parts) / sum(share))
    out.append(row)
  return np.array(out)


def soft_triplet(
  x, label, valid, weights, count, gamma, scale, margin, tau, reduction='mean'
):
  values = []
  sims = class_similarity(x, weights, count, gamma)
  for sim, own, counts in zip(sims, label, valid, strict=True):
    if counts:
      logits = [scale * s for s in sim]
      logits[own] = scale * (sim[own] - margin)
      values.append(_softmax_loss(logits, own))
  spread, classes = 0.0, len(weights) // count
  for c in range(classes):
    for k in range(count):
      for other in range(k + 1, count):
        one, two = weights[c * count + k], weights[c * count + other]
        gap = _unit(np.asarray(one, np.float64)) - _unit(
          np.asarray(two, np.float64)
        )
        spread += math.sqrt(np.sum(gap * gap))
  if count > 1:
    spread /= classes * count * (count - 1)
  return _reduced(values, reduction) + tau * spread


def proxy_anchor(x, label, valid, weights, alpha, margin, reduction='mean'):
  cos = cosines(x, weights)
  pulls, pushes = [], []
  for c in range(len(weights)):
    near, far, has_row = 1.0, 1.0, False
    for i, own in enumerate(label):
      if not valid[i]:
        continue
      if own == c:
        has_row = True
        near += math.exp(-alpha * (cos[i, c] - margin))
      else:
        far += math.exp(alpha * (cos[i, c] + margin))
    pushes.append(math.log(far))
    if has_row:
      pulls.append(math.log(near))
  return _reduced(pulls, reduction) + _reduced(pushes, reduction)


def class_stats(sims, label, valid):
  """(rows, rows nearest their own class, mean gap to the nearest other)."""
  gaps = []
  for sim, own, counts in zip(sims, label, valid, strict=True):
    if counts:
      others = [s for c, s in enumerate(sim) if c != own]
      gaps.append(sim[own] - max(others))
  return len(gaps), sum(gap > 0 for gap in gaps), float(np.mean(gaps))


def sct(
  dist, positive, negative, weight, threshold, temperature, reduction='mean'
):
  """Easiest positive, hardest negative; level ones share the gradient."""
  values, slopes = [], np.zeros(dist.shape)
  for a in range(len(dist)):
    if not (positive[a].any() and negative[a].any()):
      continue
    dist_ap, dist_an = dist[a][positive[a]].min(), dist[a][negative[a]].min()
    nearest_p = positive[a] & (dist[a] == dist_ap)
    nearest_n = negative[a] & (dist[a] == dist_an)
    sim_ap, sim_an = 1.0 - dist_ap, 1.0 - dist_an
    if sim_an > sim_ap or sim_an > threshold:
      values.append(weight * sim_an)
      slopes[a][nearest_n] -= weight / nearest_n.sum()
      continue
    ratio = math.exp((sim_an - sim_ap) / temperature)
    values.append(math.log(1.0 + ratio))
    slope = ratio / (1.0 + ratio) / temperature
    slopes[a][nearest_p] += slope / nearest_p.sum()
    slopes[a][nearest_n] -= slope / nearest_n.sum()
  count = max(len(values), 1) if reduction == 'mean' else 1
  return float(sum(values)) / count, slopes / count


def wat(dist, positive, negative, k, reduction='mean'):
  """Triplet by triplet, each with a margin of its own."""
  total, slopes, kept = 0.0, np.zeros(dist.shape), 0
  for a, p, n in reference.triplets(positive, negative):
    gap = (1.0 - dist[a, p]) - (1.0 - dist[a, n])
    margin = (2.0 - 2.0 * gap) / (4.0 - k) + k
    if gap > margin:
      continue
    kept += 1
    total += max(margin - gap, 0.0)
    slopes[a, p] += 1.0
    slopes[a, n] -= 1.0
  count = max(kept, 1) if reduction == 'mean' else 1
  return total / count, slopes / count, kept


def siamese(logits, is_same, where, reduction='mean'):
  """From probabilities, as far as float64 carries them."""
  values = []
  for z, same, counts in zip(logits, is_same, where, strict=True):
    if counts:
      share = 1.0 / (1.0 + math.exp(-float(z)))
      values.append(-math.log(share if same else 1.0 - share))
  return _reduced(values, reduction)


def lengths(x, valid):
  rows = np.asarray(x, np.float64)[np.asarray(valid)]
  return [math.sqrt(sum(v * v for v in row)) for row in rows]


def squared_norm(x, valid, reduction='mean'):
  return _reduced([norm**2 for norm in lengths(x, valid)], reduction)


def norm_deviation(x, valid, target, reduction='mean'):
  norms = lengths(x, valid)
  return _reduced([(norm - target) ** 2 for norm in norms], reduction)


def norm_spread(x, valid, reduction='mean'):
  norms = lengths(x, valid)
  mean = sum(norms) / max(len(norms), 1)
  return _reduced([(norm - mean) ** 2 for norm in norms], reduction)
