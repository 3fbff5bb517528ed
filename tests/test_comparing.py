"""Votes, enrolment and paired distances against plain loops."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.apps import comparing

DISTANCES = pytest.mark.parametrize('distance', sorted(comparing.METRICS))


def far(x, y, distance):
  """Distance of two vectors in float64."""
  x, y = np.float64(x), np.float64(y)
  return {
    'cosine': 1 - x @ y / np.sqrt((x @ x) * (y @ y)),
    'euclidean': np.sqrt(((x - y) ** 2).sum()),
    'squared_euclidean': np.sqrt(((x - y) ** 2).sum()),
    'manhattan': np.abs(x - y).sum(),
  }[distance]


def made_up(rng, num=60):
  """Vectors of unlike length around three directions."""
  classes = rng.integers(0, 3, num)
  x = rng.normal(size=(num, 4)) + 2.0 * np.eye(4)[classes]
  x *= rng.uniform(0.5, 2.0, (num, 1))
  return np.float32(x), np.array(['a', 'b', 'c'])[classes]


@DISTANCES
def test_paired_distances_are_those_of_a_loop(rng, distance):
  x, y = made_up(rng)[0], made_up(rng)[0]
  want = [far(a, b, distance) for a, b in zip(x, y, strict=True)]
  np.testing.assert_allclose(
    comparing.paired(x, y, distance), want, rtol=1e-5, atol=1e-6
  )


@DISTANCES
@pytest.mark.parametrize('k', [1, 5])
def test_votes_are_those_of_a_loop(rng, distance, k):
  x, classes = made_up(rng, 80)
  y, asked = made_up(rng, 30)
  got = comparing.votes(x, classes, y, asked, k=k, distance=distance)
  for row, query in enumerate(y):
    order = np.argsort([far(query, one, distance) for one in x])
    names, counts = np.unique(classes[order[:k]], return_counts=True)
    assert got[row] == (names[counts.argmax()] == asked[row])
  assert 0.5 < got.mean() < 1.0


def test_the_nearest_enrolled_image_identifies(rng):
  x, classes = made_up(rng, 200)
  y, asked = made_up(rng, 40)
  options = {'distance': 'euclidean', 'draws': 3, 'seed': 5}
  got = comparing.identified(x, classes, y, asked, images=4, **options)
  draw = np.random.default_rng(5)
  for right in got:
    rows = np.concatenate(
      [
        draw.choice(np.flatnonzero(classes == name), 4, False)
        for name in ('a', 'b', 'c')
      ]
    )
    want = [
      classes[min(rows, key=lambda i: far(query, x[i], 'euclidean'))] == name
      for query, name in zip(y, asked, strict=True)
    ]
    assert right.tolist() == want
  more = comparing.identified(x, classes, y, asked, images=20, **options)
  assert more.mean() > got.mean()


def test_what_cannot_be_compared_is_refused(rng):
  x, classes = made_up(rng)
  with pytest.raises(errors.UsageError, match="mean 'cosine'"):
    comparing.paired(x, x, 'cosin')
  with pytest.raises(errors.UsageError, match='1 to the 60 references'):
    comparing.votes(x, classes, x, classes, k=61, distance='cosine')
  with pytest.raises(errors.UsageError, match='61 images of each class'):
    comparing.identified(
      x, classes, x, classes, images=61, distance='cosine', draws=1, seed=0
    )
