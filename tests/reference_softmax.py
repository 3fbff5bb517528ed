"""Float64 loops for the softmax and pair-weighting losses.

Nothing here imports the package. Every loss is its paper's formula with the
exponentials written out, a loop over anchors and pairs, and returns the list
of the terms that count; `reduced` makes one number of them. `sim` is a
similarity: larger is closer.
"""

import math

import numpy as np
import reference


def similarity(x, y, distance):
  """1 - d for cosine, inner products for 'inner', -d otherwise."""
  if distance == 'inner':
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return np.array([[float(np.sum(a * b)) for b in y] for a in x])
  dist = reference.distances(x, y, distance)
  return 1.0 - dist if distance == 'cosine' else -dist


def nt_xent(sim, positive, negative, temperature=0.1):
  """One value for each ordered positive pair."""
  values = []
  for a, p in zip(*np.nonzero(positive), strict=True):
    own = math.exp(sim[a, p] / temperature)
    rest = sum(
      math.exp(sim[a, n] / temperature) for n in np.flatnonzero(negative[a])
    )
    values.append(-math.log(own / (own + rest)))
  return values


def supcon(sim, positive, negative, temperature=0.1, positives='outside'):
  """One value for each anchor that has a positive and a negative."""
  values = []
  for a in range(len(sim)):
    ps, ns = np.flatnonzero(positive[a]), np.flatnonzero(negative[a])
    if not (len(ps) and len(ns)):
      continue
    every = sum(math.exp(sim[a, j] / temperature) for j in [*ps, *ns])
    shares = [math.exp(sim[a, p] / temperature) / every for p in ps]
    if positives == 'inside':
      values.append(-math.log(sum(shares) / len(ps)))
    else:
      values.append(-sum(math.log(share) for share in shares) / len(ps))
  return values


def n_pair(sim, positive, negative):
  """One value for each ordered positive pair."""
  values = []
  for a, p in zip(*np.nonzero(positive), strict=True):
    rest = sum(
      math.exp(sim[a, n] - sim[a, p]) for n in np.flatnonzero(negative[a])
    )
    values.append(math.log(1.0 + rest))
  return values


def multi_similarity(
  sim, positive, negative, alpha=2.0, beta=50.0, base=0.5, epsilon=0.1
):
  """One value for each anchor that has any pair."""
  values = []
  for a in range(len(sim)):
    ps, ns = np.flatnonzero(positive[a]), np.flatnonzero(negative[a])
    if not (len(ps) or len(ns)):
      continue
    kept_ps, kept_ns = list(ps), list(ns)
    if epsilon is not None:
      kept_ps = [p for p in ps if any(sim[a, p] < sim[a, ns] + epsilon)]
      kept_ns = [n for n in ns if any(sim[a, n] > sim[a, ps] - epsilon)]
    pull = sum(math.exp(-alpha * (sim[a, p] - base)) for p in kept_ps)
    push = sum(math.exp(beta * (sim[a, n] - base)) for n in kept_ns)
    values.append(math.log1p(pull) / alpha + math.log1p(push) / beta)
  return values


def circle(sim, positive, negative, relaxation=0.25, scale=80.0, held=None):
  """One value for each anchor with both; weights come from `held`."""
  held = sim if held is None else held
  values = []
  for a in range(len(sim)):
    ps, ns = np.flatnonzero(positive[a]), np.flatnonzero(negative[a])
    if not (len(ps) and len(ns)):
      continue
    pull = push = 0.0
    for p in ps:
      weight = max(1 + relaxation - held[a, p], 0.0)
      pull += math.exp(-scale * weight * (sim[a, p] - (1 - relaxation)))
    for n in ns:
      weight = max(held[a, n] + relaxation, 0.0)
      push += math.exp(scale * weight * (sim[a, n] - relaxation))
    values.append(math.log1p(push * pull))
  return values


def lifted_structure(dist, positive, negative, margin=1.0, soft=False):
  """Hermans' form: one value for each anchor with both."""
  values = []
  for a in range(len(dist)):
    ps, ns = np.flatnonzero(positive[a]), np.flatnonzero(negative[a])
    if not (len(ps) and len(ns)):
      continue
    far = math.log(sum(math.exp(dist[a, p]) for p in ps))
    near = math.log(sum(math.exp(margin - dist[a, n]) for n in ns))
    both = far + near
    values.append(math.log1p(math.exp(both)) if soft else max(both, 0.0))
  return values


def lifted_structure_original(dist, positive, negative, margin=1.0):
  """Oh Song's form: one value for each ordered positive pair."""
  values = []
  for i, j in zip(*np.nonzero(positive), strict=True):
    near = sum(
      math.exp(margin - dist[end, k])
      for end in (i, j)
      for k in np.flatnonzero(negative[end])
    )
    hinge = max(dist[i, j] + math.log(near), 0.0) if near else 0.0
    values.append(hinge**2 / 2)
  return values


def reduced(values, reduction='mean'):
  """The mean, the mean of what is above 0, or the sum; empty is 0."""
  if reduction == 'sum':
    return float(sum(values))
  kept = [v for v in values if v > 0 or reduction == 'mean']
  return float(sum(kept) / len(kept)) if kept else 0.0


def batches(count=10, dim=3, seed=4):
  """Small hard batches by name: dict of x, label, item, valid."""
  rng = np.random.default_rng(seed)
  labels = {
    'random': rng.integers(0, 4, count),
    'unbalanced': [2] * 5 + [1] * 2 + [7, 0, 5],
    'singletons': [4, 4] + list(range(10, 8 + count)),
    'one_class': [3] * count,
    'all_distinct': rng.permutation(count),
    'two_classes': [0, 1] * (count // 2),
    'duplicated': [0, 0, 0, 1, 1, 1, 2, 2, 3, 4],
    'padded': [0, 1, 2, 0, 1, 2, 0, 1, 2, 0],
  }
  made = {}
  for name, label in labels.items():
    label = np.asarray(label, np.int32)
    centres = rng.normal(size=(label.max() + 1, dim))
    x = centres[label] + 0.9 * rng.normal(size=(count, dim)) + 0.3
    made[name] = {
      'x': x.astype(np.float32),
      'label': label,
      'item': rng.permutation(count).astype(np.int32) + 50,
      'valid': np.ones(count, bool),
    }
  for new, old in ((2, 0), (5, 3)):
    for field in ('x', 'item'):
      made['duplicated'][field][new] = made['duplicated'][field][old]
  made['padded']['valid'][[1, 5, 9]] = False
  return made
