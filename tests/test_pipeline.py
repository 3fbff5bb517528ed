"""Batches through grain: resumable, shareable, with errors that surface."""

import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import images, pipeline, readers, recipes, samplers

NUM_STEPS = 12


@pytest.fixture
def image_set(tmp_path):
  """40 images; the grey of image i is i * 1000 of 65,535."""
  for i in range(40):
    grey = np.full((4, 4), i * 1000, np.uint16)
    grey[0, 0] += 1
    cv2.imwrite(str(tmp_path / f'{i}.png'), grey)
  frame = pd.DataFrame(
    {
      'path': [f'{i}.png' for i in range(40)],
      'subject': [f's{i % 13:02d}' for i in range(40)],
      'item': [f'i{i // 2}' for i in range(40)],
      'row': np.arange(40) + 2,
    }
  )
  store = readers.open_store(tmp_path)
  return images.TableImages(
    frame, store, recipes.Recipe(('fit',), image_size=4), cache_mb=0
  )


ROWS = np.arange(3, 37)


def _source(image_set, index=0, count=1, num_steps=NUM_STEPS):
  names = image_set.frame['subject'].iloc[ROWS].tolist()
  sampler = samplers.SubjectBatches(
    pipeline.dense_ids(names)[0],
    subjects_per_batch=4,
    images_per_subject=2,
    seed=0,
  )
  return pipeline.BatchSource(
    image_set,
    ROWS,
    sampler,
    num_steps,
    process_index=index,
    process_count=count,
  )


def _same(one, other):
  assert one.keys() == other.keys()
  for name in one:
    np.testing.assert_array_equal(one[name], other[name])


def test_dense_ids_are_sorted_and_int32():
  ids, names = pipeline.dense_ids(['10', '9', '1e5', '9', '00012'])
  assert ids.dtype == np.int32
  assert names.tolist() == ['00012', '10', '1e5', '9']
  assert ids.tolist() == [1, 3, 2, 3, 0]


def test_a_batch_holds_what_its_rows_say(image_set):
  source = _source(image_set)
  frame = image_set.frame
  batch = source[2]
  assert batch['image'].shape == (8, 4, 4, 1)
  assert batch['image'].dtype == np.float32
  for name in ('label', 'item', 'row', 'position'):
    assert batch[name].dtype == np.int32 and batch[name].shape == (8,)
  np.testing.assert_array_equal(batch['position'], np.arange(8))
  assert batch['row'].min() >= 3 and batch['row'].max() < 37
  np.testing.assert_allclose(
    batch['image'][:, 1, 1, 0], batch['row'] * 1000 / 65535, atol=1e-6
  )
  for row, label in zip(batch['row'], batch['label'], strict=True):
    assert source.names[label] == frame['subject'][row]
  same_item = batch['item'][:, None] == batch['item']
  want = batch['row'][:, None] // 2 == batch['row'] // 2
  np.testing.assert_array_equal(same_item, want)


@pytest.mark.parametrize('threads, prefetch', [(0, 0), (1, 1), (3, 5), (8, 2)])
@pytest.mark.parametrize('start', [0, 5, NUM_STEPS - 1])
def test_batches_are_the_same_from_any_step_and_threads(
  image_set, threads, prefetch, start
):
  source = _source(image_set)
  found = list(pipeline.batches(source, start, threads, prefetch))
  assert len(found) == NUM_STEPS - start
  for step, batch in enumerate(found, start):
    _same(batch, source[step])


def test_a_run_that_is_done_has_no_batches(image_set):
  assert not list(pipeline.batches(_source(image_set), NUM_STEPS))
  assert not list(pipeline.batches(_source(image_set), NUM_STEPS + 3))


@pytest.mark.parametrize('count', [2, 4, 8])
def test_shares_make_up_the_global_batch(image_set, count):
  whole = _source(image_set)[4]
  parts = [_source(image_set, index, count)[4] for index in range(count)]
  joined = {
    name: np.concatenate([part[name] for part in parts]) for name in whole
  }
  _same(joined, whole)


def test_a_batch_that_cannot_be_shared_is_refused(image_set):
  with pytest.raises(errors.UsageError, match=r'batch of 8 .* by 3 processes'):
    _source(image_set, 0, 3)


@pytest.mark.parametrize('threads, prefetch', [(0, 0), (2, 4)])
def test_a_broken_file_surfaces_with_step_file_and_row(
  image_set, tmp_path, threads, prefetch
):
  source = _source(image_set)
  row = int(source[3]['row'][0])
  first = next(step for step in range(NUM_STEPS) if row in source[step]['row'])
  (tmp_path / f'{row}.png').write_bytes(b'')
  found = pipeline.batches(source, 0, threads, prefetch)
  with pytest.raises(errors.DataError) as caught:
    for _ in range(NUM_STEPS):
      next(found)
  text = str(caught.value)
  assert text.startswith(f'Step {first}: Row {row + 2} of the table')
  assert f"'{row}.png': an empty file" in text
  found.close()


def test_closing_early_is_quiet(image_set):
  found = pipeline.batches(_source(image_set), 0, 2, 4)
  next(found)
  found.close()


def test_the_input_side_does_not_import_jax():
  code = (
    'import sys\n'
    'from mammojax.data import checks, images, preprocess, readers\n'
    'from mammojax.data import records, samplers, splits, table\n'
    "sys.exit('jax' in sys.modules)"
  )
  subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
