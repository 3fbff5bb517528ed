"""What is measured of an embedding, on made-up ones."""

import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.apps import comparing, examine
from mammojax.data import splits, tuples
from mammojax.report import examined_sweep

NAMES = np.array(['bag', 'boot', 'coat', 'dress'])


def made_up(rng, gap, held_out=(), num=480, by_class=True):
  """A table of four classes and embeddings `gap` apart."""
  kind = rng.integers(0, 4, num)
  part = np.array(['train', 'train', 'validation', 'test'])[np.arange(num) % 4]
  part[np.isin(NAMES[kind], held_out) & (part != 'test')] = splits.HELD_OUT
  item = [f'i{i}' for i in range(num)]
  frame = pd.DataFrame(
    {
      'item': item,
      'diagnosis': NAMES[kind],
      'split': part,
      'subject': pd.Series(part) + ' ' + NAMES[kind] if by_class else item,
    }
  )
  x = rng.normal(size=(num, 6)) + gap * np.eye(6)[kind]
  return frame, np.float32(x)


def values(found, groups=('all',)):
  """Every value of the test split but the threshold, by name."""
  flat = {}
  for group in groups:
    flat[f'near {group}'] = found['neighbours']['test'][group]['value']
    flat[f'triplets {group}'] = found['triplets'][group]['value']
    for count, cells in found['identification'].items():
      flat[f'{count} {group}'] = cells[group]['value']
    cells = found['verification']['test'][group]['metrics']
    flat |= {f'{k} {group}': cell['value'] for k, cell in cells.items()}
  return flat


def test_classes_far_apart_are_told_without_error(rng):
  frame, x = made_up(rng, 40.0)
  found = examine.measure(
    examine.ask(frame), x, distance='cosine', draws=20, galleries=3
  )
  got = values(found)
  for name in ('near', 'triplets', '1', '5', 'auc', 'accuracy'):
    assert got[f'{name} all'] == 1.0, name
  assert got['eer all'] == 0.0
  assert found['by_class'] == dict.fromkeys(NAMES, 1.0)


def test_an_embedding_without_classes_is_chance(rng):
  frame, x = made_up(rng, 0.0, num=4000)
  got = values(
    examine.measure(
      examine.ask(frame), x, distance='euclidean', draws=5, galleries=20
    )
  )
  for name, want in (('near', 0.25), ('1', 0.25), ('5', 0.25), ('auc', 0.5)):
    assert abs(got[f'{name} all'] - want) < 0.06, name
  assert abs(got['triplets all'] - 0.5) < 0.06


def test_groups_part_the_test_split(rng):
  frame, x = made_up(rng, 2.0, held_out=('boot', 'dress'))
  question = examine.ask(frame)
  assert question.groups['known'] == ['bag', 'coat']
  found = examine.measure(question, x, distance='cosine', draws=10, galleries=3)
  near = found['neighbours']['test']
  parts = [near['known'], near['held_out']]
  used = [cell['n_used'] for cell in parts]
  assert sum(used) == near['all']['n_used'] == (frame['split'] == 'test').sum()
  mean = np.average([cell['value'] for cell in parts], weights=used)
  assert mean == pytest.approx(near['all']['value'])
  # Validation holds nothing of what was held out.
  assert list(found['neighbours']['validation']) == ['all', 'known']
  rows = question.triplets['validation']
  assert np.isin(question.classes[rows], ['bag', 'coat']).all()
  is_held = np.isin(question.classes, ['boot', 'dress'])
  assert set(question.splits[is_held]) == {splits.HELD_OUT, 'test'}


def test_neighbours_are_asked_of_all_that_is_no_test_image(rng):
  frame, x = made_up(rng, 1.5, held_out=('boot',))
  found = examine.measure(
    examine.ask(frame), x, distance='euclidean', k=3, draws=5, galleries=2
  )
  classes, part = frame['diagnosis'].to_numpy(str), frame['split']
  for split, references in (
    ('validation', part == 'train'), ('test', part != 'test'),
  ):  # fmt: skip
    rows = part == split
    right = comparing.votes(
      x[references], classes[references], x[rows], classes[rows],
      k=3, distance='euclidean',
    )  # fmt: skip
    assert found['neighbours'][split]['all']['value'] == right.mean()


def test_the_test_split_chooses_nothing(rng):
  frame, x = made_up(rng, 1.5)
  other = x.copy()
  test = (frame['split'] == 'test').to_numpy()
  other[test] = rng.normal(size=other[test].shape)
  question = examine.ask(frame)
  options = {'distance': 'cosine', 'draws': 5, 'galleries': 2}
  first = examine.measure(question, x, **options)
  second = examine.measure(question, other, **options)
  assert (
    first['verification']['threshold'] == second['verification']['threshold']
  )
  assert first['verification']['chosen_on'] == 'validation'
  assert first['neighbours']['validation'] == second['neighbours']['validation']
  assert values(first) != values(second)


@pytest.mark.parametrize('by_class', [True, False], ids=['class', 'image'])
def test_intervals_resample_images_where_a_subject_is_a_class(rng, by_class):
  frame, _ = made_up(rng, 1.0, by_class=by_class)
  question = examine.ask(frame)
  # Either way the images are what is drawn here.
  assert len(set(question.clusters)) == len(frame)
  assert question.resampled == ('images' if by_class else 'subjects')


def test_triplets_hold_every_image_once_as_anchor(rng):
  labels = np.array([0] * 5 + [1] * 3 + [2])
  items = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7])
  seen = np.zeros((9, 9), bool)
  for seed in range(200):
    found = tuples.one_each(labels, seed=seed, items=items)
    # The last label has one image, so no positive.
    assert found[:, 0].tolist() == list(range(8))
    anchor, positive, negative = found.T
    assert (labels[anchor] == labels[positive]).all()
    assert (labels[anchor] != labels[negative]).all()
    assert (items[anchor] != items[positive]).all()
    seen[anchor, positive] = seen[anchor, negative] = True
  # All that may come does, and nothing else.
  other = items[:, None] != items
  want = (labels[:, None] != labels) | other
  want[8] = False
  assert (seen == want).all()


def test_a_table_that_cannot_be_asked_is_refused(rng):
  frame, x = made_up(rng, 1.0)
  with pytest.raises(errors.DataError, match='no diagnosis'):
    examine.ask(frame.assign(diagnosis=frame['diagnosis'].replace('bag', '')))
  with pytest.raises(errors.DataError, match='no image of the test split'):
    examine.ask(frame.assign(split=frame['split'].replace('test', 'train')))
  few = frame['split'].where(frame['diagnosis'] != 'bag', 'train')
  few[frame['split'] == 'test'] = 'test'
  with pytest.raises(errors.UsageError, match="'bag'"):
    examine.measure(
      examine.ask(frame.assign(split=few)), x, distance='cosine', draws=5
    )


def test_a_held_out_class_without_test_images_has_no_numbers(rng):
  frame, x = made_up(rng, 2.0, held_out=('boot',))
  kept = ~((frame['diagnosis'] == 'boot') & (frame['split'] == 'test'))
  frame, x = frame[kept].reset_index(drop=True), x[kept]
  found = examine.measure(
    examine.ask(frame), x, distance='cosine', draws=5, galleries=2
  )
  for groups in (
    found['neighbours']['test'],
    found['verification']['test'],
    found['triplets'],
    found['identification']['5'],
  ):
    assert list(groups) == ['all', 'known']
  # Beside them the pixels, which are no numbers of the class.
  one = {
    'network': found, 'pixels': found, 'own_head': None, 'held_out': ['boot'],
  }  # fmt: skip
  text = examined_sweep.markdown([('Row', 3, one), ('Row', 4, one)], 'examine')
  tables = text.split('\nRow, seed ')[1:]
  assert [part.splitlines()[0] for part in tables] == ['3: boot.', '4: boot.']
  near = found['neighbours']['test']['known']['value']
  wanted = f'| 10 nearest neighbours | {100 * near:.1f} | – |'
  for part in tables:
    lines = part.splitlines()[4:]
    assert lines[0] == wanted
    assert all(line.endswith(' – |') for line in lines if line)
