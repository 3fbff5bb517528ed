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
import small_phantom
import tensorflow_datasets as tfds
import tfds_tables

from mammojax import __main__, errors
from mammojax.data import imagefiles, table, tfds_reading, tfds_writing

_ROWS = 12
# Half a level of 16 bits, and what float32 adds below 1.
_ROUNDED = 0.5 / 65535 + 2.0**-24


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
  path = tfds_tables.write(
    tmp_path,
    images,
    subject=tfds_tables.subjects(_ROWS),
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


def test_phantoms_of_16_bit_come_back_through_the_library(tmp_path):
  """Written by the builder, read by `tfds.data_source` and by `read`."""
  made = small_phantom.images()
  pixels = made.images(np.arange(len(made.frame)))[:, :, :, 0]
  levels = np.rint(pixels * np.float32(65535)).astype(np.uint16)
  # More than 8 bits hold.
  assert len(np.unique(levels)) > 2000
  columns = {
    name: made.frame[name].tolist()
    for name in ('subject', 'laterality', 'view', 'visit_months', 'split')
  }
  sides = _both(
    tfds_tables.write(tmp_path, levels, **columns), tmp_path / 'out'
  )
  _assert_same(sides)
  splits = [split for split in made.frame['split'].unique()]
  records = [
    record
    for split in splits
    for record in tfds.data_source(
      'my_set', split=split, data_dir=str(tmp_path / 'out')
    )
  ]
  assert len(records) == len(levels) and len(splits) == 3
  for record in records:
    place = int(record['item'].decode().removeprefix('im ').split('.')[0])
    np.testing.assert_array_equal(record['image'][:, :, 0], levels[place])
    for name in ('subject', 'laterality', 'view'):
      assert record[name].decode() == made.frame[name][place]


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
  frame, store = table.read(
    tfds_tables.write(tmp_path, images, subject=list('aabbcc'))
  )
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
  path = tfds_tables.write(tmp_path, images, subject=tfds_tables.subjects(4))
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
  frame, store = table.read(
    tfds_tables.write(tmp_path, images, subject=tfds_tables.subjects(4))
  )
  (tmp_path / 'im 2.png').write_bytes(b'cut')
  with pytest.raises(errors.DataError, match='im 2'):
    tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  assert not list((tmp_path / 'out').iterdir())


def test_writing_refuses_names_and_what_is_there(tmp_path, rng):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(2)]
  frame, store = table.read(
    tfds_tables.write(tmp_path, images, subject=['a', 'b'])
  )
  for name in ('My', '', '1a', 'a/b', '../a'):
    with pytest.raises(errors.UsageError, match='lower case'):
      tfds_writing.write(frame, store, tmp_path / 'out', name)
  tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  with pytest.raises(errors.UsageError, match='exists'):
    tfds_writing.write(frame, store, tmp_path / 'out', 'my_set')
  lines = frame.assign(diagnosis='a\nb')
  with pytest.raises(errors.DataError, match='several lines'):
    tfds_writing.write(lines, store, tmp_path / 'out', 'other')


def test_command_makes_a_set_that_names_how_to_train(tmp_path, rng, capsys):
  images = [rng.integers(0, 256, (4, 4), np.uint8) for _ in range(6)]
  path = tfds_tables.write(tmp_path, images, who=tfds_tables.subjects(6))
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
  path = tfds_tables.write(tmp_path, images, subject=tfds_tables.subjects(4))
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
