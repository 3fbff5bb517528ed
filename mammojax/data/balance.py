"""A subset with as many images of one class as of the others, no image twice.

    reasons = balanced(
      frame, usable, pairs, by='diagnosis', positive=('mel',), seed=0)
    subset = frame[reasons == '']

Of every group of images that belong together (one subject, or pictures that
are copies of each other) one image is left; then the larger class is thinned
out by chance.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import leaks

COLUMNS = ('diagnosis', 'view', 'laterality')
KEEP = ('subject', 'picture')


def balanced(
  frame: pd.DataFrame,
  usable: np.ndarray,
  pairs: list[leaks.Pair],
  *,
  by: str,
  positive: Sequence[str],
  one_of_each: str = 'subject',
  seed: int = 0,
) -> np.ndarray:
  """Why each row is left out, or that it is kept.

  Of a group the first positive row stays, or else the first. Copies of which
  one is positive and one negative are left out: their label is not known.

  Args:
    frame: one row an image, columns of `table`.
    usable: bool[n], images that can be read and are not constant.
    pairs: copies, as `leaks.find` returns them.
    by: the column that names the class.
    positive: its values that are positive; all others are negative.
    one_of_each: 'subject' keeps one image of a subject and its copies,
      'picture' one of each picture with its copies.
    seed: of the choice among the larger class.

  Returns:
    object[n] of str, '' for the rows that are kept.

  Raises:
    UsageError: an unknown column, mode or value.
    DataError: a class without an image.
  """
  check(frame, by, positive, one_of_each)
  reasons = np.full(len(frame), '', object)
  reasons[~usable] = 'broken or of one value'
  reasons[(reasons == '') & (frame[by] == '').to_numpy()] = f'no {by}'
  is_positive = frame[by].isin(positive).to_numpy()
  pictures = _groups(frame, pairs, 'picture')
  left = np.flatnonzero(reasons == '')
  of_picture = pd.Series(is_positive[left]).groupby(pictures[left])
  both = of_picture.transform('nunique').to_numpy() > 1
  reasons[left[both]] = 'a copy with the other label'
  groups = _groups(frame, pairs, one_of_each)
  order = np.argsort(~is_positive, kind='stable')
  _thin_groups(reasons, groups, _copies(pairs), order)
  _thin_classes(reasons, is_positive, by, seed)
  return reasons


def parity(is_positive: np.ndarray, seed: int) -> np.ndarray:
  """Which images stay so that both classes have as many.

  Args:
    is_positive: bool[n].
    seed: of the choice among the larger class.

  Returns:
    bool[n].
  """
  sides = [np.flatnonzero(is_positive), np.flatnonzero(~is_positive)]
  size = min(map(len, sides))
  rng = np.random.default_rng(seed)
  kept = np.ones(len(is_positive), bool)
  for rows in sides:
    kept[rng.permutation(rows)[size:]] = False
  return kept


def check(
  frame: pd.DataFrame, by: str, positive: Sequence[str], one_of_each: str
) -> None:
  """Refuses names that do not exist; the arguments are those of `balanced`."""
  if by not in COLUMNS:
    raise errors.unknown('column to balance by', by, COLUMNS)
  if one_of_each not in KEEP:
    raise errors.unknown('one_of_each', one_of_each, KEEP)
  if not positive:
    raise errors.UsageError('positive needs one or more values, as mel,bcc.')
  there = sorted(set(frame[by]) - {''})
  for value in positive:
    if value not in there:
      raise errors.unknown(f'value of {by}', value, there)


def _groups(frame, pairs, one_of_each) -> np.ndarray:
  if one_of_each == 'subject':
    return leaks.together(frame, pairs)
  # Every row a subject of its own: copies alone join them.
  own = frame.assign(
    subject=[f'{row:09d}' for row in range(len(frame))], item=frame['path']
  )
  return leaks.together(own, pairs)


def _copies(pairs: list[leaks.Pair]) -> dict[int, str]:
  """What the later row of each pair is."""
  return {pair.second: f'{pair.kind} copy' for pair in pairs}


def _thin_groups(reasons, groups, copies, order) -> None:
  seen = set()
  for row in order[reasons[order] == '']:
    if groups[row] in seen:
      other = 'another image of the subject'
      reasons[row] = copies.get(int(row), other)
    seen.add(groups[row])


def _thin_classes(reasons, is_positive, by, seed) -> None:
  left = np.flatnonzero(reasons == '')
  num = int(is_positive[left].sum())
  if num in (0, len(left)):
    raise errors.DataError(
      f'After duplicates were removed {num} images are positive and'
      f' {len(left) - num} negative by {by}; both must be there.'
    )
  kept = parity(is_positive[left], seed)
  reasons[left[~kept]] = 'more than the smaller class has'
