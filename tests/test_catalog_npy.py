"""CBIS patches as arrays: three tasks, and every way to break the order."""

import itertools

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import catalog, imagefiles

trees = pytest.importorskip('catalog_trees')

_LABELS = [0, 3, 0, 2, 0, 1, 0, 4]


def _write(root, labels=_LABELS, test_labels=(0, 4, 0, 1), **arrays):
  root.mkdir(exist_ok=True)
  made = {
    'train_tensor': trees.pixels(1, (len(labels), 6, 5), 65536),
    'train_labels': np.array(labels, np.int64),
    'public_test_tensor': trees.pixels(2, (len(test_labels), 6, 5), 65536),
    'public_test_labels': np.array(test_labels, np.float32),
  } | arrays
  for name, array in made.items():
    np.save(root / f'{name}.npy', array, allow_pickle=False)
  return root


@pytest.mark.parametrize(
  'task, names',
  [
    ('mass_calcification', {1: 'mass', 2: 'mass', 3: 'calcification',
                            4: 'calcification'}),
    ('benign_malignant', {1: 'benign', 2: 'malignant', 3: 'benign',
                          4: 'malignant'}),
  ],
)  # fmt: skip
def test_tasks_of_abnormal_patches(tmp_path, task, names):
  root = _write(tmp_path / 'npy')
  made, store = trees.read('cbis_npy', root, tmp_path, task=task)
  assert trees.column(made, 'path') == [
    *(f'train_tensor.npy#{i}' for i in (1, 3, 5, 7)),
    *(f'public_test_tensor.npy#{i}' for i in (1, 3)),
  ]
  wanted = [names[label] for label in [*_LABELS, 0, 4, 0, 1] if label]
  assert trees.column(made, 'diagnosis') == wanted
  assert '6 healthy patches' in made.notes[0]
  assert made.frame['subject'].nunique() == 6
  assert trees.column(made, 'split')[4:] == ['test', 'test']
  # The file has channels of 16 bit, and stays where it is.
  image = imagefiles.ImageFiles(store).image('train_tensor.npy#3')
  want = np.load(root / 'train_tensor.npy')[3]
  np.testing.assert_array_equal(np.rint(image[..., 0] * 65535.0), want)


def test_pairs_join_a_healthy_patch_and_its_abnormality(tmp_path):
  root = _write(tmp_path / 'npy')
  made, _ = trees.read('cbis_npy', root, tmp_path, task='pairs')
  assert len(made.frame) == 12
  assert trees.column(made, 'label') == [str(i) for i in [*_LABELS, 0, 4, 0, 1]]
  for _, pair in made.frame.groupby('pair'):
    assert pair['patch'].tolist() == ['baseline', 'abnormality']
    places = [int(path.partition('#')[2]) for path in pair['path']]
    assert places[0] % 2 == 0 and places[1] == places[0] + 1
    assert pair['diagnosis'].nunique() == pair['split'].nunique() == 1
    assert set(pair['subject']) == set(pair['pair'])
    kind = 'mass' if pair['label'].iloc[1] in '12' else 'calcification'
    assert pair['diagnosis'].iloc[0] == kind
  assert 'no patient' in '\n'.join(made.notes)


def test_a_fifth_of_many_pairs_validates(tmp_path):
  labels = list(itertools.chain(*([0, 1 + i % 4] for i in range(500))))
  root = _write(tmp_path / 'npy', labels)
  frame = catalog.read('cbis_npy', root, test_images='').frame
  assert len(frame) == 500 and set(frame['split']) == {'train', 'validation'}
  # Four standard deviations of a draw of one in five.
  share = (frame['split'] == 'validation').sum()
  assert abs(share - 100) < 4 * 80**0.5
  assert frame['subject'].iloc[7] == 'train-007'


def test_other_file_names_and_channels(tmp_path):
  root = _write(tmp_path / 'npy')
  np.save(root / 'x 1.npy', trees.pixels(3, (2, 6, 5, 1)))
  np.save(root / 'y.npy', np.array([[0], [2]], np.uint8))
  made, _ = trees.read(
    'cbis_npy', root, tmp_path,
    train_images='x 1.npy', train_labels='y.npy', test_images='',
  )  # fmt: skip
  assert trees.column(made, 'path') == ['x 1.npy#1']
  assert 'No test patches' in '\n'.join(made.notes)


@pytest.mark.parametrize(
  'change, what',
  [
    ({'labels': [0, 1, 0]}, "'train_tensor.npy' holds 3 patches, an odd"),
    ({'labels': [0, 1, 0, 0]}, r'1 labels.*\n  index 3 \(odd\): label 0'),
    ({'labels': [0, 1, 2, 3]}, r'1 labels.*\n  index 2 \(even\): label 2'),
    ({'labels': [0, 1, 0, 5]}, r'1 labels.*\n  index 3 \(odd\): label 5'),
    ({'labels': [1, 0] * 15}, r'30 labels(?s:.*)and 10 more'),
    ({'test_labels': [0, np.nan]}, r"'public_test.*\n  index 1 \(odd\): label"),
    ({'test_labels': [0, 1.5]}, r'index 1 \(odd\): label 1.5'),
    ({'train_labels': np.array([0, 1])}, r'shape \(2,\) does not fit the 8'),
    ({'train_labels': np.array(list('01010101'))}, 'labels of type <U1'),
    ({'train_tensor': np.zeros((8, 5), 'u2')}, r'shape \(5,\) is no image'),
  ],
  ids=['odd_length', 'healthy_at_odd', 'ill_at_even', 'unknown', 'shifted',
       'nan', 'fraction', 'length', 'text', 'no_images'],
)  # fmt: skip
def test_arrays_that_break_the_order_are_refused(tmp_path, change, what):
  root = _write(tmp_path / 'npy', **change)
  with pytest.raises(errors.DataError, match=what):
    catalog.read('cbis_npy', root)


def test_pickles_and_missing_arrays_are_refused(tmp_path):
  root = _write(tmp_path / 'npy')
  np.save(root / 'train_labels.npy', np.array([{}], object), allow_pickle=True)
  with pytest.raises(errors.DataError, match='pickle'):
    catalog.read('cbis_npy', root)
  (root / 'train_labels.npy').unlink()
  (root / 'train_tensor.npy').unlink()
  with pytest.raises(errors.DataError, match=r'2 of 2.*\n.*tensor.*\n.*labels'):
    catalog.read('cbis_npy', root)
