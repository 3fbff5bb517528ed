"""Data sets that are files alone: idx of MNIST, and folders of subjects."""

import gzip
import os
import pathlib

import idx_files
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import catalog, imagefiles, readers, splits, table, torn


@pytest.mark.parametrize('packed', [True, False], ids=['gz', 'plain'])
@pytest.mark.parametrize('mark', ['-', '.'])
def test_mnist_has_the_images_and_labels_of_its_files(
  tmp_path, rng, packed, mark
):
  pixels, labels = idx_files.write(tmp_path, rng, gz=packed, mark=mark)
  frame, notes, _ = catalog.read('mnist', tmp_path)
  assert frame['diagnosis'].tolist() == list(map(str, labels))
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  for path, want in zip(frame['path'], pixels, strict=True):
    np.testing.assert_array_equal(
      files.image(path)[:, :, 0], want.astype(np.float32) / np.float32(255)
    )
  assert (frame['split'][40:] == 'test').all()
  chosen = [
    splits.sha256_bucket(f'validation:train-{i}', 8) == 0 for i in range(40)
  ]
  assert (frame['split'][:40] == 'validation').tolist() == chosen
  assert f'{sum(chosen)} of 40' in notes[0]
  assert frame['subject'].is_unique


def test_classes_as_subjects_are_apart_between_splits(tmp_path, rng):
  idx_files.write(tmp_path, rng)
  by_image = catalog.read('fashion_mnist', tmp_path).frame
  frame = catalog.read('fashion_mnist', tmp_path, identity='class').frame
  assert (frame['split'] == by_image['split']).all()
  assert (frame['diagnosis'] == by_image['diagnosis']).all()
  want = frame['split'] + ' ' + frame['diagnosis']
  assert (frame['subject'] == want).all()
  torn.check_disjoint(frame)


def test_idx_files_that_do_not_fit_together_are_refused(tmp_path, rng):
  idx_files.write(tmp_path, rng)
  labels = tmp_path / 'train-labels-idx1-ubyte.gz'
  whole = labels.read_bytes()
  labels.write_bytes(gzip.compress(idx_files.packed(np.zeros(39, np.uint8))))
  with pytest.raises(errors.DataError, match=r'40 images, .* 39 labels'):
    catalog.read('mnist', tmp_path)
  labels.write_bytes(gzip.compress(idx_files.packed(np.full(40, 10, np.uint8))))
  with pytest.raises(errors.DataError, match='label 0 is 10'):
    catalog.read('mnist', tmp_path)
  labels.write_bytes((tmp_path / 'train-images-idx3-ubyte.gz').read_bytes())
  with pytest.raises(errors.DataError, match='3 axes, not of type 8'):
    catalog.read('mnist', tmp_path)
  labels.write_bytes(whole[:-9])
  with pytest.raises(errors.DataError, match='truncated'):
    catalog.read('mnist', tmp_path)
  labels.unlink()
  with pytest.raises(errors.DataError, match='train-labels'):
    catalog.read('mnist', tmp_path)


def test_fashion_mnist_of_the_real_files():
  data = os.environ.get('MAMMOJAX_DATA')
  if not data:
    pytest.skip('MAMMOJAX_DATA is unset')
  frame, _, _ = catalog.read(
    'fashion_mnist', pathlib.Path(data) / 'fashion_mnist_idx'
  )
  assert (frame['split'] == 'test').sum() == 10000
  assert frame['diagnosis'].value_counts().tolist() == [7000] * 10
  # Its first image is known to be an ankle boot.
  assert frame['diagnosis'][0] == 'Ankle boot'


def _tree(root, *paths):
  for path in paths:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b'P5 2 1 255\n' + os.fsencode(path)[-6:-4])
  return root


def test_a_folder_is_a_subject(tmp_path):
  root = _tree(
    tmp_path, '007/b.pgm', '007/a.pgm', '007/2020/c.PGM', '1e5/x y.pgm',
    '1e5/notes.txt', '1e5/.hidden.pgm', '.git/a/b.pgm',
  )  # fmt: skip
  frame, notes, _ = catalog.read('folders', root)
  assert frame['path'].tolist() == [
    '007/2020/c.PGM', '007/a.pgm', '007/b.pgm', '1e5/x y.pgm',
  ]  # fmt: skip
  assert frame['subject'].tolist() == ['007'] * 3 + ['1e5']
  assert (frame['split'] == '').all()
  assert notes[0].startswith('1 files of other endings')
  assert '2 subjects; 1 of them have one image' in notes[1]
  out = tmp_path / 't.csv'
  frame.to_csv(out, index=False)
  assert table.read(out)[0]['subject'].tolist() == frame['subject'].tolist()


def test_folders_above_the_subjects_are_splits(tmp_path):
  root = _tree(tmp_path, 'train/1/a.pgm', 'val/2/b.pgm', 'test/3/c.pgm')
  frame = catalog.read('folders', root).frame
  got = dict(zip(frame['subject'], frame['split'], strict=True))
  assert got == {'1': 'train', '2': 'validation', '3': 'test'}


def test_folders_of_training_and_test_share_out_validation(tmp_path):
  paths = [f'train/{i:03d}/a.pgm' for i in range(60)]
  root = _tree(tmp_path, *paths, 'test/t/a.pgm')
  frame = catalog.read('folders', root).frame
  want = [
    splits.sha256_bucket(f'validation:{i:03d}', 8) == 0 for i in range(60)
  ]
  assert (frame['split'] == 'validation').tolist() == [False, *want]


def test_one_split_alone_is_forgotten(tmp_path):
  frame, notes, _ = catalog.read(
    'folders', _tree(tmp_path, 'train/1/a.pgm', 'train/2/a.pgm')
  )
  assert (frame['split'] == '').all()
  assert any('only train' in note for note in notes)


@pytest.mark.parametrize(
  'paths, options, error, what',
  [
    (['a.pgm', '1/b.pgm'], {}, errors.DataError, "subject, such as 'a.pgm'"),
    (['train/1/a.pgm', '2/b.pgm'], {}, errors.DataError, '--level=subject'),
    (['1/a.pgm'], {'level': 'split'}, errors.DataError, "'1' is not called"),
    (
      ['train/1/a.pgm', 'test/1/b.pgm'],
      {},
      errors.IntegrityError,
      'more than one split',
    ),
    (['1/readme.txt'], {}, errors.DataError, 'No image'),
  ],
  ids=['stray', 'mixed', 'no_split', 'leak', 'empty'],
)
def test_folders_that_cannot_be_read_are_refused(
  tmp_path, paths, options, error, what
):
  with pytest.raises(error, match=what):
    catalog.read('folders', _tree(tmp_path, *paths), **options)


@pytest.mark.parametrize('place', ['A/{}.pgm', 'train/{}/a.pgm'])
def test_names_that_no_table_can_hold_are_refused(tmp_path, place):
  root = _tree(tmp_path, 'test/B/b.pgm' if 'train' in place else 'B/b.pgm')
  # As an archive made under Latin-1 leaves it.
  name = os.fsdecode(b'Andr\xe9')
  try:
    _tree(root, place.format(name))
  except OSError:
    pytest.skip('this file system takes UTF-8 only')
  with pytest.raises(errors.DataError, match=r'not UTF-8.*Andr\\udce9'):
    catalog.read('folders', root)


def test_a_subject_may_be_called_test(tmp_path):
  root = _tree(tmp_path, 'test/a.pgm', '2/b.pgm')
  frame = catalog.read('folders', root, level='subject').frame
  assert frame['subject'].tolist() == ['2', 'test']
