"""idx and NumPy files: every level, every damage, one image of many."""

import gzip
import os
import pathlib
import pickle
import struct
import zipfile

import cv2
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import imagefiles, images, readers, recipes, table


def _idx(array, kind=8):
  head = struct.pack(
    f'>BBBB{array.ndim}I', 0, 0, kind, array.ndim, *array.shape
  )
  return head + array.tobytes()


def _npy(path, array):
  np.save(path, array, allow_pickle=False)
  return path.read_bytes()


@pytest.mark.parametrize('dtype', ['u1', '<u2', '>u2'])
def test_every_level_of_an_array_survives(tmp_path, dtype):
  full = np.iinfo(dtype).max
  ramp = np.arange(full + 1).astype(dtype).reshape(16, -1)
  data = _npy(tmp_path / 'a.npy', ramp)
  image = readers.decode(data, 'a.npy')
  assert image.dtype == np.float32 and image.shape == (*ramp.shape, 1)
  assert len(np.unique(image)) == full + 1
  np.testing.assert_array_equal(
    np.rint(image[..., 0].astype(np.float64) * full), ramp
  )
  bits = 8 * np.dtype(dtype).itemsize
  assert readers.inspect(data, 'a.npy') == (ramp.shape[1], 16, 1, bits)


@pytest.mark.parametrize(
  'array',
  [
    np.linspace(0, 1, 48, dtype=np.float64).reshape(4, 4, 3),
    np.asfortranarray(np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)),
    np.eye(4, dtype=bool),
  ],
  ids=['colour', 'fortran', 'mask'],
)
def test_arrays_of_floats_and_masks(tmp_path, array):
  image = readers.decode(_npy(tmp_path / 'a.npy', array), 'a.npy')
  np.testing.assert_allclose(image, array.reshape(image.shape), atol=1e-7)


@pytest.mark.parametrize(
  'array, message',
  [
    (np.zeros((4, 4), np.int64), 'numbers of type int64; save uint8'),
    (np.full((4, 4), 255.0), 'floats from 255 to 255; scale them'),
    (np.full((4, 4), np.nan), 'floats from nan'),
    (np.zeros((5, 4, 4), np.uint8), r'shape \(5, 4, 4\).*by its index'),
    (np.zeros((0, 4), np.uint8), 'is empty'),
    (np.uint8(3), r'shape \(\) is no image'),
    (np.zeros((4, 4), 'u1,u1'), 'numbers of type'),
  ],
  ids=['int', 'range', 'nan', 'stack', 'empty', 'scalar', 'record'],
)
def test_arrays_that_are_no_image_are_refused(tmp_path, array, message):
  data = _npy(tmp_path / 'a.npy', array)
  with pytest.raises(errors.DataError, match=f"'a.npy'.*{message}"):
    readers.decode(data, 'a.npy')


def test_pickles_are_refused(tmp_path):
  path = tmp_path / 'evil.npy'
  np.save(path, np.array([{'a': 1}], dtype=object), allow_pickle=True)
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  for name in ('evil.npy', 'evil.npy#0'):
    with pytest.raises(errors.DataError, match=r'pickle.*refused.*np\.save'):
      files.image(name)
  path.write_bytes(pickle.dumps(np.zeros(4)))
  with pytest.raises(errors.DataError, match=r'a pickle.*save a plain \.npy'):
    files.image('evil.npy')


@pytest.mark.parametrize('name', ['a.npy', 'a.npy#1'])
def test_damaged_arrays_are_refused(tmp_path, name):
  path = tmp_path / 'a.npy'
  whole = _npy(path, np.zeros((3, 8, 8), np.uint8))
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  for data, message in (
    (whole[:-5], 'truncated NumPy array.*copy it again'),
    (whole[:60], 'header of the NumPy array is cut'),
    (whole.replace(b'(3, 8, 8)', b'(3, 8, *)'), 'header of the NumPy'),
    (b'\x93NUMPY\x09\x00' + whole[8:], 'header of the NumPy'),
    (whole.replace(b'(3, 8, 8)', b'(-3,8, 8)'), 'is empty'),
    (
      whole.replace(b'8, 8), }' + b' ' * 40, b'8, ' + b'9' * 40 + b'), }'),
      'NumPy',
    ),
  ):
    path.write_bytes(data)
    with pytest.raises(errors.DataError, match=f"'a.npy'.*{message}"):
      files.image(name)


def test_images_of_many_by_index(tmp_path, rng):
  many = rng.integers(0, 256, (5, 6, 7), dtype=np.uint8)
  (tmp_path / 'm.idx.gz').write_bytes(gzip.compress(_idx(many)))
  (tmp_path / 'm.idx').write_bytes(_idx(many))
  _npy(tmp_path / 'm.npy', many)
  _npy(tmp_path / 'c.npy', many.reshape(5, 2, 7, 3))
  with zipfile.ZipFile(tmp_path / 'all.zip', 'w') as archive:
    archive.write(tmp_path / 'm.npy', 'm.npy')
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  packed = imagefiles.ImageFiles(readers.open_store(tmp_path / 'all.zip'))
  for index in (4, 0, 2):
    want = many[index] / 255
    for name in ('m.idx.gz', 'm.idx', 'm.npy'):
      image = files.image(f'{name}#{index}')
      assert type(image) is np.ndarray and image.dtype == np.float32
      np.testing.assert_allclose(image[..., 0], want, atol=1e-7)
    colour = files.image(f'c.npy#{index}')
    np.testing.assert_allclose(colour, want.reshape(2, 7, 3), atol=1e-7)
    image = packed.image(f'm.npy#{index}')[..., 0]
    np.testing.assert_allclose(image, want, atol=1e-7)
  assert readers.inspect(_idx(many), 'm') == (7, 6, 1, 8)
  with pytest.raises(errors.DataError, match=r'5 images; #5 is not among #0'):
    files.image('m.idx.gz#5')
  with pytest.raises(errors.DataError, match=r"5 images.*'m.idx.gz#4'"):
    files.image('m.idx.gz')


def test_an_array_is_mapped_and_not_read(tmp_path):
  _npy(tmp_path / 'm.npy', np.zeros((3, 4, 4), np.uint8))
  store = readers.open_store(tmp_path)
  store.read = None  # would fail when called
  assert imagefiles.ImageFiles(store).image('m.npy#1').max() == 0.0


@pytest.mark.parametrize(
  'data, message',
  [
    (_idx(np.zeros(9, np.uint8)), 'type 8 and 1 axes'),
    (_idx(np.zeros((1, 2, 2), '>f4'), 13), 'type 13'),
    (_idx(np.zeros((2, 4, 4), np.uint8))[:-1], 'truncated idx.*fetch it again'),
    (_idx(np.zeros((2, 4, 4), np.uint8)) + b'x', 'longer found'),
    (_idx(np.zeros((2, 4, 4), np.uint8))[:9], 'truncated idx'),
    (gzip.compress(_idx(np.zeros((2, 4, 4), np.uint8)))[:-9], 'truncated gzip'),
    (gzip.compress(_idx(np.zeros((300, 300, 300), np.uint8))), 'ratio of 200'),
    (gzip.compress(b'hello'), 'gzip file without idx'),
    (b'\x1f\x8b\x08', 'gzip file without idx'),
  ],
  ids=[
    'labels',
    'floats',
    'cut',
    'long',
    'header',
    'gzip-cut',
    'bomb',
    'no-idx',
    'no-gzip',
  ],
)
def test_damaged_idx_are_refused(tmp_path, data, message):
  (tmp_path / 'x.gz').write_bytes(data)
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  for name in ('x.gz', 'x.gz#0'):
    with pytest.raises(errors.DataError, match=f"'x.gz'.*{message}"):
      files.image(name)


def test_names_with_a_number_sign(tmp_path):
  grey = np.full((4, 4), 51, np.uint8)
  for name in ('a#3.png', 'b.png', 'c#7'):
    (tmp_path / name).write_bytes(cv2.imencode('.png', grey)[1].tobytes())
  files = imagefiles.ImageFiles(readers.open_store(tmp_path))
  for name in ('a#3.png', 'b.png', 'c#7'):
    assert files.exists(name) and np.allclose(files.image(name), 0.2)
  assert not files.exists('b.png#01') and not files.exists('none#1')
  with pytest.raises(errors.DataError, match='one image; leave the #'):
    files.image('b.png#0')
  with pytest.raises(errors.DataError, match='does not exist'):
    files.image('b.png#01')
  with pytest.raises(errors.DataError, match='refused'):
    files.exists('../b.png#0')


def test_a_table_of_stacks_is_read(tmp_path, rng):
  many = rng.integers(0, 65536, (4, 8, 8), dtype=np.uint16)
  _npy(tmp_path / 'm.npy', many)
  rows = [f'm.npy#{index},{index}' for index in (2, 0, 3)]
  (tmp_path / 't.csv').write_text('path,subject\n' + '\n'.join(rows))
  frame, store = table.read(tmp_path / 't.csv')
  made = images.TableImages(
    frame, store, recipes.Recipe(('fit',), image_size=8)
  )
  assert made.preload(threads=2) > 0
  got = made.images(np.arange(3))[..., 0]
  np.testing.assert_allclose(got, many[[2, 0, 3]] / 65535, atol=1e-7)


def test_fashion_mnist_is_read():
  folder = pathlib.Path(
    os.environ.get('MAMMOJAX_DATA', ''), 'fashion_mnist_idx'
  )
  if not os.environ.get('MAMMOJAX_DATA') or not folder.is_dir():
    pytest.skip('no real data')
  name = 't10k-images-idx3-ubyte.gz'
  raw = gzip.decompress((folder / name).read_bytes())
  want = np.frombuffer(raw, np.uint8, offset=16).reshape(10000, 28, 28)
  files = imagefiles.ImageFiles(readers.open_store(folder))
  for index in (0, 1234, 9999):
    image = files.image(f'{name}#{index}')[..., 0]
    np.testing.assert_allclose(image, want[index] / 255, atol=1e-7)
  with pytest.raises(errors.DataError, match='type 8 and 1 axes'):
    files.image('t10k-labels-idx1-ubyte.gz#0')
