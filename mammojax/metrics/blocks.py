"""Distances of queries to a gallery, block by block, and who counts.

  query, gallery, relation = blocks.prepare(query, gallery, 'cosine', 256,
    query_label=..., gallery_label=..., query_item=..., gallery_item=...)
  for rows, dist, scale in blocks.distances(query, gallery, 'cosine', 256):
    relevant, left_out = relation.block(rows)

The retrieval module says what the arguments mean.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mammojax import errors

DISTANCES = ('cosine', 'euclidean', 'squared_euclidean')
# Gallery rows turned into float64 at a time.
_CHUNK = 4096


class Relation(NamedTuple):
  """Dense ids that say of each pair whether it is relevant or left out."""

  query_label: np.ndarray
  gallery_label: np.ndarray
  query_item: np.ndarray
  gallery_item: np.ndarray
  query_group: np.ndarray | None
  gallery_group: np.ndarray | None

  def block(self, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """(relevant, left out), bool[b, g] each and never both."""
    out = self.query_item[rows, None] == self.gallery_item
    if self.query_group is not None:
      out |= self.query_group[rows, None] == self.gallery_group
    same = self.query_label[rows, None] == self.gallery_label
    return same & ~out, out


def _check_embeddings(name: str, x: np.ndarray, items) -> np.ndarray:
  """The rows as an array, or an error that names the first bad one."""
  x = np.asarray(x)
  if x.ndim != 2 or not np.issubdtype(x.dtype, np.floating):
    raise errors.UsageError(
      f'{name} must be float32 of shape [rows, d], got {x.dtype}{x.shape}.'
    )
  bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
  if len(bad):
    row = int(bad[0])
    named = f' (item {np.asarray(items)[row]!r})' if len(items) > row else ''
    raise errors.DataError(
      f'{name} row {row}{named} is not finite, and {len(bad) - 1} further '
      f'of {len(x)} rows. No ranking is defined; look at the image and at '
      'the training that made the embedding.'
    )
  return x


def _dense(name: str, query, gallery, sizes) -> tuple[np.ndarray, np.ndarray]:
  """Ids of any kind as int64, equal exactly where the ids are equal."""
  query, gallery = np.asarray(query), np.asarray(gallery)
  if query.shape != sizes[:1] or gallery.shape != sizes[1:]:
    raise errors.UsageError(
      f'{name} must have one value a row, shapes {sizes[:1]} and {sizes[1:]}; '
      f'got {query.shape} and {gallery.shape}.'
    )
  text = [x.dtype.kind in 'UOT' for x in (query, gallery)]
  whole = [np.issubdtype(x.dtype, np.integer) for x in (query, gallery)]
  if all(text):
    query, gallery = query.astype(str), gallery.astype(str)
  elif not all(whole):
    raise errors.UsageError(
      f'{name} must be whole numbers or text on both sides, got '
      f'{query.dtype} and {gallery.dtype}.'
    )
  _, code = np.unique(np.concatenate([query, gallery]), return_inverse=True)
  code = code.reshape(-1)
  return code[: len(query)], code[len(query) :]


def prepare(
  query: np.ndarray,
  gallery: np.ndarray,
  distance: str,
  block: int,
  *,
  query_label: np.ndarray,
  gallery_label: np.ndarray,
  query_item: np.ndarray,
  gallery_item: np.ndarray,
  query_group: np.ndarray | None = None,
  gallery_group: np.ndarray | None = None,
  ignore_same_group: bool = False,
) -> tuple[np.ndarray, np.ndarray, Relation]:
  """Checks the arguments that all retrieval functions share.

  Args:
    query: float32[q, d].
    gallery: float32[g, d].
    distance: one of DISTANCES.
    block: queries at a time, at least 1.
    query_label: int[q].
    gallery_label: int[g].
    query_item: int or str [q].
    gallery_item: int or str [g].
    query_group: int or str [q].
    gallery_group: int or str [g].
    ignore_same_group: leave gallery rows of the query's group out.

  Returns:
    (query, gallery, relation).

  Raises:
    UsageError: an unknown distance, wrong shapes or dtypes.
    DataError: an empty gallery, or a row that is not finite.
  """
  if distance not in DISTANCES:
    raise errors.unknown('distance', distance, DISTANCES)
  if block < 1:
    raise errors.UsageError(f'block must be at least 1, got {block}.')
  query = _check_embeddings('query', query, query_item)
  gallery = _check_embeddings('gallery', gallery, gallery_item)
  if not len(gallery):
    raise errors.DataError('The gallery is empty: nothing can be ranked.')
  if query.shape[1] != gallery.shape[1]:
    raise errors.UsageError(
      f'query has {query.shape[1]} dimensions, gallery {gallery.shape[1]}. '
      'Were they embedded by the same model?'
    )
  sizes = len(query), len(gallery)
  label = _dense('label', query_label, gallery_label, sizes)
  item = _dense('item', query_item, gallery_item, sizes)
  if not ignore_same_group:
    return query, gallery, Relation(*label, *item, None, None)
  if query_group is None or gallery_group is None:
    raise errors.UsageError(
      'ignore_same_group needs query_group and gallery_group.'
    )
  group = _dense('group', query_group, gallery_group, sizes)
  return query, gallery, Relation(*label, *item, *group)


def _squared_norms(x: np.ndarray) -> np.ndarray:
  """float64[n]; in chunks, so that no float64 copy of `x` is held."""
  parts = [
    np.square(x[i : i + _CHUNK], dtype=np.float64).sum(axis=1)
    for i in range(0, len(x), _CHUNK)
  ]
  return np.concatenate(parts) if parts else np.zeros(0)


def distances(
  query: np.ndarray, gallery: np.ndarray, distance: str, block: int
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
  """Yields rows, float64[b, g] (squared) distances, and the grid scale [b, 1].

  Euclidean distances are yielded squared: the order is the same and rounding
  is even.
  """
  norms_q, norms_g = _squared_norms(query), _squared_norms(gallery)
  for start in range(0, len(query), block):
    rows = slice(start, min(start + block, len(query)))
    anchor = query[rows].astype(np.float64)
    out = np.empty((len(anchor), len(gallery)))
    for i in range(0, len(gallery), _CHUNK):
      part = gallery[i : i + _CHUNK].astype(np.float64)
      np.matmul(anchor, part.T, out=out[:, i : i + _CHUNK])
    near = norms_q[rows, None]
    if distance == 'cosine':
      out /= np.sqrt(np.where(near > 0, near, 1.0))
      out /= np.sqrt(np.where(norms_g > 0, norms_g, 1.0))
      np.subtract(1.0, out, out=out)
      scale = np.ones_like(near)
    else:
      out *= -2.0
      out += near
      out += norms_g
      scale = near + norms_g.max()
      scale[scale == 0.0] = 1.0
    yield rows, np.maximum(out, 0.0, out=out), scale
