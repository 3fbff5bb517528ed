"""Phantom patches: layout, labels, what is in them, the command."""

import numpy as np
import pytest

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.data.catalog import cbis_npy
from mammojax.data.phantom import lesions, patches, rendering
from mammojax.data.phantom import spec as specs

SPEC = patches.Spec(train=9, test=3, size=32, seed=2)


@pytest.fixture(scope='module')
def drawn():
  return patches.arrays(SPEC)


def test_the_layout_is_that_of_the_source(drawn):
  assert set(drawn) == set(patches.FILES)
  for name, pairs in (('train', 9), ('public_test', 3)):
    images = drawn[f'{name}_tensor.npy']
    labels = drawn[f'{name}_labels.npy']
    assert images.shape == (2 * pairs, 32, 32) and images.dtype == np.uint16
    assert labels.shape == (2 * pairs,)
    assert (labels[0::2] == 0).all()
    assert np.isin(labels[1::2], [1, 2, 3, 4]).all()
  # More than eight bits are in use.
  assert len(np.unique(drawn['train_tensor.npy'] & 255)) > 200


def test_the_same_seed_draws_the_same_bits_and_another_others(drawn):
  again = patches.arrays(SPEC)
  for name, array in drawn.items():
    np.testing.assert_array_equal(again[name], array)
  other = patches.arrays(patches.Spec(train=1, test=1, size=32, seed=3))
  assert (other['train_tensor.npy'] != drawn['train_tensor.npy'][:2]).any()
  # More pairs to train on leave those that are there as they were.
  fewer = patches.arrays(patches.Spec(train=1, test=3, size=32, seed=2))
  np.testing.assert_array_equal(
    fewer['train_tensor.npy'], drawn['train_tensor.npy'][:2]
  )


def test_labels_are_those_of_the_plan_of_the_breasts(drawn):
  # Two women have the three test breasts, the train women follow.
  for name, first in (('public_test', 0), ('train', 2)):
    for place, code in enumerate(drawn[f'{name}_labels.npy'][1::2]):
      woman, side = first + place // 2, 'LR'[place % 2]
      kind = lesions.plan(SPEC.seed, 1.0, woman, side).diagnosis
      assert kind == lesions.DIAGNOSES[code - 1]


def test_odd_patches_hold_the_lesion_and_even_ones_none(drawn):
  spec = specs.PhantomSpec(
    train_women=5,
    validation_women=0,
    test_women=2,
    image_size=round(32 * 512 / 150),
    visits_months=(0, 96),
    lesion_rate=1.0,
    seed=2,
  )
  images = drawn['train_tensor.npy']
  for place in range(4):
    woman, side = 2 + place // 2, 'LR'[place % 2]
    found = []
    for view in ('CC', 'MLO'):
      shot = rendering.render(spec, woman, side, view, 96)
      whole = np.lib.stride_tricks.sliding_window_view(shot.image, (32, 32))
      marks = np.lib.stride_tricks.sliding_window_view(
        shot.lesion_mask, (32, 32)
      )
      for patch in images[2 * place : 2 * place + 2]:
        for row, column in np.argwhere((whole == patch).all(axis=(2, 3))):
          found.append(bool(marks[row, column].any()))
    assert found == [False, True]


def test_the_catalog_reads_what_the_command_writes(tmp_path, capsys):
  out = tmp_path / 'arrays'
  flags = ['--train=4', '--test=2', '--size=20', f'--out={out}']
  assert cli.main(['patches', *flags]) == 0
  assert 'catalog cbis_npy' in capsys.readouterr().out
  for task, count in (('benign_malignant', 6), ('pairs', 12)):
    frame = cbis_npy.read(out, task=task).frame
    assert len(frame) == count
  assert (out / 'train_tensor.npy').stat().st_mode & 0o777 == 0o600
  assert cli.main(['patches', *flags]) == 2
  assert 'exists' in capsys.readouterr().err
  assert cli.main(['patches', *flags, '--overwrite']) == 0
  assert cli.main(['patches', '--train=4']) == 2


@pytest.mark.parametrize(
  'field, value', [('train', 0), ('test', 0), ('size', 8), ('seed', -1)]
)
def test_numbers_out_of_range_are_refused(field, value):
  with pytest.raises(errors.UsageError, match=f'{field} must be'):
    patches.Spec(**{field: value})
