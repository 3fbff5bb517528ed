"""The picture of selections shows what the definitions and the miners say."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors, mining
from mammojax.report import selections

NAMES = tuple(selections.SELECTIONS)

# By hand, from the distances of the picture: (positive, negative) from 0.
PICTURE = {
  'all': list(itertools.product(range(4), range(5))),
  'semihard_region': [(0, 1), (1, 2), (1, 3)],
  'hard_region': [(0, 0)]
  + [(1, n) for n in range(2)]
  + [(2, n) for n in range(4)]
  + [(3, n) for n in range(5)],
  'semihard': [(0, 1), (1, 2)],
  'semihard_facenet': [(0, 1), (1, 2), (2, 4), (3, 4)],
  'hard': [(p, 0) for p in range(4)],
  'batch_hard': [(3, 0)],
  'batch_easy_positive_hard_negative': [(0, 0)],
  'batch_easy_positive_semihard': [(0, 1)],
}


def _nearest(far, candidates):
  return [min(candidates, key=far.__getitem__)] if candidates else []


def _loop(name, near, far, margin):
  """The definition, positive by positive, over Python lists."""
  picked = []
  for p, d in enumerate(near):
    every = list(range(len(far)))
    beyond = [n for n in every if far[n] > d]
    within = [n for n in beyond if far[n] < d + margin]
    farthest = [max(every, key=far.__getitem__)]
    rows = {
      'all': every,
      'semihard_region': [n for n in beyond if far[n] <= d + margin],
      'hard_region': [n for n in every if far[n] <= d],
      'semihard': _nearest(far, within),
      'semihard_facenet': _nearest(far, beyond) or farthest,
      'hard': _nearest(far, every),
    }
    if d == max(near):
      rows['batch_hard'] = rows['hard']
    if d == min(near):
      rows['batch_easy_positive_hard_negative'] = rows['hard']
      rows['batch_easy_positive_semihard'] = _nearest(far, beyond)
    picked += [(p, n) for n in rows.get(name, [])]
  return picked


def _draw(rng):
  """Distances of 1 to 4 positives and 1 to 6 negatives, all different."""
  # Eighths and a margin of a quarter: some gaps are exactly the margin.
  values = rng.permutation(16)[: rng.integers(2, 11)] / 8
  num_near = min(rng.integers(1, 5), len(values) - 1)
  return values[:num_near], values[num_near:]


def _pairs(chosen):
  return [tuple(map(int, pair)) for pair in np.argwhere(chosen)]


@pytest.mark.parametrize('name', NAMES)
def test_choices_in_the_picture_by_hand(name):
  chosen = selections.choose(
    name, selections.POSITIVES, selections.NEGATIVES, selections.MARGIN
  )
  assert _pairs(chosen) == PICTURE[name]


@pytest.mark.parametrize('name', NAMES)
def test_choices_equal_the_loop(rng, name):
  for _ in range(100):
    near, far = _draw(rng)
    chosen = selections.choose(name, near, far, 0.25)
    want = _loop(name, near.tolist(), far.tolist(), 0.25)
    assert _pairs(chosen) == sorted(want)


def test_every_selection_is_in_the_picture():
  assert set(NAMES) == set(mining.SELECTIONS)


@pytest.mark.parametrize('name', NAMES)
def test_choices_are_those_of_the_miners(rng, name):
  """The miners count the triplets that each pair takes part in."""
  # Twelve different distances in each of ten rows, all of them eighths.
  values = np.arange(24, dtype=np.float32) / 8
  rows = np.stack([rng.permutation(values)[:12] for _ in range(10)])
  kinds = np.stack([rng.permutation(12) % 3 for _ in range(10)])
  positive, negative = kinds == 0, kinds != 0
  select = jax.jit(mining.select, static_argnums=0)
  got = select(
    name, *map(jnp.asarray, (rows, positive, negative)), jnp.float32(0.25)
  )
  for row, p, n, counts in zip(
    rows, positive, negative, np.asarray(got.selected), strict=True
  ):
    chosen = selections.choose(name, row[p], row[n], 0.25)
    np.testing.assert_array_equal(counts[p], chosen.sum(axis=1))
    np.testing.assert_array_equal(counts[n], chosen.sum(axis=0))


def test_an_unknown_selection_is_refused():
  with pytest.raises(errors.UsageError, match="Did you mean 'semihard'"):
    selections.choose('seminard', np.ones(1), np.ones(1), 0.2)


def test_every_selection_has_a_panel_with_its_marks():
  figure = selections.small_multiples()
  panels = dict(zip(NAMES, figure.axes, strict=True))
  for name, axes in panels.items():
    assert axes.texts[0].get_text() == name
    filled = [
      (4 - int(y), x)
      for line in axes.lines
      if line.get_marker() == 's' and line.get_markerfacecolor() == '#d55e00'
      for x, y in zip(*line.get_data(), strict=True)
    ]
    want = [(p, selections.NEGATIVES[n]) for p, n in PICTURE[name]]
    assert sorted(filled) == sorted(want)


def test_nothing_in_the_picture_overlaps():
  figure = selections.small_multiples()
  figure.draw_without_rendering()
  page = figure.bbox
  texts = [text for axes in figure.axes for text in axes.texts]
  boxes = [text.get_window_extent() for text in texts]
  boxes += [text.get_window_extent() for text in figure.legends[0].get_texts()]
  for one, other in itertools.combinations(boxes, 2):
    assert not one.overlaps(other)
  for box in boxes:
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and box.y1 <= page.y1
    for axes in figure.axes:
      assert not box.overlaps(axes.bbox)
