"""Keras files: layouts of three generations, and files that deceive."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import pretrained
from mammojax.models.weights import content, kerasfiles
from tests import weight_files


@pytest.fixture
def layers(rng):
  """Two convolutions and two kinds of norm."""

  def draw(**shapes):
    return {k: np.float32(rng.normal(size=v)) for k, v in shapes.items()}

  return {
    'one': draw(kernel=(3, 3, 1, 2), bias=(2,)),
    'norm': draw(gamma=2, beta=2, moving_mean=2, moving_variance=2),
    'two': draw(kernel=(1, 1, 2, 2)),
    'plain': draw(beta=2, moving_mean=2, moving_variance=2),
  }


def opened(path):
  """In this process, so that many files take no time."""
  is_archive = content.layout(path) == 'keras_archive'
  return kerasfiles.opened(path, archive=is_archive)


def check(path, layout, layers):
  with opened(path) as archive:
    assert archive.layout == layout
    want = {
      f'{a}/{b}': x for a, kinds in layers.items() for b, x in kinds.items()
    }
    assert set(archive.entries) == set(want)
    for name, value in want.items():
      np.testing.assert_array_equal(archive.entries[name].float32(), value)


def archived(path, inside, description):
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('metadata.json', '{}')
    file.writestr('config.json', json.dumps(description))
    file.writestr('model.weights.h5', inside)
  return path


def described(layers):
  return {
    'config': {
      'layers': [{'class_name': 'InputLayer', 'config': {'name': 'in'}}]
      + [
        {
          'class_name': 'Conv2D' if 'kernel' in v else 'BatchNormalization',
          'config': {'name': k},
        }
        for k, v in layers.items()
      ]
    }
  }


def test_listed_layout(tmp_path, layers):
  check(weight_files.h5_listed(tmp_path / 'w', layers), 'keras_h5', layers)


def test_whole_model_with_long_lists(tmp_path, layers):
  """Lists above 64 KiB are cut in parts; the model's own text is not read."""
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    group = file.create_group('model_weights')
    for name in layers:
      file.move(name, f'model_weights/{name}')
    names = list(file.attrs['layer_names'])
    del file.attrs['layer_names']
    group.attrs['layer_names0'] = names[:3]
    group.attrs['layer_names1'] = names[3:]
    file.attrs['model_config'] = 'this is no JSON and nobody minds'
  check(path, 'keras_h5', layers)


def test_names_of_keras_1(tmp_path, layers):
  layers = {name: layers[name] for name in ('one', 'two')}
  check(
    weight_files.h5_listed(tmp_path / 'w', layers, old=True), 'keras_h5', layers
  )


def test_numbered_layout(tmp_path, layers):
  check(
    weight_files.h5_numbered(tmp_path / 'w', layers), 'keras_weights_h5', layers
  )


@pytest.mark.parametrize('with_names', [True, False])
def test_archive(tmp_path, layers, with_names):
  inside = weight_files.h5_numbered(tmp_path / 'w', layers, with_names)
  path = archived(tmp_path / 'k', inside.read_bytes(), described(layers))
  check(path, 'keras_archive', layers)


def test_numbered_layout_without_names_is_refused(tmp_path, layers):
  path = weight_files.h5_numbered(tmp_path / 'w', layers, with_names=False)
  refused(path, 'names no layer')


def test_bfloat16_kept_as_raw_bytes(tmp_path):
  value = np.arange(6, dtype=np.float32).astype('bfloat16').reshape(1, 1, 2, 3)
  path = tmp_path / 'w'
  with h5py.File(path, 'w') as file:
    group = file.create_group('layers/conv2d/vars')
    group.attrs['name'] = 'one'
    group.create_dataset('0', data=value.view('V2'))
    group['0'].attrs['dtype'] = 'bfloat16'
  check(path, 'keras_weights_h5', {'one': {'kernel': np.float32(value)}})


def refused(path, message):
  def read():
    with opened(path) as archive:
      for entry in archive.entries.values():
        entry.float32()

  with pytest.raises(errors.DataError, match=message) as caught:
    read()
  assert repr(str(path)) in str(caught.value)


def test_other_hdf5_is_refused(tmp_path):
  with h5py.File(tmp_path / 'w', 'w') as file:
    file['images'] = np.zeros(3)
  refused(tmp_path / 'w', 'not of Keras')


@pytest.mark.parametrize('what', ['external link', 'soft link', 'gone'])
def test_links_out_of_the_file_are_refused(tmp_path, layers, what):
  secret = weight_files.h5_listed(tmp_path / 'secret', layers)
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    del file['one/one/bias:0']
    if what == 'external link':
      file['one/one/bias:0'] = h5py.ExternalLink(str(secret), 'one/one/bias:0')
    elif what == 'soft link':
      file['one/one/bias:0'] = h5py.SoftLink('/two')
  refused(path, 'is missing' if what == 'gone' else 'another place')


@pytest.mark.parametrize('what', ['raw file', 'virtual'])
def test_data_in_other_files_is_refused(tmp_path, layers, what):
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  (tmp_path / 'raw').write_bytes(b'password' * 9)
  with h5py.File(path, 'a') as file:
    del file['one/one/bias:0']
    if what == 'raw file':
      file.create_dataset(
        'one/one/bias:0', (2,), 'f4', external=str(tmp_path / 'raw')
      )
    else:
      source = h5py.VirtualSource(str(tmp_path / 'other'), 'x', (2,))
      layout = h5py.VirtualLayout((2,), 'f4')
      layout[:] = source
      file.create_virtual_dataset('one/one/bias:0', layout)
  refused(path, 'kept in another file')


def test_two_layers_of_one_name_are_refused(tmp_path, layers):
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    file.copy('one', 'twin')
    file.attrs['layer_names'] = [b'one', b'twin']
  refused(path, 'twice')


@pytest.mark.parametrize('layout', ['listed', 'numbered', 'archive'])
def test_cut_files_are_refused(tmp_path, rng, layers, layout):
  write = getattr(weight_files, f'h5_{layout}', weight_files.h5_numbered)
  data = write(tmp_path / 'w', layers).read_bytes()
  if layout == 'archive':
    data = archived(tmp_path / 'k', data, described(layers)).read_bytes()
  path = tmp_path / 'damaged'
  for length in rng.integers(8, len(data), 30):
    path.write_bytes(data[:length])
    refused(path, 'cannot be read|damaged zip')


def test_names_that_are_no_text_and_groups_for_arrays(tmp_path, layers):
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    file.attrs['layer_names'] = [b'on\xef']
  refused(path, 'cannot be read')
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    del file['one/one/bias:0']
    file.create_group('one/one/bias:0')
  refused(path, 'is no array')


def test_bombs_are_refused_before_they_are_unpacked(tmp_path):
  path = tmp_path / 'k'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('model.weights.h5', bytes(1 << 25))
  refused(path, 'above a ratio')
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('model.weights.h5', b'')
    file.writestr('config.json', bytes((1 << 26) + 1))
  refused(path, 'above 64 MiB')


def test_an_array_of_a_terabyte_is_never_read(tmp_path, layers):
  """A file of few bytes may announce any shape."""
  path = weight_files.h5_listed(tmp_path / 'w', layers)
  with h5py.File(path, 'a') as file:
    file.create_dataset(
      'block1_conv1/block1_conv1/kernel:0',
      (1 << 18, 1 << 10, 1 << 10),
      'f4',
      chunks=True,
    )
    file.attrs['layer_names'] = [b'block1_conv1']
    file['block1_conv1'].attrs['weight_names'] = [b'block1_conv1/kernel:0']
  with pytest.raises(errors.DataError, match='wanted'):
    pretrained.load(
      path,
      {
        'params': {
          'block1_conv1': {'kernel': np.zeros((3, 3, 1, 2), np.float32)}
        }
      },
    )


def test_description_that_is_no_list_of_layers(tmp_path, layers):
  inside = weight_files.h5_numbered(tmp_path / 'w', layers)
  for text in ('[]', '{"config": 3}', '{"config": {"layers": [1]}}'):
    path = archived(tmp_path / 'k', inside.read_bytes(), json.loads(text))
    refused(path, 'config.json')


def test_archive_from_memory_is_the_one_read(tmp_path, layers):
  """The archive's own HDF5 is read, wherever the process stands."""
  inside = weight_files.h5_numbered(io.BytesIO(), layers)
  path = archived(tmp_path / 'k', inside.getvalue(), described(layers))
  check(path, 'keras_archive', layers)
