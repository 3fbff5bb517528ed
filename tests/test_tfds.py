"""Tables to tensorflow-datasets and back, without TensorFlow."""

import os
import pathlib
import stat
import subprocess
import sys

import cv2
import dicom_files
import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds

from mammojax import __main__, errors
from mammojax.data import imagefiles, table, tfds_reading, tfds_writing

_ROWS = 12
# Half a level of 16 bits, and what float32 adds below 1.
_ROUNDED = 0.5 / 65535 + 2.0**-24


def _table(folder, images, **columns):
  """Images of NumPy arrays as PNG (or of bytes as they are), and a table."""
  paths = []
  for i, image in enumerate(images):
    path = f'im {i}.png'
    data = image
    if not isinstance(image, bytes):
      data = cv2.imencode('.png', image)[1].tobytes()
    (folder / path).write_bytes(data)
    paths.append(path)
  frame = pd.DataFrame({'path': paths} | columns)
  frame.to_csv(folder / 't.csv', index=False)
  return folder / 't.csv'


def _subjects(count):
  return [f'00{i // 2}' for i in range(count)]


def _both(path, out):
  """(frame, images) of a table, and of what is read back."""
  frame, store = table.read(path)
  tfds_writing.write(frame, store, out, 'my_set')
  back, kept = tfds_reading.read('my_set', data_dir=str(out))
  sides = []
  for rows, where in ((frame, store), (back, kept)):
    files = imagefiles.ImageFiles(where)
    by_item = {
      item: files.image(path)
      for item, path in zip(rows['item'], rows['path'], strict=True)
    }
    sides.append((rows, by_item))
  return sides


def _assert_same(sides):
  (frame, images), (back, kept) = sides
  names = list(table.OPTIONAL) + ['subject']
  # The data set is in order of the splits, each in order of the table.
  order = ['train', 'validation', 'test']
  frame = frame.sort_values(
    'split', key=lambda column: column.map(order.index), kind='stable'
  )
  pd.testing.assert_frame_equal(
    frame[names].reset_index(drop=True), back[names]
  )
  assert images.keys() == kept.keys()
  for item, want in images.items():
    np.testing.assert_array_equal(kept[item], want)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16], ids=['8', '16'])
@pytest.mark.parametrize('channels', [1, 3], ids=['grey', 'colour'])
def test_a_table_comes_back_with_the_same_pixels(
  tmp_path, rng, dtype, channels
):
  full = np.iinfo(dtype).max
  shape = (9, 7) if channels == 1 else (9, 7, 3)
  images = [rng.integers(0, full + 1, shape, dtype) for _ in range(_ROWS)]
  path = _table(
    tmp_path,
    images,
    subject=_subjects(_ROWS),
    visit_months=['0', '12.5', ''] * 4,
    laterality=['L', '', 'R'] * 4,
    view=['MLO', 'CC', ''] * 4,
    diagnosis=['benign', 'malignant é', ''] * 4,
    item=[f'1e{i}' for i in range(_ROWS)],
  )
  sides = _both(path, tmp_path / 'out')
  _assert_same(sides)
  # Files that fit are stored byte for byte.
  back = sides[1][0]
  _, store = tfds_reading.read('my_set', data_dir=str(tmp_path / 'out'))
  for item, where in zip(back['item'], back['path'], strict=True):
    file = tmp_path / f'im {item[2:]}.png'
    assert store.read(where) == file.read_bytes()


def test_images_of_several_types_become_one(tmp_path, rng):
  colour = rng.integers(0, 256, (8, 6, 3), np.uint8)
  with_alpha = rng.integers(0, 256, (8, 6, 4), np.uint8)
  images = [
    rng.integers(0, 65536, (8, 6), np.uint16),
    rng.integers(0, 256, (8, 6), np.uint8),
    colour,
    with_alpha,
    cv2.imencode('.jpg', colour)[1].tobytes(),
    b'P5 3 2 100\n\x00\x01\x32\x63\x64\x07',
  ]
  frame, store = table.read(_table(tmp_path, images, subject=list('aabbcc')))
  folder = tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  feature = tfds.builder_from_directory(folder).info.features['image']
  assert feature.np_dtype == np.uint16 and feature.shape == (None, None, 3)
  back, kept = tfds_reading.read('my_set', data_dir=str(tmp_path / 'out'))
  ours, theirs = imagefiles.ImageFiles(store), imagefiles.ImageFiles(kept)
  for item, where in zip(back['item'], back['path'], strict=True):
    want = np.broadcast_to(ours.image(item), theirs.image(where).shape)
    # A PGM up to 100 does not divide 65,535.
    bound = _ROUNDED if item == 'im 5.png' else 0.0
    np.testing.assert_allclose(theirs.image(where), want, rtol=0, atol=bound)
  # The library itself sees the whole range.
  source = tfds.builder_from_directory(folder).as_data_source()
  peaks = [record['image'].max() for part in source.values() for record in part]
  assert min(peaks) > 60000


def test_dicom_of_12_bits_keeps_all_its_levels(tmp_path, rng):
  pixels = rng.permutation(4096).reshape(64, 64).astype(np.uint16)
  for name in 'ab':
    (tmp_path / f'{name}.dcm').write_bytes(
      dicom_files.to_bytes(dicom_files.dataset(pixels, bits=12))
    )
  (tmp_path / 't.csv').write_text('path,subject\na.dcm,1\nb.dcm,2\n')
  frame, store = table.read(tmp_path / 't.csv')
  tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  back, kept = tfds_reading.read('my_set', data_dir=str(tmp_path / 'out'))
  got = imagefiles.ImageFiles(kept).image(back['path'][0])[:, :, 0]
  assert len(np.unique(got)) == 4096
  assert np.abs(got - pixels / 4095).max() <= _ROUNDED


@pytest.mark.parametrize(
  'manifest, columns',
  [('mini_mias/manifest.csv', {'subject': 'subject_id', 'diagnosis': 'label'})],
  ids=['mini_mias'],
)
def test_real_mammograms_come_back(tmp_path, manifest, columns):
  data = os.environ.get('MAMMOJAX_DATA')
  if not data:
    pytest.skip('MAMMOJAX_DATA is unset')
  source = pathlib.Path(data) / manifest
  whole = pd.read_csv(source, dtype=str).head(60)
  whole.to_csv(tmp_path / 't.csv', index=False)
  frame, store = table.read(
    tmp_path / 't.csv', root=str(source.parent), columns=columns
  )
  tfds_writing.write(frame, store, tmp_path / 'out', 'mias')
  back, kept = tfds_reading.read('mias', data_dir=str(tmp_path / 'out'))
  assert sorted(back['item']) == sorted(frame['item'])
  for item, where in zip(back['item'], back['path'], strict=True):
    assert kept.read(where) == (source.parent / item).read_bytes()


def test_only_its_owner_can_read_it(tmp_path, rng):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(4)]
  path = _table(tmp_path, images, subject=_subjects(4))
  frame, store = table.read(path)
  folder = tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  modes = {
    path: stat.S_IMODE(path.stat().st_mode)
    for path in (tmp_path / 'out', *(tmp_path / 'out').rglob('*'))
  }
  assert all(
    mode == (0o700 if path.is_dir() else 0o600) for path, mode in modes.items()
  )
  assert {path.name for path in (tmp_path / 'out').iterdir()} == {'my_set'}
  assert all(
    str(tmp_path).encode() not in path.read_bytes() for path in folder.iterdir()
  )


def test_nothing_is_left_when_an_image_breaks(tmp_path, rng):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(4)]
  frame, store = table.read(_table(tmp_path, images, subject=_subjects(4)))
  (tmp_path / 'im 2.png').write_bytes(b'cut')
  with pytest.raises(errors.DataError, match='im 2'):
    tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  assert not list((tmp_path / 'out').iterdir())


def test_writing_refuses_names_and_what_is_there(tmp_path, rng):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(2)]
  frame, store = table.read(_table(tmp_path, images, subject=['a', 'b']))
  for name in ('My', '', '1a', 'a/b', '../a'):
    with pytest.raises(errors.UsageError, match='lower case'):
      tfds_writing.write(frame, store, tmp_path / 'out', name)
  tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  with pytest.raises(errors.UsageError, match='exists'):
    tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  lines = frame.assign(diagnosis='a\nb')
  with pytest.raises(errors.DataError, match='several lines'):
    tfds_writing.write(lines, store, tmp_path / 'out', 'other')


class _Foreign(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """A data set that this program did not write."""

  VERSION = tfds.core.Version('2.0.0')
  name = 'foreign'

  def __init__(self, records, features, file_format='array_record', **options):
    self._records, self._features = records, features
    super().__init__(file_format=file_format, **options)

  def _info(self):
    features = tfds.features.FeaturesDict(self._features)
    return tfds.core.DatasetInfo(
      builder=self, features=features, disable_shuffling=True
    )

  def _split_generators(self, dl_manager):
    return {
      name: self._generate_examples(rows)
      for name, rows in self._records.items()
    }

  def _generate_examples(self, rows):
    yield from enumerate(rows)


def _foreign(folder, records, features):
  _Foreign(records, features, data_dir=str(folder)).download_and_prepare()
  return {'data_dir': str(folder)}


def _mnist_like(rng, count, offset=0):
  return [
    {
      'image': cv2.imencode('.png', rng.integers(0, 256, (5, 5), np.uint8))[
        1
      ].tobytes(),
      'label': i % 3,
      'person': 16777217 + offset + i // 2,
      'age': 40.0 + i / 2,
      'boxes': [[0.0, 1.0]],
    }
    for i in range(count)
  ]


_FEATURES = {
  'image': tfds.features.Image(shape=(5, 5, 1)),
  'label': tfds.features.ClassLabel(names=['zero', 'one', 'two']),
  'person': tfds.features.Scalar(np.int64),
  'age': tfds.features.Scalar(np.float32),
  'boxes': tfds.features.Sequence(
    tfds.features.Tensor(shape=(2,), dtype=np.float32)
  ),
}


def test_any_prepared_data_set_is_read_by_its_features(tmp_path, rng):
  records = {
    'train': _mnist_like(rng, 6),
    'test': _mnist_like(rng, 4, offset=100),
  }
  where = _foreign(tmp_path, records, _FEATURES)
  columns = {'subject': 'person', 'diagnosis': 'label', 'visit_months': 'age'}
  frame, store = tfds_reading.read('foreign:2.0.0', columns=columns, **where)
  every = records['train'] + records['test']
  assert frame['subject'].tolist() == [str(r['person']) for r in every]
  names = ('zero', 'one', 'two')
  assert frame['diagnosis'].tolist() == [names[r['label']] for r in every]
  assert frame['visit_months'].tolist() == [r['age'] for r in every]
  assert frame['split'].tolist() == ['train'] * 6 + ['test'] * 4
  assert frame['path'].tolist()[5:7] == ['train/5', 'test/0']
  assert store.read('test/3') == every[9]['image']
  alone, _ = tfds_reading.read(
    'foreign', columns={'subject': 'path'}, splits='test', **where
  )
  assert alone['subject'].is_unique and len(alone) == 4


def test_arrays_and_floats_are_images_too(tmp_path, rng):
  floats = rng.random((4, 6, 5, 1), np.float32)
  levels = rng.integers(0, 65536, (4, 6, 5), np.uint16)
  # The library keeps a float as the four bytes of a PNG with alpha.
  packed = [
    cv2.imencode('.png', image.view(np.uint8)[:, :, [2, 1, 0, 3]])[1].tobytes()
    for image in floats
  ]
  features = {
    'array': tfds.features.Tensor(shape=(6, 5), dtype=np.uint16),
    'shade': tfds.features.Image(shape=(6, 5, 4)),
  }
  records = [
    {'array': level, 'shade': data}
    for level, data in zip(levels, packed, strict=True)
  ]
  where = _foreign(tmp_path, {'train': records}, features)
  frame, store = tfds_reading.read(
    'foreign', image_feature='array', columns={'subject': 'path'}, **where
  )
  files = imagefiles.ImageFiles(store)
  for path, want in zip(frame['path'], levels, strict=True):
    np.testing.assert_array_equal(
      files.image(path)[:, :, 0], want.astype(np.float32) / np.float32(65535)
    )
  described = tmp_path / 'foreign/2.0.0/features.json'
  text = described.read_text().replace('"uint8"', '"float32"')
  described.write_text(text.replace('"4"', '"1"'))
  frame, store = tfds_reading.read(
    'foreign', image_feature='shade', columns={'subject': 'path'}, **where
  )
  files = imagefiles.ImageFiles(store)
  for path, want in zip(frame['path'], floats, strict=True):
    np.testing.assert_array_equal(files.image(path), want)


@pytest.mark.parametrize(
  'options, error, what',
  [
    ({'name': ''}, errors.UsageError, 'data.tfds.name'),
    ({'name': 'foreigner'}, errors.DataError, 'Nothing is downloaded'),
    ({'image_feature': 'imag'}, errors.UsageError, "mean 'image'"),
    ({'splits': 'tran'}, errors.UsageError, "mean 'train'"),
    ({}, errors.UsageError, "without 'extra'"),
    ({'splits': 'train'}, errors.DataError, "no column 'subject'"),
    (
      {'columns': {'subject': 'label'}, 'splits': 'train,test'},
      errors.IntegrityError,
      "'zero'",
    ),
    (
      {'columns': {'subject': 'boxes'}, 'splits': 'train'},
      errors.DataError,
      "no column 'boxes'",
    ),
  ],
  ids=['no_name', 'name', 'feature', 'split', 'odd', 'subject', 'leak', 'list'],
)
def test_wrong_use_is_answered(tmp_path, rng, options, error, what):
  records = {name: _mnist_like(rng, 4) for name in ('train', 'test', 'extra')}
  where = _foreign(tmp_path, records, _FEATURES)
  with pytest.raises(error, match=what):
    tfds_reading.read(**{'name': 'foreign', **where, **options})


def test_damage_is_told_with_the_place(tmp_path, rng):
  records = {'train': _mnist_like(rng, 4)}
  records['train'][2]['image'] = records['train'][2]['image'][:-20]
  where = _foreign(tmp_path, records, _FEATURES)
  columns = {'subject': 'person'}
  with pytest.raises(errors.DataError, match=r"row 3: 'train/2': truncated"):
    tfds_reading.read('foreign', columns=columns, **where)
  (file,) = (tmp_path / 'foreign/2.0.0').glob('*.array_record*')
  file.write_bytes(file.read_bytes()[:100])
  with pytest.raises(errors.DataError, match='foreign'):
    tfds_reading.read('foreign', columns=columns, **where)


def test_command_makes_a_set_that_names_how_to_train(tmp_path, rng, capsys):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(6)]
  path = _table(tmp_path, images, who=_subjects(6))
  out = tmp_path / 'o ut'
  arguments = [
    'to-tfds', f'--table={path}', f'--out={out}', '--name=my_set',
    '--columns=subject=who',
  ]  # fmt: skip
  assert __main__.main(arguments) == 0
  said = capsys.readouterr().out
  assert '6 images' in said and '--config.data.tfds.name=my_set' in said
  assert 'ownload' not in said
  assert __main__.main(arguments) == 2
  assert 'exists' in capsys.readouterr().err
  for wrong in (
    ['--columns=subject'], ['--columns=subjekt=who'], ['--name='],
    ['--table=no.csv'], ['--on_bad=x'], ['--rooot=.'],
  ):  # fmt: skip
    assert __main__.main([*arguments[:3], '--name=other', *wrong]) in (2, 3)
    assert capsys.readouterr().err.startswith('Error: ')


def test_tensorflow_is_never_imported(tmp_path, rng):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(4)]
  path = _table(tmp_path, images, subject=_subjects(4))
  # One that is installed, and ends the program when it is imported.
  (tmp_path / 'tensorflow').mkdir()
  (tmp_path / 'tensorflow/__init__.py').write_text('raise SystemExit(9)\n')
  code = (
    'import pathlib, sys\n'
    f'sys.path.insert(0, {str(tmp_path)!r})\n'
    'from mammojax.data import table, tfds_reading, tfds_writing\n'
    f'frame, store = table.read({str(path)!r})\n'
    f'out = pathlib.Path({str(tmp_path / "out")!r})\n'
    'tfds_writing.write(frame, store, out, "my_set")\n'
    'frame, _ = tfds_reading.read("my_set", data_dir=str(out))\n'
    'assert len(frame) == 4\n'
    'assert "jax" not in sys.modules\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
