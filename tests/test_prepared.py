"""Prepared images: the same pixels, whole or not there, and no other's."""

import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import imageset, prepared, preparing

KEY = {'table': 'a' * 64, 'image_size': 6, 'columns': {'path': ''}}
KEPT = {'depth': 'uint16', 'regions': ('all',)}
COUNT = 150


class Drawn:
  """Images of random values; a region is a third of the whole."""

  def __init__(self, channels=1, count=COUNT):
    rng = np.random.default_rng(0)
    self.image_size, self.channels = 6, channels
    self.frame = pd.DataFrame({'row': np.arange(count) + 2})
    self.frame['subject'] = 'a'
    self.pixels = rng.random((count, 6, 6, channels), np.float32)
    self.pixels[0, 0, 0], self.pixels[0, 0, 1] = 0.0, 1.0

  def images(self, rows, region='all'):
    return self.pixels[rows] / (1 + 2 * imageset.REGIONS.index(region))


def _make(folder, images=None, key=KEY, **kept):
  return prepared.make(folder, key, images or Drawn(), **{**KEPT, **kept})


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(
  'depth, error',
  [('uint16', 0.5 / 65535), ('uint8', 0.5 / 255), ('float32', 0.0)],
)
def test_pixels_come_back_within_the_stated_error(
  tmp_path, depth, error, channels
):
  images = Drawn(channels)
  made = _make(tmp_path / 'new' / 'made', images, depth=depth)
  rows = np.random.default_rng(1).integers(0, COUNT, 400)
  found = made.images(rows)
  assert found.dtype == np.float32 and found.shape == (400, 6, 6, channels)
  # Half a rounding of float32 beyond the rounding to levels.
  assert np.abs(found - images.pixels[rows]).max() <= error + 2**-25
  assert found.min() >= 0 and found.max() <= 1
  pd.testing.assert_frame_equal(made.frame, images.frame)
  assert made.images(np.array([], int)).shape == (0, 6, 6, channels)


def test_levels_of_sixteen_bits_come_back_bit_for_bit(tmp_path):
  images = Drawn()
  levels = np.random.default_rng(2).integers(0, 65536, images.pixels.shape)
  images.pixels = levels.astype(np.float32) / np.float32(65535)
  made = _make(tmp_path / 'made', images)
  np.testing.assert_array_equal(made.images(np.arange(COUNT)), images.pixels)


def test_regions_are_stored_beside_the_whole(tmp_path):
  images = Drawn()
  kept = {'depth': 'float32', 'regions': ('all', 'background')}
  made = _make(tmp_path / 'made', images, **kept)
  rows = np.array([7, 3, 149])
  for region in kept['regions']:
    np.testing.assert_array_equal(
      made.images(rows, region), images.images(rows, region)
    )
  with pytest.raises(errors.DataError, match="and not 'breast'"):
    made.images(rows, 'breast')
  with pytest.raises(errors.UsageError, match="Did you mean 'breast'"):
    made.images(rows, 'breats')
  # Fewer regions may be asked for, others may not.
  assert prepared.find(tmp_path / 'made', KEY, **kept | {'regions': ('all',)})
  with pytest.raises(errors.IntegrityError, match='lacks the region breast'):
    prepared.find(tmp_path / 'made', KEY, **kept | {'regions': ('breast',)})


@pytest.mark.parametrize('rows', [[0, COUNT], [-1, 3]], ids=str)
def test_rows_that_do_not_exist_are_refused(tmp_path, rows):
  with pytest.raises(errors.DataError, match=f'holds {COUNT} images'):
    _make(tmp_path / 'made').images(np.array(rows))


def test_a_second_making_reads_the_first(tmp_path):
  _make(tmp_path / 'made')
  other = Drawn()
  other.pixels = np.zeros_like(other.pixels)
  again = _make(tmp_path / 'made', other)
  assert again.images(np.array([5])).max() > 0.5


def test_files_are_private_and_no_draft_stays(tmp_path):
  _make(tmp_path / 'made')
  assert (tmp_path / 'made').stat().st_mode & 0o777 == 0o700
  for path in (tmp_path / 'made').iterdir():
    assert path.stat().st_mode & 0o777 == 0o600
  assert {path.name for path in tmp_path.iterdir()} == {'made', '.made.lock'}


def test_nothing_and_an_empty_folder_are_nothing(tmp_path):
  assert prepared.find(tmp_path / 'none', KEY, **KEPT) is None
  (tmp_path / 'empty').mkdir()
  assert prepared.find(tmp_path / 'empty', KEY, **KEPT) is None
  assert len(_make(tmp_path / 'empty').frame) == COUNT


def test_a_folder_of_something_else_is_refused(tmp_path):
  (tmp_path / 'x.png').write_bytes(b'x')
  with pytest.raises(errors.DataError, match='no folder of prepared images'):
    _make(tmp_path)
  with pytest.raises(errors.DataError, match='is a file'):
    _make(tmp_path / 'x.png')
  with pytest.raises(errors.ResourceError, match='cannot be made'):
    _make(tmp_path / 'x.png' / 'made')


@pytest.mark.parametrize(
  'key, depth, message',
  [
    (KEY | {'table': 'b' * 64}, 'uint16', r"table: 'a+' there, 'b+' wanted"),
    (KEY | {'image_size': 7}, 'uint16', 'image_size: 6 there, 7 wanted'),
    (KEY | {'fit': 'pad'}, 'uint16', "fit: None there, 'pad' wanted"),
    (KEY, 'uint8', "depth: 'uint16' there, 'uint8' wanted"),
  ],
  ids=['table', 'size', 'new field', 'depth'],
)
def test_other_keys_are_refused_with_the_difference(
  tmp_path, key, depth, message
):
  _make(tmp_path / 'made')
  with pytest.raises(errors.IntegrityError, match=message) as caught:
    prepared.find(tmp_path / 'made', key, depth=depth, regions=('all',))
  assert str(tmp_path / 'made') in str(caught.value)


def test_other_rows_are_refused(tmp_path):
  made = _make(tmp_path / 'made')
  frame = made.frame.iloc[::-1].reset_index(drop=True)
  for other in (frame, made.frame.iloc[1:]):
    with pytest.raises(errors.IntegrityError, match=f'holds {COUNT} images'):
      made.use(other)


def test_an_unknown_depth_is_refused(tmp_path):
  with pytest.raises(errors.UsageError, match="Did you mean 'uint16'"):
    _make(tmp_path / 'made', depth='uint61')


@pytest.mark.parametrize('name', [preparing.FILE, preparing.ABOUT])
@pytest.mark.parametrize('how', ['flip', 'cut', 'delete'])
def test_a_changed_file_is_named(tmp_path, name, how):
  _make(tmp_path / 'made')
  path = tmp_path / 'made' / name
  data = bytearray(path.read_bytes())
  if how == 'flip':
    data[len(data) // 2] ^= 1
  path.unlink()
  if how != 'delete':
    path.write_bytes(data[: len(data) // 2] if how == 'cut' else data)
  kind = errors.IntegrityError
  if name == preparing.ABOUT and how == 'delete':
    kind = errors.DataError
  with pytest.raises(kind) as caught:
    prepared.find(tmp_path / 'made', KEY, **KEPT)
  assert name in str(caught.value)


def test_a_bit_flipped_while_open_is_named(tmp_path):
  made = _make(tmp_path / 'made')
  path = tmp_path / 'made' / preparing.FILE
  pixels = made.images(np.arange(COUNT))
  data = path.read_bytes()
  at = data.index(np.rint(pixels[77] * 65535).astype('<u2').tobytes())
  with path.open('r+b') as file:
    file.seek(at + 9)
    file.write(bytes([data[at + 9] ^ 4]))
  with pytest.raises(
    errors.IntegrityError, match=r'images\.array_record is dam'
  ):
    made.images(np.arange(60, 90))
  np.testing.assert_array_equal(made.images(np.array([3])), pixels[3:4])


def test_a_full_disk_is_told_before_writing(tmp_path):
  images = Drawn()
  images.image_size = 30_000_000
  with pytest.raises(errors.ResourceError, match=r'need \d+ bytes, \d+ are'):
    _make(tmp_path / 'made', images)
  assert not (tmp_path / 'made').exists()


def test_an_image_that_cannot_be_read_leaves_nothing(tmp_path):
  class Broken(Drawn):
    def images(self, rows, region='all'):
      if 100 in rows:
        raise errors.DataError('Row 102 of the table: cut.')
      return super().images(rows, region)

  with pytest.raises(errors.DataError, match='Row 102'):
    _make(tmp_path / 'made', Broken())
  assert {path.name for path in tmp_path.iterdir()} == {'.made.lock'}


def test_threads_read_the_same(tmp_path):
  made = _make(tmp_path / 'made')
  want, wrong = made.images(np.arange(COUNT)), []

  def work(seed):
    rng = np.random.default_rng(seed)
    for _ in range(60):
      rows = rng.integers(0, COUNT, 32)
      if not np.array_equal(made.images(rows), want[rows]):
        wrong.append(rows)

  threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert not wrong


_SLOW_MAKER = """
import sys, time
import numpy as np
from tests import test_prepared as case
class Slow(case.Drawn):
  def images(self, rows, region='all'):
    time.sleep(0.05)
    return super().images(rows, region)
images = Slow(count=20_000)
print('go', flush=True)
case.prepared.make(sys.argv[1], case.KEY, images, **case.KEPT)
"""


def _start(folder):
  process = subprocess.Popen(
    [sys.executable, '-c', _SLOW_MAKER, str(folder)],
    cwd=pathlib.Path(__file__).parents[1],
    stdout=subprocess.PIPE,
  )
  assert process.stdout.readline() == b'go\n'
  return process


def test_a_maker_killed_at_any_time_leaves_nothing_usable(tmp_path):
  rng = np.random.default_rng(0)
  folder = tmp_path / 'made'
  for delay in rng.uniform(0.2, 2.0, 2):
    with _start(folder) as process:
      time.sleep(delay)
      process.send_signal(signal.SIGKILL)
    assert (tmp_path / '.made.making').exists()
    assert prepared.find(folder, KEY, **KEPT) is None
  made = _make(folder)
  np.testing.assert_allclose(
    made.images(np.arange(COUNT)), Drawn().pixels, atol=0.5 / 65535 + 2**-25
  )
  assert not (tmp_path / '.made.making').exists()


def test_two_makers_make_it_once(tmp_path):
  folder, found = tmp_path / 'made', []

  class Counted(Drawn):
    def images(self, rows, region='all'):
      found.append(len(rows))
      return super().images(rows, region)

  threads = [
    threading.Thread(target=_make, args=(folder, Counted())) for _ in range(3)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert sum(found) == COUNT
