"""Who is searched for among whom: gallery and queries from a table.

  protocol = protocols.forensic(frame, gallery='first_visit', split='test')
  values = retrieval.per_query(
    embeddings[protocol.query_rows], embeddings[protocol.gallery_rows],
    **protocol.relation())
  for name, mask in protocol.years.items():
    bootstrap.interval(values['map'][mask], protocol.query_subject[mask])
  protocols.chance(protocol)['all']['map']

The table is a DataFrame with the columns subject, item, visit_months,
laterality and split. Its positions, not its index, are the rows here.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.metrics import ties

GALLERIES = ('first_visit', 'first_image', 'left', 'right')


@dataclasses.dataclass(frozen=True)
class Protocol:
  """Gallery, queries and the strata of a matching experiment.

  Attributes:
    gallery_rows: int64[g], rows of the table, in table order.
    query_rows: int64[q], rows of the table, in table order.
    gallery_label: int64[g], dense subject ids.
    query_label: int64[q], the same ids.
    gallery_item: int64[g], dense item ids.
    query_item: int64[q], the same ids.
    query_subject: str[q], the subjects as the table has them.
    gallery_subject: str[g], likewise.
    years: name -> bool[q]. 'all' is every query; 'year_n' those n years after
      the subject's first visit, n >= 1.
    num_mates: int64[q], relevant gallery rows of each query.
    num_ranked: int64[q], gallery rows that are another item than the query.
  """

  gallery_rows: np.ndarray
  query_rows: np.ndarray
  gallery_label: np.ndarray
  query_label: np.ndarray
  gallery_item: np.ndarray
  query_item: np.ndarray
  query_subject: np.ndarray
  gallery_subject: np.ndarray
  years: dict[str, np.ndarray]
  num_mates: np.ndarray
  num_ranked: np.ndarray

  @property
  def n_subjects(self) -> int:
    """Subjects in the gallery or among the queries."""
    return len(np.union1d(self.gallery_subject, self.query_subject))

  @property
  def n_gallery(self) -> int:
    """Images in the gallery."""
    return len(self.gallery_rows)

  @property
  def n_queries(self) -> int:
    """Queries, with or without a mate."""
    return len(self.query_rows)

  @property
  def n_without_mate(self) -> int:
    """Queries whose label no other image in the gallery has."""
    return int((self.num_mates == 0).sum())

  def relation(self) -> dict[str, np.ndarray]:
    """Labels and items under the names of the retrieval functions."""
    return {
      'query_label': self.query_label,
      'gallery_label': self.gallery_label,
      'query_item': self.query_item,
      'gallery_item': self.gallery_item,
    }


def _first_visit(part: pd.DataFrame, first: np.ndarray, count: int):
  """Gallery: all images of the first visit. Queries: the later visits."""
  del count
  visit = part['visit_months'].to_numpy(np.float64)
  unknown = int(np.isnan(visit).sum())
  if unknown:
    raise errors.UsageError(
      f'{unknown} of {len(part)} images have no visit_months, so a first '
      "visit is not defined. Fill the column in, or use gallery='first_image'."
    )
  return visit == first, visit > first


def _first_image(part: pd.DataFrame, first: np.ndarray, count: int):
  """Gallery: the first images of subjects with more. Queries: the others."""
  del first
  subjects = part.groupby('subject')['subject']
  more = subjects.transform('size') > count
  later = subjects.cumcount() >= count
  return (more & ~later).to_numpy(), later.to_numpy()


def _left(part: pd.DataFrame, first: np.ndarray, count: int):
  """Gallery: laterality L. Queries: laterality R."""
  del first, count
  side = part['laterality'].to_numpy()
  return side == 'L', side == 'R'


def _right(part: pd.DataFrame, first: np.ndarray, count: int):
  """Gallery: laterality R. Queries: laterality L."""
  gallery, queries = _left(part, first, count)
  return queries, gallery


_CHOICES = dict(
  zip(GALLERIES, (_first_visit, _first_image, _left, _right), strict=True)
)
_NO_QUERY = {
  'first_visit': 'no subject was seen at two visits or more',
  'first_image': 'no subject has more images than the gallery takes of each',
  'left': 'no subject has images of both breasts (laterality L and R)',
  'right': 'no subject has images of both breasts (laterality L and R)',
}


def _counts(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
  """How often each of `wanted` occurs in `keys`, int64."""
  size = int(max(keys.max(initial=-1), wanted.max(initial=-1))) + 1
  return np.bincount(keys, minlength=size)[wanted]


def _years(distance_months: np.ndarray) -> dict[str, np.ndarray]:
  """Masks by whole years; half a year and more rounds up."""
  year = np.floor(distance_months / 12.0 + 0.5)
  masks = {'all': np.ones(len(year), bool)}
  for value in np.unique(year[year >= 1.0]):
    masks[f'year_{int(value)}'] = year == value
  return masks


def forensic(
  frame: pd.DataFrame,
  *,
  gallery: str = 'first_visit',
  gallery_images: int = 1,
  split: str | None = 'test',
  gallery_split: str | None = 'same',
) -> Protocol:
  """Forensic matching: who is this, seen again later or from the other side?

  Args:
    frame: the table; `subject` is the identity that is matched.
    gallery: what the gallery holds.
      'first_visit': every image of each subject's smallest visit_months;
        queries are all images of later visits. Subjects seen once stay in the
        gallery, as people nobody looks for.
      'first_image': the first rows, `gallery_images` of them, of each subject
        that has more; queries are these subjects' other rows. Needs no visits.
      'left', 'right': the images of that breast; queries are those of the
        other, so one side must be mirrored when it is read.
    gallery_images: of 'first_image', 1 or more.
    split: whose images are queries; None takes all rows.
    gallery_split: whose images are the gallery: 'same' as the queries, or
      None for all rows, as when each fold of a cross-validation searches the
      one gallery of everybody.

  Returns:
    Protocol. Years count from the subject's first visit in these rows; a
    query less than half a year from it, or without a visit, is in 'all' only.

  Raises:
    UsageError: an unknown gallery, 'first_visit' where visits are unknown, or
      no gallery images.
    DataError: no rows, or no query with a mate.
  """
  if gallery not in _CHOICES:
    raise errors.unknown('gallery', gallery, GALLERIES)
  if gallery_images < 1:
    raise errors.UsageError(
      f'gallery_images must be 1 or more, got {gallery_images}.'
    )
  rows = np.arange(len(frame))
  is_asked = np.ones(len(frame), bool)
  if split is not None:
    is_asked = frame['split'].to_numpy() == split
  if gallery_split is not None:
    rows = np.flatnonzero(is_asked)
  if not len(rows):
    raise errors.DataError(f'No row of the table is in the split {split!r}.')
  part = frame.iloc[rows]
  visits = part.groupby('subject')['visit_months']
  first = visits.transform('min').to_numpy(np.float64)
  in_gallery, is_query = _CHOICES[gallery](part, first, gallery_images)
  label = pd.factorize(part['subject'])[0].astype(np.int64)
  item = pd.factorize(part['item'])[0].astype(np.int64)
  pair = pd.factorize(label * len(part) + item)[0].astype(np.int64)
  g, q = np.flatnonzero(in_gallery), np.flatnonzero(is_query & is_asked[rows])
  mates = _counts(label[g], label[q]) - _counts(pair[g], pair[q])
  if not mates.any():
    raise errors.DataError(
      f'Split {split!r} with gallery={gallery!r} has no query with a mate: '
      f'{_NO_QUERY[gallery]} ({len(part)} images of {label.max() + 1} '
      f'subjects, {len(g)} in the gallery, {len(q)} queries).'
    )
  distance = part['visit_months'].to_numpy(np.float64) - first
  return Protocol(
    gallery_rows=rows[g],
    query_rows=rows[q],
    gallery_label=label[g],
    query_label=label[q],
    gallery_item=item[g],
    query_item=item[q],
    query_subject=part['subject'].to_numpy()[q],
    gallery_subject=part['subject'].to_numpy()[g],
    years=_years(distance[q]),
    num_mates=mates,
    num_ranked=len(g) - _counts(item[g], item[q]),
  )


def chance(
  protocol: Protocol,
  metrics: Sequence[str] = ('map', 'map_at_r', 'cmc@1', 'cmc@5'),
) -> dict[str, dict[str, float | None]]:
  """Expected metrics of a model that knows nothing.

  A random order is one tie of the whole gallery, so the closed forms of
  `ties` apply. With R of g relevant, H the harmonic numbers:

      cmc@k = 1 - C(g - k, R) / C(g, R)
      map   = 1/g (H_g + (R - 1)/(g - 1) (g - H_g))

  Args:
    protocol: gallery and queries.
    metrics: names as `retrieval.per_query` takes them.

  Returns:
    Name of the stratum ('all', 'year_1', ...) -> metric -> mean over its
    queries with a mate; None where it has none.

  Raises:
    UsageError: an unknown metric, or k above the gallery.
  """
  table = ties.single(protocol.num_ranked, protocol.num_mates)
  has_mate = protocol.num_mates > 0
  result = {name: {} for name in protocol.years}
  for metric in metrics:
    values = ties.metric(metric, protocol.n_gallery)(table)
    for name, mask in protocol.years.items():
      used = values[mask & has_mate]
      result[name][metric] = float(used.mean()) if len(used) else None
  return result
