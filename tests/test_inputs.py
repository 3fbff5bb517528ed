"""From a config to images, splits and batches."""

import cv2
import numpy as np
import pytest

from configs import base
from mammojax import errors
from mammojax.training import inputs

SUBJECTS = 30


@pytest.fixture
def table(tmp_path):
  """Two 16-bit pictures a subject; every third subject is malignant."""
  rng = np.random.default_rng(0)
  lines = ['path,subject,diagnosis']
  for number in range(2 * SUBJECTS):
    subject = number // 2
    grey = rng.integers(0, 65536, (10, 8)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f'{number}.png'), grey)
    diagnosis = 'benign' if subject % 3 else 'malignant'
    lines.append(f'{number}.png,s{subject},{diagnosis}')
  path = tmp_path / 'table.csv'
  path.write_text('\n'.join(lines) + '\n')
  return path


def config(table, **data):
  """The base config on the table."""
  made = base.get_config()
  made.data.source = 'table'
  made.data.table = str(table)
  made.data.image_size = 8
  made.data.steps = ('fit',)
  made.data.update(data)
  return made


def test_split_rule_reaches_the_frame(table):
  frame = inputs.image_set(
    config(table, split_rule='stratified', split_fractions=(0.5, 0.2, 0.3))
  ).frame
  for diagnosis, subjects in (('malignant', 10), ('benign', 20)):
    part = frame[frame['diagnosis'] == diagnosis]
    counts = part.groupby('split')['subject'].nunique()
    assert counts.to_dict() == {
      'train': subjects * 0.5,
      'validation': subjects * 0.2,
      'test': subjects * 0.3,
    }


@pytest.mark.parametrize(
  'data, kind, message',
  [
    (dict(split_rule='column'), errors.DataError, 'says nowhere which rows'),
    (dict(keep_test=True), errors.DataError, 'says nowhere which rows'),
    (dict(split_rule='hsah'), errors.UsageError, "Did you mean 'hash'"),
  ],
  ids=['column', 'keep_test', 'name'],
)
def test_splits_that_cannot_be_had_are_refused(table, data, kind, message):
  with pytest.raises(kind, match=message):
    inputs.image_set(config(table, **data))


def test_folds_do_not_keep_a_test(table):
  lines = table.read_text().splitlines()
  lines = [lines[0] + ',split'] + [f'{line},test' for line in lines[1:]]
  table.write_text('\n'.join(lines))
  with pytest.raises(errors.UsageError, match='cannot keep others'):
    inputs.image_set(config(table, keep_test=True, num_folds=5, fold=0))


def _pixels(images):
  return images.images(np.arange(len(images.frame)))


def test_prepared_images_are_those_of_the_files_bit_for_bit(table, tmp_path):
  want = inputs.image_set(config(table, fit='crop'))
  prepared = config(table, fit='crop', prepared=str(tmp_path / 'kept'))
  made = inputs.image_set(prepared)
  np.testing.assert_array_equal(_pixels(made), _pixels(want))
  # The second time no file is read any more.
  for path in tmp_path.glob('*.png'):
    path.unlink()
  # Who trains does not change a pixel.
  prepared.data.split_rule = 'shuffled'
  again = inputs.image_set(prepared)
  np.testing.assert_array_equal(_pixels(again), _pixels(want))
  assert (again.frame['split'] != want.frame['split']).any()
  with pytest.raises(errors.DataError, match=r'missing files \(60\)'):
    inputs.image_set(config(table, fit='crop'))


def test_prepared_images_leave_out_what_was_set_aside(table, tmp_path):
  lines = table.read_text().splitlines()
  for number in range(100, 160):
    grey = np.random.default_rng(number).integers(0, 256, (9, 9), np.uint8)
    cv2.imwrite(str(tmp_path / f'{number}.png'), grey)
    lines.append(f'{number}.png,t{number},benign')
  table.write_text('\n'.join([*lines, lines[5]]))
  (tmp_path / '7.png').write_bytes(b'broken')
  prepared = config(table, prepared=str(tmp_path / 'kept'), on_bad='skip')
  first, second = (inputs.image_set(prepared) for _ in range(2))
  assert len(first.frame) == 119
  assert first.frame['row'].tolist() == second.frame['row'].tolist()
  np.testing.assert_array_equal(_pixels(first), _pixels(second))


@pytest.mark.parametrize('name', ['table', 'field'])
def test_prepared_images_of_another_table_or_field_are_refused(
  table, tmp_path, name
):
  made = config(table, prepared=str(tmp_path / 'kept'))
  inputs.image_set(made)
  if name == 'table':
    text = table.read_text()
    table.write_text(text.replace('59.png,s29,benign', '59.png,s28,benign'))
    assert table.read_text() != text
  else:
    made.data.fit = 'stretch'
  wanted = {
    'table': 'sha256 of the table: ',
    'field': "fit: 'pad' there, 'stretch' wanted",
  }
  with pytest.raises(errors.IntegrityError, match=wanted[name]):
    inputs.image_set(made)


def test_eight_bits_are_for_files_of_eight_bits(table, tmp_path):
  kept = dict(prepared=str(tmp_path / 'kept'), prepared_depth='uint8')
  with pytest.raises(errors.UsageError, match='images that have 16 bits'):
    inputs.image_set(config(table, **kept))
  assert not (tmp_path / 'kept').exists()
  for path in tmp_path.glob('*.png'):
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(path), (levels // 257).astype(np.uint8))
  made = inputs.image_set(config(table, **kept))
  want = inputs.image_set(config(table))
  # Half of 1/255, and half of 1/65,535 of the images of the files.
  assert np.abs(_pixels(made) - _pixels(want)).max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize(
  'data, message',
  [
    (dict(source='phantom', prepared='x'), 'is for images of a table'),
    (dict(prepared_depth='uint8'), 'needs data.prepared'),
    (dict(prepared='x', prepared_depth='uint12'), "Did you mean 'uint16'"),
  ],
  ids=['phantom', 'no folder', 'name'],
)
def test_preparing_that_does_nothing_is_refused(table, data, message):
  with pytest.raises(errors.UsageError, match=message):
    inputs.image_set(config(table, **data))


@pytest.mark.parametrize('masked', [True, False])
def test_regions_that_a_run_asks_for_are_prepared(table, tmp_path, masked):
  given = config(table, prepared=str(tmp_path / 'kept'), region='breast')
  given.eval.masked_baseline = masked
  made = inputs.image_set(given)
  want = inputs.image_set(config(table))
  rows = np.arange(len(want.frame))
  for region in ('all', 'breast') + ('background',) * masked:
    np.testing.assert_array_equal(
      made.images(rows, region), want.images(rows, region)
    )
  assert len(made.regions) == 2 + masked
