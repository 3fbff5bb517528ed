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
