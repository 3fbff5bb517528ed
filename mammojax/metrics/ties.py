"""Retrieval metrics of rankings in which distances may be equal.

A ranking is held as its ties: one entry for every run of equal distances that
contains a relevant item, in order of distance. All metrics follow from four
counts of each tie, so items that are not relevant are never stored.

Symbols of the formulas, for one tie: `a` items and among them `c` relevant
ones are strictly closer; the tie holds `n` items, `r` of them relevant; the
query has R relevant items in all. Every value is the mean over all n! orders of
each tie, in closed form; `pessimistic` turns a table into one whose relevant
items come last, and the same formulas then give that order.

  t = ties.Ties(query=[0, 0], before=[0, 4], hits_before=[0, 1],
                size=[2, 1], hits=[1, 1], num_queries=1)   # numpy arrays
  ties.metric('map', num_gallery=9)(t)                     # float64[1]

A query without a relevant item is NaN in every metric.

Source: McSherry & Najork 2008, Computing information retrieval performance
measures efficiently in the presence of tied scores.
"""

from collections.abc import Callable
import functools
from typing import NamedTuple

import numpy as np
from scipy import special

from mammojax import errors


class Ties(NamedTuple):
  """Runs of equal distances that hold relevant items, sorted by query.

  Attributes:
    query: int64[t], the query of each tie, 0 to num_queries - 1.
    before: int64[t], items strictly closer (a).
    hits_before: int64[t], relevant items strictly closer (c).
    size: int64[t], items at this distance (n).
    hits: int64[t], relevant items at this distance (r), at least 1.
    num_queries: queries in all, with or without relevant items.
  """

  query: np.ndarray
  before: np.ndarray
  hits_before: np.ndarray
  size: np.ndarray
  hits: np.ndarray
  num_queries: int

  def total_hits(self) -> np.ndarray:
    """R of each query, float64[q]; 0 for a query without a mate."""
    return np.bincount(self.query, self.hits, self.num_queries)


def single(size: np.ndarray, hits: np.ndarray) -> Ties:
  """The table of rankings that know nothing: one tie of all items.

  Args:
    size: int64[q], items ranked for each query.
    hits: int64[q], relevant items among them.

  Returns:
    Ties whose expected metrics are those of a uniformly random order.
  """
  query = np.flatnonzero(hits > 0)
  zero = np.zeros(len(query), np.int64)
  return Ties(query, zero, zero, size[query], hits[query], len(hits))


def pessimistic(t: Ties) -> Ties:
  """The same ranking with the relevant items last within each tie."""
  return t._replace(before=t.before + t.size - t.hits, size=t.hits)


def _mean(t: Ties, gain: np.ndarray, divisor: float | np.ndarray) -> np.ndarray:
  """Sum of `gain` over the ties of a query, over `divisor`; NaN without R."""
  value = np.bincount(t.query, gain, t.num_queries) / divisor
  return np.where(t.total_hits() > 0, value, np.nan)


def _harmonic(start: np.ndarray, count: np.ndarray) -> np.ndarray:
  """Sum of 1 / (start + j) for j = 1 to count."""
  exact = np.where(count == 1, 1.0 / (start + 1.0), 0.0)
  steps = special.digamma(start + count + 1.0) - special.digamma(start + 1.0)
  return np.where(count > 1, steps, exact)


def _precision_gain(t: Ties, places: np.ndarray) -> np.ndarray:
  """Expected sum of P(i) rel(i) over the first `places` places of each tie.

  Place j is relevant with probability r / n. Given that it is, the j - 1
  places before it hold (j - 1)(r - 1)/(n - 1) relevant items on average, so

      r/n * sum_j (c + 1 + (j - 1) s) / (a + j),  s = (r - 1)/(n - 1),

  where sum_j (j - 1)/(a + j) = places - (a + 1) * sum_j 1/(a + j).
  """
  slope = (t.hits - 1) / np.maximum(t.size - 1, 1)
  harmonic = _harmonic(t.before, places)
  inner = (t.hits_before + 1) * harmonic
  inner = inner + slope * (places - (t.before + 1) * harmonic)
  return t.hits / t.size * inner


def _places(t: Ties, cut: float | np.ndarray) -> np.ndarray:
  """Places of each tie that lie among the first `cut` ranks."""
  return np.clip(cut - t.before, 0, t.size)


def average_precision(t: Ties) -> np.ndarray:
  """AP = 1/R sum_i P(i) rel(i) over the whole ranking, float64[q]."""
  return _mean(t, _precision_gain(t, t.size), _or_one(t.total_hits()))


def average_precision_at_r(t: Ties) -> np.ndarray:
  """1/R sum over i <= R of P(i) rel(i), float64[q].

  Source: Musgrave et al. 2020, arXiv:2003.08505.
  """
  total = t.total_hits()
  places = _places(t, total[t.query])
  return _mean(t, _precision_gain(t, places), _or_one(total))


def _or_one(total: np.ndarray) -> np.ndarray:
  """Divisors without zeros; the rows concerned become NaN in `_mean`."""
  return np.maximum(total, 1.0)


def _hits_within(t: Ties, cut: float | np.ndarray) -> np.ndarray:
  """Expected relevant items of each tie among the first `cut` ranks."""
  return t.hits * _places(t, cut) / t.size


def precision(t: Ties, k: int) -> np.ndarray:
  """Relevant items among the first k, over k, float64[q]."""
  return _mean(t, _hits_within(t, k), float(k))


def recall(t: Ties, k: int) -> np.ndarray:
  """Relevant items among the first k, over R, float64[q]."""
  return _mean(t, _hits_within(t, k), _or_one(t.total_hits()))


def r_precision(t: Ties) -> np.ndarray:
  """Relevant items among the first R, over R, float64[q]."""
  total = t.total_hits()
  return _mean(t, _hits_within(t, total[t.query]), _or_one(total))


def _nearest(t: Ties) -> Ties:
  """Only the first tie of each query."""
  first = t.hits_before == 0
  columns = [column[first] for column in t[:-1]]
  return Ties(*columns, t.num_queries)


def _scatter(t: Ties, value: np.ndarray) -> np.ndarray:
  """One value a query, in place; NaN for queries that have no tie."""
  out = np.full(t.num_queries, np.nan)
  out[t.query] = value
  return out


def _log_choose(n: np.ndarray, r: np.ndarray) -> np.ndarray:
  """Logarithm of n choose r; valid for 0 <= r <= n."""
  return (
    special.gammaln(n + 1.0)
    - special.gammaln(r + 1.0)
    - special.gammaln(n - r + 1.0)
  )


def cmc(t: Ties, k: int) -> np.ndarray:
  """Probability that the first relevant item is among the first k.

  With m places of the nearest tie inside the cut: 1 - C(n - m, r) / C(n, r).
  """
  t = _nearest(t)
  places = _places(t, k)
  rest = t.size - places
  missed = np.exp(
    _log_choose(np.maximum(rest, t.hits), t.hits) - _log_choose(t.size, t.hits)
  )
  # The first two are exact; differences of logarithms lose digits of n.
  simple = [rest < t.hits, (t.hits == 1) | (places <= 1)]
  found = np.select(simple, [1.0, places * t.hits / t.size], 1.0 - missed)
  return _scatter(t, found)


def cmc_all_shots(t: Ties, k: int) -> np.ndarray:
  """Share of the relevant items that fewer than k irrelevant ones precede.

  A relevant item of a tie follows 0 to n - r of its irrelevant items, each
  number equally likely. This counts every match of a query and is therefore
  no cumulative match curve; it serves comparison with published tables only.
  """
  others = t.size - t.hits
  room = np.clip(k - (t.before - t.hits_before), 0, others + 1)
  gain = t.hits * room / (others + 1.0)
  return _mean(t, gain, _or_one(t.total_hits()))


def first_rank(t: Ties) -> np.ndarray:
  """Expected rank of the first relevant item, a + (n + 1)/(r + 1)."""
  t = _nearest(t)
  return _scatter(t, t.before + (t.size + 1.0) / (t.hits + 1.0))


def _reciprocal(before: int, size: int, hits: int) -> float:
  """sum_j C(n - j, r - 1) / C(n, r) / (a + j); O(n) time and memory."""
  place = np.arange(1, size - hits + 2)
  log_share = _log_choose(size - place, np.full_like(place, hits - 1))
  share = np.exp(log_share - _log_choose(np.int64(size), np.int64(hits)))
  return float(np.sum(share / (before + place)))


def reciprocal_rank(t: Ties) -> np.ndarray:
  """Expected 1 / rank of the first relevant item, float64[q].

  The only metric whose tie with several relevant items needs a sum over the
  tie; equal ties are summed once.
  """
  t = _nearest(t)
  value = _harmonic(t.before, t.size) / t.size
  several = np.flatnonzero((t.hits > 1) & (t.size > 1))
  if len(several):
    shape = np.stack([t.before, t.size, t.hits])[:, several]
    distinct, where = np.unique(shape, axis=1, return_inverse=True)
    sums = np.array([_reciprocal(*map(int, row)) for row in distinct.T])
    value[several] = sums[where.reshape(-1)]
  return _scatter(t, value)


WHOLE = {
  'map': average_precision,
  'map_at_r': average_precision_at_r,
  'r_precision': r_precision,
  'mrr': reciprocal_rank,
}
AT_K = {
  'cmc': cmc,
  'cmc_all_shots': cmc_all_shots,
  'precision': precision,
  'recall': recall,
}


def metric(name: str, num_gallery: int) -> Callable[[Ties], np.ndarray]:
  """The function of a metric's name.

  Args:
    name: 'map', 'map_at_r', 'r_precision', 'mrr', or 'cmc@k',
      'cmc_all_shots@k', 'precision@k', 'recall@k' with a whole number k.
    num_gallery: gallery size, the largest k that means anything.

  Returns:
    A function from Ties to float64[q].

  Raises:
    UsageError: for an unknown name, or k outside 1 to `num_gallery`.
  """
  if name in WHOLE:
    return WHOLE[name]
  base, _, cut = str(name).partition('@')
  if base not in AT_K or not (cut.isascii() and cut.isdigit()):
    known = [*WHOLE, *(f'{each}@k' for each in AT_K)]
    raise errors.unknown('retrieval metric', name, known)
  if not 1 <= int(cut) <= num_gallery:
    raise errors.UsageError(
      f'{name} needs k from 1 to the gallery size, {num_gallery}; got '
      f'{int(cut)}. Ask for a smaller k or enlarge the gallery.'
    )
  return functools.partial(AT_K[base], k=int(cut))
