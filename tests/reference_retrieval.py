"""Retrieval metrics as loops over rankings, in float64, for tests only.

Nothing of the package is imported. A ranking is a list of booleans, nearest
first; equal distances are handled by going through every order of them.
"""

import itertools
import math


def average_precision(ranking):
  hits, total = 0, 0.0
  for place, relevant in enumerate(ranking, start=1):
    if relevant:
      hits += 1
      total += hits / place
  return total / hits


def average_precision_at_r(ranking):
  count = sum(ranking)
  hits, total = 0, 0.0
  for place, relevant in enumerate(ranking[:count], start=1):
    if relevant:
      hits += 1
      total += hits / place
  return total / count


def first_rank(ranking):
  return list(ranking).index(True) + 1


def cmc_all_shots(ranking, k):
  count = sum(ranking)
  matches, total = 0, 0.0
  for place, relevant in enumerate(ranking, start=1):
    if relevant:
      if place - matches <= k:
        total += 1.0 / count
      matches += 1
  return total


def value(name, ranking):
  """One metric of one ranking without ties."""
  base, _, cut = name.partition('@')
  k = int(cut) if cut else sum(ranking)
  if base == 'map':
    return average_precision(ranking)
  if base == 'map_at_r':
    return average_precision_at_r(ranking)
  if base == 'mrr':
    return 1.0 / first_rank(ranking)
  if base == 'first_rank':
    return float(first_rank(ranking))
  if base == 'cmc':
    return float(first_rank(ranking) <= k)
  if base == 'cmc_all_shots':
    return cmc_all_shots(ranking, k)
  if base == 'recall':
    return sum(ranking[:k]) / sum(ranking)
  return sum(ranking[:k]) / k  # precision@k and r_precision


def orders(distances, relevant):
  """Every ranking that equal distances allow, as lists of booleans."""
  runs = []
  for level in sorted(set(distances)):
    run = [r for d, r in zip(distances, relevant, strict=True) if d == level]
    runs.append(list(itertools.permutations(run)))
  for parts in itertools.product(*runs):
    yield [bool(r) for part in parts for r in part]


def expected(name, distances, relevant):
  """Mean of a metric over every order of equal distances."""
  if not any(relevant):
    return math.nan
  values = [value(name, order) for order in orders(distances, relevant)]
  return sum(values) / len(values)


def pessimistic(name, distances, relevant):
  """A metric with the relevant items last among equal distances."""
  if not any(relevant):
    return math.nan
  ranked = sorted(zip(distances, relevant, strict=True))
  return value(name, [bool(r) for _, r in ranked])


def cosine_distance(a, b):
  dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
  norm = math.sqrt(sum(float(x) ** 2 for x in a))
  norm *= math.sqrt(sum(float(x) ** 2 for x in b))
  return 1.0 - (dot / norm if norm else 0.0)


def squared_distance(a, b):
  return sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))
