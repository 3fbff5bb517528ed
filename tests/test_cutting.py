"""Patches around places: pixels, names, what is refused, the command."""

import csv
import os
import pathlib

import cv2
import numpy as np
import pandas as pd
import pytest

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.data import cutting
from mammojax.data.catalog import mini_mias


def table(**columns):
  return pd.DataFrame({'path': ['a/f1.png', 'f2.png'], **columns})


LISTS = {
  'x': ['20;5', ''],
  'y': ['10;30', ''],
  'radius': ['4;1', ''],
  'severity': ['benign;malignant', ''],
}


def cut(frame, image, **options):
  options = {'counted_in': 0, 'least': 3.0, 'margin': 1.5} | options
  return list(
    cutting.patches(
      cutting.places(frame),
      frame['path'].tolist(),
      lambda row: image,
      **options,
    )
  )


def test_a_patch_is_what_lies_around_its_place(rng):
  image = rng.random((40, 50, 1)).astype(np.float32)
  first, second = cut(table(**LISTS), image)
  assert (first.name, second.name) == ('f1_0', 'f1_1')
  assert (first.place.severity, second.place.severity) == (
    'benign', 'malignant',
  )  # fmt: skip
  # Half a side is 1.5 x 4, and at least 3.
  np.testing.assert_array_equal(first.image, image[4:16, 14:26])
  np.testing.assert_array_equal(second.image, image[27:33, 2:8])


@pytest.mark.parametrize(
  'paths',
  [('a/f.png', 'b/f.png'), ('f.npy#0', 'f.npy#1'), ('f.png', 'f.png')],
  ids=['two folders', 'one file', 'one image'],
)
def test_no_two_patches_have_one_name(rng, paths):
  image = rng.random((40, 50, 1)).astype(np.float32)
  frame = table(x=['20;5', '9'], y=['10;30', '8'], radius=['4;1', '2'])
  found = cut(frame.assign(path=paths), image)
  assert [patch.name for patch in found] == ['0_f_0', '0_f_1', '1_f_0']


def test_beyond_the_edge_a_patch_is_black(rng):
  image = 0.5 + rng.random((40, 50, 1)).astype(np.float32)
  (patch,) = cut(table(x=['1', ''], y=['38', ''], radius=['2', '']), image)
  assert patch.image.shape == (6, 6, 1)
  np.testing.assert_array_equal(patch.image[:5, 2:], image[35:40, 0:4])
  assert not patch.image[5].any() and not patch.image[:, :2].any()


def test_places_may_be_counted_in_a_larger_image(rng):
  image = rng.random((40, 50, 1)).astype(np.float32)
  small, _ = cut(table(**LISTS), image)
  large = {
    name: [
      ';'.join(str(4 * int(n)) for n in text.split(';')) if text else ''
      for text in LISTS[name]
    ]
    for name in ('x', 'y', 'radius')
  }
  again, _ = cut(table(**large), image, counted_in=160, least=12.0)
  np.testing.assert_array_equal(again.image, small.image)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'radius': ['4', '']}, 'have .2, 2, 1. values'),
    ({'x': ['20;b', '']}, 'row 0: could not convert'),
    ({'x': ['20;nan', '']}, 'is no place'),
    ({'x': ['20;-1', '']}, 'lies outside its image of 50 x 40'),
    ({'y': ['10;40', '']}, 'lies outside'),
    ({'x': ['', ''], 'y': ['', ''], 'radius': ['', '']}, 'no abnormality'),
  ],
)
def test_places_that_cannot_be_are_refused(changes, message):
  with pytest.raises(errors.DataError, match=message):
    cut(table(**LISTS | changes), np.zeros((40, 50, 1), np.float32))


def test_columns_that_are_missing_are_named():
  with pytest.raises(errors.DataError, match='no column y, radius'):
    cutting.places(table(x=['1', '2']))


@pytest.mark.skipif(
  'MAMMOJAX_DATA' not in os.environ, reason='MAMMOJAX_DATA names no folder'
)
def test_the_lesions_of_the_real_films_are_cut(tmp_path, capsys):
  folder = pathlib.Path(os.environ['MAMMOJAX_DATA']) / 'mini_mias'
  made = mini_mias.read(folder).frame
  made.to_csv(tmp_path / 'mias.csv', index=False)
  flags = [f'--table={tmp_path}/mias.csv', f'--root={folder}']
  out = tmp_path / 'out'
  assert cli.main(['cut', *flags, f'--out={out}']) == 0
  assert '119 patches of 104 subjects (68 benign, 51 malignant)' in (
    capsys.readouterr().out
  )
  with (out / 'patches.csv').open() as file:
    rows = {row['path']: row for row in csv.DictReader(file)}
  with (folder / 'manifest_patches.csv').open() as file:
    for want in csv.DictReader(file):
      got = rows[pathlib.PurePosixPath(want['path']).name]
      assert got['diagnosis'] == want['label']
      assert got['subject'] == want['subject_id']
      assert got['abnormality'] == want['abnormality']
  # Theirs are cut from the large films; ours from those of a quarter.
  theirs = cv2.imread(str(folder / 'patches/mdb002_0.png'), -1) / 255
  ours = cv2.imread(str(out / 'mdb002_0.png'), -1) / 65535
  assert ours.shape == (44, 44)
  theirs = cv2.resize(theirs, (44, 44), interpolation=cv2.INTER_AREA)
  assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
  assert cli.main(['cut', *flags, f'--out={out}']) == 2
