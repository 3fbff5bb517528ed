"""The same picture under two names, and what of it lies in two splits.

    frame, store, problems = table.examine('manifest.csv')
    seen = survey.look(frame, store)
    pairs = find(frame, seen)
    groups = together(frame, pairs)
    corrected = resplit(frame, groups)

Three kinds of pairs: 'exact', equal pixels however they are stored; 'near',
one picture changed (mirrored, turned, cropped, brighter, coded again), found
by `fingerprints` and confirmed by `alignment`; 'embedding', close under a
network. Images of one value say nothing and are never paired.
"""

from concurrent import futures
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from mammojax import errors
from mammojax.data import alignment, fingerprints, splits, survey

# Mean local correlation of one picture; docs/leaks.md says what it costs.
LEAST_SCORE = 0.8
LEAST_COSINE = 0.99
# A part this far outside the whole is no crop of it.
_LEAST_OVERLAP = 0.8
# More than this much of the sides is gone: said as a crop.
_UNCROPPED = 0.97
# By turn of `fingerprints`; which of the two was turned is not known.
_TURNS = (
  'as it is',
  'mirrored',
  'flipped top to bottom',
  'turned by 180 degrees',
  'transposed',
  'turned by 90 degrees',
  'turned by 90 degrees',
  'transposed',
)
_BLOCK = 1024


class Pair(NamedTuple):
  """Two rows of the frame with the same picture.

  Attributes:
    first: position in the frame, the smaller one.
    second: position.
    kind: 'exact', 'near' or 'embedding'.
    score: 1.0, the mean local correlation, or the cosine.
    how: what was done to one of them, in words.
  """

  first: int
  second: int
  kind: str
  score: float
  how: str


def find(
  frame: pd.DataFrame,
  seen: survey.Survey,
  *,
  embeddings: np.ndarray | None = None,
  least_score: float = LEAST_SCORE,
  least_cosine: float = LEAST_COSINE,
  threads: int = 2,
) -> list[Pair]:
  """All pairs of rows that show one picture.

  Of exact copies each is paired with the first of them alone, and the first
  alone is compared further: groups are the same, and n copies give n - 1 pairs.

  Args:
    frame: one row an image, column `path`.
    seen: of the same rows.
    embeddings: float32[n, d], or None; rows of zeros are left out.
    least_score: of near pairs.
    least_cosine: of embedding pairs.
    threads: pairs compared at once.

  Returns:
    pairs in order of the rows, each two rows once; a pair of several kinds
    has the first of them. Time is that of `fingerprints.candidates` and about
    2 ms for each candidate.

  Raises:
    UsageError: a threshold outside (0, 1].
  """
  for name, value in (
    ('least_score', least_score), ('least_cosine', least_cosine)
  ):  # fmt: skip
    if not 0.0 < value <= 1.0:
      raise errors.UsageError(f'{name} must lie in (0, 1], got {value}.')
  whole = (seen.facts['problem'] == '').to_numpy()
  usable = whole & ~survey.is_constant(seen.facts)
  exact, firsts = _exact(frame, seen.facts, usable)
  near = _near(seen.pictures, firsts, least_score, threads)
  found = {(pair.first, pair.second): pair for pair in reversed(exact + near)}
  if embeddings is not None:
    for pair in _close(embeddings, firsts, least_cosine):
      found.setdefault((pair.first, pair.second), pair)
  return [found[key] for key in sorted(found)]


def together(frame: pd.DataFrame, pairs: list[Pair]) -> np.ndarray:
  """Groups of rows that must not be torn apart.

  Rows belong together when they share a subject, an item or a path, when they
  are a pair, and by any chain of these.

  Args:
    frame: columns `subject`, `item`, `path`.
    pairs: of its rows.

  Returns:
    object[n] of str: the smallest subject of each row's group.
  """
  count = len(frame)
  ends = [[pair.first, pair.second] for pair in pairs]
  for column in ('subject', 'item', 'path'):
    codes, _ = pd.factorize(frame[column])
    first = np.full(codes.max() + 1, -1)
    first[codes[::-1]] = np.arange(count)[::-1]
    ends += np.column_stack([np.arange(count), first[codes]]).tolist()
  left, right = np.array(ends, np.int64).reshape(-1, 2).T
  graph = sparse.coo_array(
    (np.ones(len(left), bool), (left, right)), (count, count)
  )
  _, group = csgraph.connected_components(graph, directed=False)
  smallest = frame['subject'].groupby(group).min()
  return smallest.to_numpy(object)[group]


def resplit(frame: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
  """The table with one subject and one split for each group.

  A group falls where the SHA-256 of its smallest subject puts it, see
  `splits.assign`. Of rows of one path the first is kept.

  Args:
    frame: columns of `table`.
    groups: as `together` returns them.

  Returns:
    the frame with `subject` and `split` replaced, the old ones kept as
    `subject_before` and `split_before`.
  """
  corrected = frame.assign(
    subject_before=frame['subject'],
    split_before=frame['split'],
    subject=groups,
    split=splits.assign(groups),
  )
  return corrected[~frame['path'].duplicated()].reset_index(drop=True)


def crossing(frame: pd.DataFrame, groups: np.ndarray) -> list[str]:
  """Groups whose rows lie in more than one split.

  Args:
    frame: column `split`.
    groups: as `together` returns them.

  Returns:
    names of the groups, sorted.
  """
  number = frame['split'].groupby(groups).nunique()
  return sorted(number.index[number > 1])


def described(frame: pd.DataFrame, pairs: list[Pair]) -> pd.DataFrame:
  """The pairs as a table for people.

  Args:
    frame: columns `row`, `item`, `subject`, `split` and `diagnosis`.
    pairs: of its rows.

  Returns:
    one row a pair: kind, score, how, each of those columns of both rows, and
    `same_subject`, `across_splits`.
  """
  columns = ('row', 'item', 'subject', 'split', 'diagnosis')
  found: dict[str, object] = {
    'kind': [pair.kind for pair in pairs],
    'score': [round(pair.score, 4) for pair in pairs],
    'how': [pair.how for pair in pairs],
  }
  for side in ('first', 'second'):
    rows = frame.iloc[[getattr(pair, side) for pair in pairs]]
    for column in columns:
      found[f'{side}_{column}'] = rows[column].to_numpy()
  result = pd.DataFrame(found)
  result['same_subject'] = result['first_subject'] == result['second_subject']
  result['across_splits'] = result['first_split'] != result['second_split']
  return result


def _exact(frame, facts, usable) -> tuple[list[Pair], np.ndarray]:
  """Pairs with equal pixels, and the first row of every picture."""
  codes, names = pd.factorize(facts['pixels'].where(usable))
  first = np.full(len(names), -1)
  rows = np.flatnonzero(codes >= 0)
  first[codes[rows][::-1]] = rows[::-1]
  paths = frame['path'].tolist()
  pairs = []
  for row in rows.tolist():
    other = int(first[codes[row]])
    if other != row:
      how = 'one file' if paths[row] == paths[other] else 'equal pixels'
      pairs.append(Pair(other, row, 'exact', 1.0, how))
  return pairs, np.sort(first)


def _near(pictures, firsts, least, threads) -> list[Pair]:
  pictures = pictures[firsts]
  found = fingerprints.candidates(pictures)
  aligner = alignment.Aligner(pictures)

  def compare(place: int) -> Pair | None:
    whole, part = int(found.whole[place]), int(found.part[place])
    turn = int(found.turn[place])
    seen = aligner.compare(whole, part, turn, int(found.window[place]))
    if seen.score < least or seen.overlap < _LEAST_OVERLAP:
      return None
    how = _TURNS[turn]
    if seen.covered < _UNCROPPED:
      how += f', {seen.covered:.0%} of the picture'
    one, two = sorted((int(firsts[whole]), int(firsts[part])))
    return Pair(one, two, 'near', seen.score, how)

  with futures.ThreadPoolExecutor(threads) as pool:
    pairs = list(pool.map(compare, range(len(found.whole)), chunksize=64))
  return [pair for pair in pairs if pair is not None]


def _close(embeddings, firsts, least) -> list[Pair]:
  """Pairs of rows above a cosine, block by block."""
  chosen = embeddings[firsts].astype(np.float32)
  length = np.linalg.norm(chosen, axis=1, keepdims=True)
  unit = chosen / np.maximum(length, np.finfo(np.float32).tiny)
  pairs = []
  for start in range(0, len(unit), _BLOCK):
    cosine = unit[start : start + _BLOCK] @ unit[start:].T
    for i, j in zip(*np.nonzero(cosine >= least), strict=True):
      if j > i:
        one, two = int(firsts[start + i]), int(firsts[start + j])
        pairs.append(
          Pair(one, two, 'embedding', float(cosine[i, j]), 'close embeddings')
        )
  return pairs
