"""Formats are told by content; pickles are refused and convertible."""

import io
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from mammojax import errors
from mammojax.models import pretrained
from mammojax.models.weights import content
from tests.weight_files import tensor_bytes


class Bomb:
  """What a hostile pickle does when it is read."""

  def __reduce__(self):
    return os.mkdir, ('owned',)


def zipped(names, cut=None):
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as file:
    for name in names:
      file.writestr(name, pickle.dumps([1, 2]))
  return buffer.getvalue()[:cut]


PICKLES = {
  **{f'protocol {n}': pickle.dumps(Bomb(), n) for n in range(6)},
  'long text protocol': pickle.dumps(list(range(9000)), 0),
  'zip of torch': zipped(['archive/data.pkl', 'archive/data/0']),
  'zip of torch, cut': zipped(['archive/data.pkl', 'archive/data/0'], 90),
  'zip of TorchScript': zipped(['net/code/x.py', 'net/constants.pkl']),
}


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors', 'w.h5', 'weights'])
@pytest.mark.parametrize('data', PICKLES.values(), ids=PICKLES)
def test_pickles_are_refused_whatever_their_name(
  tmp_path, monkeypatch, data, name
):
  monkeypatch.chdir(tmp_path)
  (tmp_path / name).write_bytes(data)
  with pytest.raises(errors.DataError, match='is pickled') as caught:
    pretrained.load(tmp_path / name, {'params': {}})
  assert 'weights_only=True' in str(caught.value)
  assert 'save_file' in str(caught.value)
  # Nothing in it was run.
  assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize('start', [0, 640, 1400])
def test_no_length_of_a_header_looks_like_a_pickle(tmp_path, start):
  """640 is 0x80 0x02, as pickles of protocol 2 begin."""
  path = tmp_path / 'w'
  for length in range(max(start, 60), start + 300):
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(tensor_bytes(text.ljust(length), b'abcd'))
    assert content.layout(path) == 'safetensors'


OTHERS = {
  'empty': (b'', 'is empty'),
  'a byte of a pickle': (b'\x80', 'cut: 1 bytes'),
  'web page': (b'<!doctype html><html>404</html>', 'download failed'),
  'lfs': (b'version https://git-lfs.github.com/spec/v1\noid', 'Git LFS'),
  'gzip': (b'\x1f\x8b\x08\0\0\0\0\0', 'unpack it first'),
  'numpy': (b'\x93NUMPY\x01\0v\0{}', 'a single NumPy array'),
  'zip': (zipped(['a.txt']), 'zip archive without weights'),
  'cut zip': (zipped(['a.txt'])[:40], 'damaged zip'),
  'tar': (b'a'.ljust(257, b'\0') + b'ustar\0', 'tar archive'),
  'few bytes': (b'\x07\0\0', 'cut'),
  'text': (b'these are the weights, really: 0.1 0.2', 'no format known'),
  'noise': (bytes(range(9, 250)), 'no format known'),
}


@pytest.mark.parametrize('data, message', OTHERS.values(), ids=OTHERS)
def test_what_is_no_weights_is_named(tmp_path, data, message):
  path = tmp_path / 'model.safetensors'
  path.write_bytes(data)
  with pytest.raises(errors.DataError, match=message) as caught:
    content.layout(path)
  assert repr(str(path)) in str(caught.value)


def test_missing_files_and_folders_are_usage_errors(tmp_path):
  with pytest.raises(errors.UsageError, match='No such file'):
    content.layout(tmp_path / 'nothing.h5')
  with pytest.raises(errors.UsageError, match='is a folder'):
    content.layout(tmp_path)


@pytest.mark.parametrize('wrap', [None, 'state_dict'])
def test_the_lines_of_the_refusal_convert(tmp_path, rng, wrap):
  torch = pytest.importorskip('torch')
  values = {'a.weight': rng.normal(size=(2, 3)), 'b': rng.normal(size=4)}
  state = {k: torch.tensor(np.float32(v)) for k, v in values.items()}
  state['c'] = state['b']
  path = tmp_path / "it's a net.pth"
  torch.save({wrap: state, 'epoch': 3} if wrap else state, path)
  with pytest.raises(errors.DataError) as caught:
    content.layout(path)
  code = str(caught.value).split('<<EOF\n')[1].split('EOF\n')[0]
  subprocess.run([sys.executable, '-c', code], cwd=tmp_path, check=True)
  out = path.with_suffix('.safetensors')
  assert content.layout(out) == 'safetensors'
  got = safetensors.numpy.load_file(out)
  assert set(got) == {'a.weight', 'b', 'c'}
  np.testing.assert_array_equal(got['c'], np.float32(values['b']))
  # The file to give next is named so that a shell takes it.
  quoted = str(caught.value).split('and give ')[1].split(' instead')[0]
  shown = subprocess.run(
    ['bash', '-c', f'ls {quoted}'], capture_output=True, text=True, check=True
  )
  assert pathlib.Path(shown.stdout.strip()) == out
