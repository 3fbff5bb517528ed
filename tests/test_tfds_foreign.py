"""Data sets of tensorflow-datasets that this program did not write."""

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from mammojax import errors
from mammojax.data import imagefiles, tfds_reading


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
