"""Files of Keras that hang, kill or bloat the process that reads them."""

import os
import pathlib
import signal
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import pretrained
from mammojax.models.weights import isolation
from tests import weight_files


@pytest.fixture
def layers(rng):
  """Two convolutions."""
  return {
    'one': {'kernel': np.float32(rng.normal(size=(3, 3, 1, 2)))},
    'two': {'kernel': np.float32(rng.normal(size=(1, 1, 2, 2)))},
  }


@pytest.fixture
def path(tmp_path, layers):
  return weight_files.h5_listed(tmp_path / 'w.h5', layers)


def test_arrays_come_through_the_pipe(path, layers):
  with pretrained.opened(path) as archive:
    assert archive.layout == 'keras_h5'
    for name in ('two', 'one', 'two'):
      entry = archive.entries[f'{name}/kernel']
      assert entry.shape == layers[name]['kernel'].shape
      np.testing.assert_array_equal(entry.float32(), layers[name]['kernel'])


def test_bfloat16_comes_through_the_pipe(tmp_path):
  value = np.arange(6, dtype=np.float32).astype('bfloat16').reshape(1, 1, 2, 3)
  with h5py.File(tmp_path / 'w', 'w') as file:
    group = file.create_group('layers/conv2d/vars')
    group.attrs['name'] = 'one'
    group['0'] = value.view('V2')
    group['0'].attrs['dtype'] = 'bfloat16'
  with pretrained.opened(tmp_path / 'w') as archive:
    found = archive.entries['one/kernel'].float32()
  np.testing.assert_array_equal(found, np.float32(value))


def test_flipped_bits_leave_this_process_whole(path):
  data = path.read_bytes()
  rng = np.random.default_rng(1)
  refused = 0
  for _ in range(12):
    damaged = bytearray(data)
    for bit in rng.integers(0, 8 * len(data), 8).tolist():
      damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
      with pretrained.opened(path) as archive:
        for entry in archive.entries.values():
          entry.read()
    except errors.DataError as error:
      assert repr(str(path)) in str(error)
      refused += 1
  assert refused


def _children():
  task = f'/proc/self/task/{threading.get_native_id()}/children'
  return [int(pid) for pid in pathlib.Path(task).read_text().split()]


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_a_crash_is_an_error_that_names_the_file(path):
  before = set(_children())
  with isolation.opened(path, archive=False) as archive:
    (child,) = set(_children()) - before
    archive.entries['one/kernel'].read()
    os.kill(child, signal.SIGSEGV)
    with pytest.raises(errors.DataError, match='SIGSEGV') as caught:
      archive.entries['two/kernel'].read()
  assert repr(str(path)) in str(caught.value)
  assert child not in _children()


def test_a_file_that_gives_no_answer_is_given_up(tmp_path):
  """Nobody writes into the pipe, so to open it takes for ever."""
  path = tmp_path / 'w'
  os.mkfifo(path)
  with (
    pytest.raises(errors.DataError, match='more than 2 s'),
    isolation.opened(path, archive=False, timeout_s=2.0),
  ):
    pass


def test_memory_is_bounded(path):
  """A file of few bytes may announce any shape."""
  with h5py.File(path, 'a') as file:
    del file['one/one/kernel:0']
    file.create_dataset('one/one/kernel:0', (3 << 30,), 'f4', chunks=True)
  with isolation.opened(path, archive=False) as archive:
    with pytest.raises(errors.DataError, match='8 GiB'):
      archive.entries['one/kernel'].read()
    archive.entries['two/kernel'].read()


def test_text_in_place_of_numbers_is_refused(path):
  with h5py.File(path, 'a') as file:
    del file['one/one/kernel:0']
    file['one/one/kernel:0'] = ['a', 'b']
  with (
    isolation.opened(path, archive=False) as archive,
    pytest.raises(errors.DataError, match='holds no numbers'),
  ):
    archive.entries['one/kernel'].read()


def test_h5py_is_not_loaded_where_it_must_not_crash():
  code = (
    'import sys; from mammojax.models import pretrained;'
    'sys.exit("h5py" in sys.modules)'
  )
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0
