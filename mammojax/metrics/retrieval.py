"""Retrieval metrics of embeddings, one value a query, in blocks.

  values = retrieval.per_query(
    query, gallery, query_label=..., gallery_label=..., query_item=...,
    gallery_item=..., metrics=('map', 'cmc@1'))
  values['map']                       # float64[q], NaN without a mate

Arguments that all functions share:
  query, gallery: float32[q, d] and float32[g, d], finite.
  query_label, gallery_label: int[q], int[g]; equal labels are relevant.
  query_item, gallery_item: int or str; one image each. A gallery row with the
    item of the query is left out of that query's ranking, however often it
    occurs.
  query_group, gallery_group: int or str, used when `ignore_same_group`: a
    gallery row of the query's group (the same exam, say) is left out. This
    changes what is measured, so it belongs in the name of the result.
  distance: 'cosine' (1 - similarity; a zero vector has similarity 0),
    'euclidean' or 'squared_euclidean'. Smaller is closer.
  block: queries ranked at a time. Memory is O(block * g), time
    O(q * g * (d + log g)).

When two distances are equal. Products are summed in float64, then distances
are rounded to a grid of 2**-24, the spacing at which float32 similarities
near one stop being distinct. For the Euclidean distances the grid divides the
squared distance over |q|^2 + max |g|^2, so that both see unit vectors alike.
Equal grid values are a tie and no information: embeddings that collapsed to
one point up to rounding score chance, whatever the order of the files.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mammojax import errors
from mammojax.metrics import blocks
from mammojax.metrics import ties as ties_lib

TIES = ('expected', 'pessimistic')
_GRID = 2.0**24
# Greater than any rounded distance, which is at most 2 * _GRID.
_LEFT_OUT = np.iinfo(np.int32).max


class Ranks(NamedTuple):
  """What a picture of a ranking shows.

  Attributes:
    first: float64[q], expected rank (from 1) of the first relevant item.
    index: int64[q, k], gallery rows, nearest first; -1 where none is left.
      Rows at equal distance stand in gallery order.
    distance: float32[q, k], their distances; NaN where none is left.
  """

  first: np.ndarray
  index: np.ndarray
  distance: np.ndarray


def _rounded(dist: np.ndarray, scale: np.ndarray, out: np.ndarray):
  """int32[b, g] grid values; spends `dist`. Left-out pairs come last."""
  dist *= _GRID / scale
  keys = np.rint(dist, out=dist).astype(np.int32)
  keys[out] = _LEFT_OUT
  return keys


def _block_ties(keys: np.ndarray, relevant: np.ndarray) -> ties_lib.Ties:
  """The ties of a block of queries: one sort a query, then look-ups."""
  ordered = np.sort(keys, axis=1)
  row, column = np.nonzero(relevant)
  code = (row.astype(np.int64) << 32) | keys[row, column]
  code, hits = np.unique(code, return_counts=True)
  row, key = code >> 32, (code & 0xFFFFFFFF).astype(np.int32)
  before, end = np.empty_like(code), np.empty_like(code)
  bounds = np.searchsorted(row, np.arange(len(keys) + 1))
  for i, line in enumerate(ordered):
    own = slice(bounds[i], bounds[i + 1])
    before[own] = line.searchsorted(key[own], 'left')
    end[own] = line.searchsorted(key[own], 'right')
  running = np.concatenate([[0], np.cumsum(hits)])
  hits_before = running[:-1] - running[bounds[row]]
  return ties_lib.Ties(row, before, hits_before, end - before, hits, len(keys))


def per_query(
  query: np.ndarray,
  gallery: np.ndarray,
  *,
  query_label: np.ndarray,
  gallery_label: np.ndarray,
  query_item: np.ndarray,
  gallery_item: np.ndarray,
  metrics: Sequence[str] = ('map', 'map_at_r', 'cmc@1', 'cmc@5'),
  distance: str = 'cosine',
  ties: str = 'expected',
  block: int = 256,
  query_group: np.ndarray | None = None,
  gallery_group: np.ndarray | None = None,
  ignore_same_group: bool = False,
) -> dict[str, np.ndarray]:
  """Metrics of every query's ranking of the gallery.

  Args:
    query: float32[q, d]; for this and what follows see the module.
    gallery: float32[g, d].
    query_label: int[q].
    gallery_label: int[g].
    query_item: int or str [q].
    gallery_item: int or str [g].
    metrics: names; `ties.metric` lists and the functions there define them.
    distance: one of blocks.DISTANCES.
    ties: 'expected' is the mean over all orders of equal distances;
      'pessimistic' puts relevant items last among their equals.
    block: queries at a time.
    query_group: int or str [q].
    gallery_group: int or str [g].
    ignore_same_group: leave gallery rows of the query's group out.

  Returns:
    Name -> float64[q]; NaN where the query has no relevant gallery row.

  Raises:
    UsageError: unknown names, wrong shapes or dtypes, k above the gallery.
    DataError: an empty gallery, or a row that is not finite.
  """
  if ties not in TIES:
    raise errors.unknown('tie rule', ties, TIES)
  query, gallery, relation = blocks.prepare(
    query,
    gallery,
    distance,
    block,
    query_label=query_label,
    gallery_label=gallery_label,
    query_item=query_item,
    gallery_item=gallery_item,
    query_group=query_group,
    gallery_group=gallery_group,
    ignore_same_group=ignore_same_group,
  )
  functions = {name: ties_lib.metric(name, len(gallery)) for name in metrics}
  values = {name: np.full(len(query), np.nan) for name in functions}
  for rows, dist, scale in blocks.distances(query, gallery, distance, block):
    relevant, out = relation.block(rows)
    table = _block_ties(_rounded(dist, scale, out), relevant)
    if ties == 'pessimistic':
      table = ties_lib.pessimistic(table)
    for name, function in functions.items():
      values[name][rows] = function(table)
  return values


def ranks(
  query: np.ndarray,
  gallery: np.ndarray,
  *,
  k: int = 5,
  distance: str = 'cosine',
  block: int = 256,
  **relation,
) -> Ranks:
  """The nearest gallery rows of each query, for pictures.

  Args:
    query: float32[q, d].
    gallery: float32[g, d].
    k: rows to return for each query, at most g.
    distance: one of blocks.DISTANCES.
    block: queries at a time.
    **relation: labels, items and groups by the names of `per_query`.

  Returns:
    Ranks.

  Raises:
    UsageError, DataError: as `per_query`.
  """
  query, gallery, pairs = blocks.prepare(
    query, gallery, distance, block, **relation
  )
  if not 1 <= k <= len(gallery):
    raise errors.UsageError(
      f'k must be from 1 to the gallery size, {len(gallery)}; got {k}.'
    )
  first = np.full(len(query), np.nan)
  index = np.full((len(query), k), -1, np.int64)
  near = np.full((len(query), k), np.nan, np.float32)
  for rows, dist, scale in blocks.distances(query, gallery, distance, block):
    relevant, out = pairs.block(rows)
    keys = _rounded(dist.copy(), scale, out)
    first[rows] = ties_lib.first_rank(_block_ties(keys, relevant))
    # The column breaks ties, so that no two entries are equal and the k
    # smallest are well defined without a full sort.
    code = keys.astype(np.int64) * len(gallery) + np.arange(len(gallery))
    best = np.sort(np.partition(code, k - 1, axis=1)[:, :k], axis=1)
    column = best % len(gallery)
    there = ~np.take_along_axis(out, column, axis=1)
    values = np.take_along_axis(dist, column, axis=1)
    if distance == 'euclidean':
      values = np.sqrt(values)
    index[rows] = np.where(there, column, -1)
    near[rows] = np.where(there, values, np.nan)
  return Ranks(first, index, near)


def distance_histogram(
  query: np.ndarray,
  gallery: np.ndarray,
  *,
  edges: np.ndarray,
  distance: str = 'cosine',
  block: int = 256,
  **relation,
) -> tuple[np.ndarray, np.ndarray]:
  """Counts of mated and of non-mated distances.

  Args:
    query: float32[q, d].
    gallery: float32[g, d].
    edges: float64[n + 1], increasing. A bin holds its lower edge, the last
      bin both. Distances outside fall into the outermost bins, so the counts
      add up to the number of pairs.
    distance: one of blocks.DISTANCES.
    block: queries at a time.
    **relation: labels, items and groups by the names of `per_query`.

  Returns:
    (mated int64[n], non-mated int64[n]); pairs left out are in neither.

  Raises:
    UsageError: edges that do not increase, and as `per_query`.
    DataError: as `per_query`.
  """
  edges = np.asarray(edges, np.float64)
  if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
    raise errors.UsageError(
      f'edges must be at least two increasing numbers, got shape {edges.shape}.'
    )
  query, gallery, pairs = blocks.prepare(
    query, gallery, distance, block, **relation
  )
  counts = np.zeros((2, len(edges) - 1), np.int64)
  for rows, dist, _ in blocks.distances(query, gallery, distance, block):
    relevant, out = pairs.block(rows)
    if distance == 'euclidean':
      np.sqrt(dist, out=dist)
    for row, kept in enumerate((relevant, ~relevant & ~out)):
      bins = np.searchsorted(edges[1:-1], dist[kept], side='right')
      counts[row] += np.bincount(bins, minlength=len(edges) - 1)
  return counts[0], counts[1]
