"""Images of a table: the same from memory and from files."""

import cv2
import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import images, imageset, readers, recipes


class _Counting:
  """A store that counts what is read."""

  def __init__(self, root):
    self._store = readers.open_store(root)
    self.root = self._store.root
    self.count = 0

  def read(self, path):
    self.count += 1
    return self._store.read(path)

  def exists(self, path):
    return self._store.exists(path)


@pytest.fixture
def store(tmp_path, rng):
  """Twelve 16 bit grey images of 32 x 32."""
  for i in range(12):
    noise = rng.integers(0, 65535, (32, 32), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / f'{i}.png'), noise)
  return _Counting(tmp_path)


@pytest.fixture
def frame():
  return pd.DataFrame(
    {
      'path': [f'{i}.png' for i in range(12)],
      'laterality': ['L', 'R', ''] * 4,
      'row': np.arange(12) + 2,
    }
  )


def _made(frame, store, *steps, cache_mb=2048, **options):
  recipe = recipes.Recipe((*steps, 'fit'), **options)
  return images.TableImages(frame, store, recipe, cache_mb=cache_mb)


def _pixels(store, row):
  """The file's own pixels in float64."""
  raw = cv2.imread(str(store.root / f'{row}.png'), cv2.IMREAD_UNCHANGED)
  return raw / 65535


def test_values_are_those_of_the_file(frame, store):
  made = _made(frame, store, image_size=32)
  batch = made.images(np.array([3, 0, 3]))
  assert batch.shape == (3, 32, 32, 1) and batch.dtype == np.float32
  for place, row in enumerate([3, 0, 3]):
    np.testing.assert_allclose(
      batch[place, ..., 0], _pixels(store, row), atol=1e-7
    )


def test_fitted_values_are_within_half_a_level(frame, store):
  made = _made(frame, store, image_size=8, channels=3)
  want = _pixels(store, 5).reshape(8, 4, 8, 4).mean((1, 3))
  got = made.images(np.array([5]))[0]
  assert np.abs(got - want[..., None]).max() <= 0.5 / 65535 + 1e-6


@pytest.mark.parametrize('mirror', ['L', 'R'])
def test_orient_flips_one_side(frame, store, mirror):
  frame = frame[frame['laterality'] != ''].reset_index(drop=True)
  made = _made(frame, store, 'orient', image_size=32, mirror=mirror)
  for row, file, side in ((0, 0, 'L'), (1, 1, 'R'), (2, 3, 'L')):
    want = _pixels(store, file)
    want = want[:, ::-1] if side == mirror else want
    np.testing.assert_allclose(
      made.images(np.array([row]))[0, ..., 0], want, atol=1e-7
    )


def test_memory_and_files_give_the_same(frame, store):
  kwargs = dict(image_size=16, fit='crop')
  rows = np.array([11, 2, 2, 7, 0])
  kept = _made(frame, store, **kwargs)
  read = _made(frame, store, cache_mb=0, **kwargs)
  first = kept.images(rows)
  np.testing.assert_array_equal(kept.images(rows), first)
  np.testing.assert_array_equal(read.images(rows), first)
  np.testing.assert_array_equal(read.images(rows), first)


def test_memory_holds_up_to_its_limit(frame, tmp_path, rng):
  for i in range(12):
    noise = rng.integers(0, 255, (8, 8), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / f'{i}.png'), noise)
  store = _Counting(tmp_path)
  # 256 x 256 x 2 bytes = 1/8 MiB: eight images fit.
  made = _made(frame, store, image_size=256, cache_mb=1)
  assert made.preload(threads=3) > 0
  assert store.count == 8
  made.images(np.arange(8))
  assert store.count == 8
  made.images(np.array([9, 9]))
  assert store.count == 10


def test_regions(tmp_path):
  image = np.zeros((64, 64), np.uint8)
  image[20:44, :16] = 200
  image[2:6, 56:60] = 255
  cv2.imwrite(str(tmp_path / 'a.png'), image)
  made = _made(
    pd.DataFrame({'path': ['a.png']}),
    readers.open_store(tmp_path),
    image_size=64,
  )
  row = np.array([0])
  breast = made.images(row, 'breast')[0, ..., 0]
  assert breast[30, 8] > 0.7 and np.all(breast[:10, 50:] == 0)
  rest = made.images(row, 'background')[0, ..., 0]
  assert np.all(rest[20:44, :16] == 0) and rest[4, 58] == 1.0
  whole = made.images(row)[0, ..., 0]
  np.testing.assert_allclose(whole * 255, image, atol=0.01)
  with pytest.raises(errors.UsageError, match=', '.join(imageset.REGIONS[:1])):
    made.images(row, 'al')


def test_errors_name_path_and_row(frame, store):
  (store.root / '4.png').write_bytes(b'<html>')
  (store.root / '5.png').unlink()
  made = _made(frame, store, image_size=8)
  with pytest.raises(errors.DataError, match=r"Row 6 .*'4.png': an HTML"):
    made.images(np.array([4]))
  with pytest.raises(errors.DataError, match=r"Row 7 .*'5.png' does not"):
    made.images(np.array([5]))
  with pytest.raises(errors.DataError, match='Row 6 of the table'):
    made.preload()


def test_a_region_does_not_depend_on_what_memory_holds(tmp_path, rng):
  """The mask comes from the file, before window and contrast move greys."""
  image = 0.1 * rng.random((60, 40))
  image[10:50, :20] += 0.6
  image[2:8, 30:38] = 1.0
  cv2.imwrite(str(tmp_path / 'a.png'), (image * 65535).astype(np.uint16))
  frame = pd.DataFrame({'path': ['a.png'], 'laterality': ['R']})
  store = readers.open_store(tmp_path)
  steps = ('orient', 'window', 'contrast')
  options = dict(image_size=40, contrast_factor=3.0)
  for region in ('breast', 'background'):
    kept = _made(frame, store, *steps, **options)
    read = _made(frame, store, *steps, cache_mb=0, **options)
    kept.preload()
    want = read.images(np.array([0]), region)
    for made in (kept, read, kept):
      np.testing.assert_array_equal(made.images(np.array([0]), region), want)
  # The label lies left after the flip, the breast right.
  outside = kept.images(np.array([0]), 'breast')[0, :, :18]
  assert not outside.any() and kept.images(np.array([0]))[0, :, :18].any()
  np.testing.assert_array_equal(
    kept.images(np.array([0])), read.images(np.array([0]))
  )


def test_images_in_doubt_are_told(tmp_path, caplog):
  cv2.imwrite(str(tmp_path / 'a\x1b.png'), np.zeros((32, 32), np.uint8))
  cv2.imwrite(str(tmp_path / 'b.png'), np.full((32, 32), 9, np.uint8))
  frame = pd.DataFrame({'path': ['a\x1b.png', 'b.png']})
  store = readers.open_store(tmp_path)
  made = _made(frame, store, 'breast_crop', image_size=8)
  made.preload()
  made.warn_of_doubts()
  assert made.doubts == {0: ('empty', 'constant'), 1: ('empty', 'constant')}
  assert '2 of 2 images are in doubt' in caplog.text
  assert r"'a\x1b.png': no breast was found; all pixels" in caplog.text
