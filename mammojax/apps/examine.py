"""What an embedding tells: neighbours, pairs, triplets and enrolled classes.

    question = examine.ask(frame, seed=0)
    found = examine.measure(question, embeddings, distance='cosine')
    found['neighbours']['test']['all']['value']

Classes are those of the column diagnosis. Validation pairs choose the
threshold; the test split chooses nothing. A class that training did not see
(`data.held_out`) is enrolled like the others: nothing is trained again.

Intervals resample subjects; where all test images of a class are one subject,
and so nothing but the class, they resample images.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.apps import comparing
from mammojax.data import pipeline, splits, tuples
from mammojax.metrics import bootstrap, verification

# Images of each class that are enrolled.
ENROLLED = (1, 5)
DEFINITIONS = {
  'neighbours': 'share of images whose nearest ones, by their votes, are of'
  ' their class',
  'triplets': 'share of triplets whose negative is farther than the positive',
  'identification': 'share of images whose nearest enrolled image is of their'
  ' class, averaged over the galleries drawn; ±: standard deviation over'
  ' them',
  **verification.DEFINITIONS,
}


class Question(NamedTuple):
  """What is asked of every set of vectors of one table.

  Attributes:
    classes: str[n].
    splits: str[n]; `splits.HELD_OUT` are images of classes held out.
    clusters: str[n], what intervals resample.
    resampled: 'subjects' or 'images', what a cluster is.
    triplets: 'validation' and 'test' -> int64[m, 3] rows, one an image.
    groups: name -> classes: 'all', and where classes were held out 'known'
      and 'held_out'.
    seed: of all that is drawn.
  """

  classes: np.ndarray
  splits: np.ndarray
  clusters: np.ndarray
  resampled: str
  triplets: dict[str, np.ndarray]
  groups: dict[str, list[str]]
  seed: int

  def within(self, group: str, rows: np.ndarray) -> np.ndarray:
    """bool[m]: which rows are of a group."""
    return np.isin(self.classes[rows], self.groups[group])

  def rows(self, *names: str) -> np.ndarray:
    """int64[m]: the rows of some splits."""
    return np.flatnonzero(np.isin(self.splits, names))


def ask(frame: pd.DataFrame, seed: int = 0) -> Question:
  """Draws the triplets of a table.

  Args:
    frame: columns `subject`, `item`, `diagnosis` and `split`.
    seed: of the draws.

  Returns:
    Question.

  Raises:
    DataError: images without a diagnosis, or a split without images.
    UsageError: no class with two images, or a single class.
  """
  classes, parts = (frame[n].to_numpy(str) for n in ('diagnosis', 'split'))
  if (classes == '').any():
    raise errors.DataError(
      f'{int((classes == "").sum())} of {len(frame)} images have no diagnosis, '
      'and classes are what is compared. Leave these rows out of the table, or '
      'map data.columns.diagnosis.'
    )
  items = pipeline.dense_ids(frame['item'].tolist())[0]
  triplets = {}
  for name in ('validation', 'test'):
    rows = np.flatnonzero(parts == name)
    if not len(rows):
      raise errors.DataError(f'There is no image of the {name} split.')
    labels = pipeline.dense_ids(classes[rows].tolist())[0]
    triplets[name] = rows[tuples.one_each(labels, seed=seed, items=items[rows])]
  test = frame[parts == 'test']
  is_class = test.groupby('diagnosis')['subject'].nunique().max() == 1
  held = sorted(set(classes[parts == splits.HELD_OUT]))
  groups = {'all': sorted(set(classes))}
  if held:
    groups['known'] = [name for name in groups['all'] if name not in held]
    groups['held_out'] = held
  return Question(
    classes,
    parts,
    frame['item' if is_class else 'subject'].to_numpy(str),
    'images' if is_class else 'subjects',
    triplets,
    groups,
    seed,
  )


def measure(
  question: Question,
  vectors: np.ndarray,
  *,
  distance: str,
  k: int = 10,
  draws: int = 2000,
  galleries: int = 20,
  is_baseline: bool = False,
) -> dict[str, Any]:
  """Every number of a set of vectors.

  Args:
    question: of the table.
    vectors: float32[n, d], one a row of the table.
    distance: a key of comparing.METRICS.
    k: neighbours that vote.
    draws: resamples for the intervals.
    galleries: draws of enrolled images.
    is_baseline: leave validation neighbours out, which nobody chooses by.

  Returns:
    'neighbours': split -> group -> cell, the references being the images of
      'train' for validation and all but those of the test split for it;
      'by_class': class -> share of its test images that are right;
      'verification': `verified` of the distances; 'triplets': group -> cell;
      'identification': images enrolled -> group -> cell, with
      'standard_deviation' over the galleries. A cell is that of
      `bootstrap.interval`.

  Raises:
    UsageError: an unknown distance, a k beyond the references, or a class
      with too few images to enrol.
  """
  options = {'draws': draws, 'seed': question.seed}
  near: dict[str, Any] = {}
  asked = [] if is_baseline else [('validation', ('train',))]
  asked.append(('test', ('train', 'validation', splits.HELD_OUT)))
  for split, references in asked:
    rows, refs = question.rows(split), question.rows(*references)
    right = comparing.votes(
      vectors[refs], question.classes[refs], vectors[rows],
      question.classes[rows], k=k, distance=distance,
    )  # fmt: skip
    near[split] = _cells(question, rows, right, **options)
  by_class = pd.Series(right).groupby(question.classes[rows]).mean()
  gaps = {
    split: tuple_distances(question.triplets[split], vectors, distance)
    for split in question.triplets
  }
  is_right = gaps['test'][:, 0] < gaps['test'][:, 1]
  anchors = question.triplets['test'][:, 0]
  return {
    'distance': distance,
    'k': k,
    'neighbours': near,
    'by_class': by_class.to_dict(),
    'verification': verified(question, gaps, draws=draws),
    'triplets': _cells(question, anchors, is_right, **options),
    'identification': _identification(
      question, vectors, distance, galleries, options
    ),
  }


def tuple_distances(
  triplets: np.ndarray, vectors: np.ndarray, distance: str
) -> np.ndarray:
  """float64[m, 2]: from the anchor to the positive and to the negative."""
  anchor, *others = (vectors[rows] for rows in triplets.T)
  found = [comparing.paired(anchor, other, distance) for other in others]
  return np.stack(found, axis=1)


def verified(
  question: Question, gaps: dict[str, np.ndarray], *, draws: int
) -> dict[str, Any]:
  """Numbers of the pairs that triplets hold, by a threshold of validation.

  Args:
    question: of the table.
    gaps: split -> float64[m, 2], see `tuple_distances`, of 'validation' and
      'test'.
    draws: resamples.

  Returns:
    'threshold', 'chosen_on', and 'test': group of the anchor -> what
    `verification.measure` gives; groups without an anchor are left out.
  """
  cut = verification.threshold(*_pairs(gaps['validation']), split='validation')
  anchors = question.triplets['test'][:, 0]
  found = {}
  for group in question.groups:
    chosen = question.within(group, anchors)
    if not chosen.any():
      continue
    found[group] = verification.measure(
      *_pairs(gaps['test'][chosen]),
      np.repeat(question.clusters[anchors[chosen]], 2),
      threshold=cut,
      draws=draws,
      seed=question.seed,
    )
  return {'threshold': cut, 'chosen_on': 'validation', 'test': found}


def accuracy(
  question: Question, called: np.ndarray, *, draws: int
) -> dict[str, Any]:
  """Group -> cell of the share of test images called what they are.

  Args:
    question: of the table.
    called: str[m], of the test rows.
    draws: resamples.
  """
  rows = question.rows('test')
  right = called == question.classes[rows]
  return _cells(question, rows, right, draws=draws, seed=question.seed)


def _pairs(gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(same, distance) of both pairs of each triplet, one after the other."""
  return np.tile([True, False], len(gaps)), gaps.reshape(-1)


def _identification(question, vectors, distance, galleries, options):
  """Enrolled are images that trained nothing, see the module."""
  rows = question.rows('test')
  refs = question.rows('validation', splits.HELD_OUT)
  found = {}
  for images in ENROLLED:
    right = comparing.identified(
      vectors[refs],
      question.classes[refs],
      vectors[rows],
      question.classes[rows],
      images=images,
      distance=distance,
      draws=galleries,
      seed=question.seed,
    )
    cells = _cells(question, rows, right.mean(axis=0), **options)
    for group, cell in cells.items():
      shares = right[:, question.within(group, rows)].mean(axis=1)
      cell['standard_deviation'] = float(shares.std(ddof=1))
    found[str(images)] = cells
  return found


def _cells(
  question: Question, rows: np.ndarray, right: np.ndarray, **options: Any
) -> dict[str, Any]:
  """Group -> mean over its rows, with an interval over clusters."""
  found = {}
  for group in question.groups:
    chosen = question.within(group, rows)
    if chosen.any():
      found[group] = bootstrap.interval(
        right[chosen].astype(np.float64),
        question.clusters[rows[chosen]],
        **options,
      )
  return found


def choose(
  wrong: np.ndarray, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
  """Examples for a picture: by chance among all, and among the wrong ones.

  Args:
    wrong: bool[n].
    count: of either.
    seed: of the choice.

  Returns:
    (int64[count or less], likewise).
  """
  rng = np.random.default_rng(seed)
  order = rng.permutation(len(wrong))
  return order[:count], order[wrong[order]][:count]
