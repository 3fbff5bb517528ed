"""mini-MIAS: sides, several abnormalities, the origin at the bottom."""

import csv
import os
import pathlib

import cv2
import pytest

from mammojax import errors
from mammojax.data import catalog

trees = pytest.importorskip('catalog_trees')

_LINES = (
  'mdb001 G CIRC B 535 425 197',
  'mdb002 D NORM ',
  'mdb003 F CIRC B 477 133 30',
  'mdb003 F CALC M 500 168 26',
  'mdb004 D CALC M *NOTE 3*',
  'mdb006 F CIRC B',
)


def _write(root, lines=_LINES, ending='pgm'):
  root.mkdir(parents=True, exist_ok=True)
  text = 'NOTES\n=====\n1) The list is ...\n\n' + '\n'.join(lines) + '\n'
  (root / 'Info.txt').write_text(text)
  for number, film in enumerate(sorted({line[:6] for line in lines})):
    path = root / f'{film}.{ending}'
    cv2.imwrite(str(path), trees.pixels(number, (8, 8), 256).astype('u1'))
  return root


def test_one_row_a_film(tmp_path):
  made, _ = trees.read('mini_mias', _write(tmp_path / 'm'), tmp_path)
  assert trees.column(made, 'path') == [
    f'mdb00{i}.pgm' for i in (1, 2, 3, 4, 6)
  ]
  # Films 3 and 4 are one woman; film 5 is not there.
  subjects = trees.column(made, 'subject')
  assert subjects == ['mias001', 'mias001', 'mias002', 'mias002', 'mias003']
  assert trees.column(made, 'diagnosis') == [
    'benign', 'normal', 'malignant', 'malignant', 'benign',
  ]  # fmt: skip
  assert trees.column(made, 'abnormality') == [
    'CIRC', 'NORM', 'CIRC;CALC', 'CALC', 'CIRC',
  ]  # fmt: skip
  assert trees.column(made, 'severity') == [
    'benign', '', 'benign;malignant', 'malignant', 'benign',
  ]  # fmt: skip
  assert trees.column(made, 'x') == ['535', '', '477;500', '', '']
  assert trees.column(made, 'y') == [
    str(1024 - 425), '', f'{1024 - 133};{1024 - 168}', '', '',
  ]  # fmt: skip
  assert '2 lines of Info.txt on 1 films' in made.notes[0]
  assert made.notes[1].startswith('2 abnormalities have no place')


def test_left_and_right_can_follow_either(tmp_path):
  root = _write(tmp_path / 'm')
  markers, _ = trees.read('mini_mias', root, tmp_path)
  info, _ = trees.read('mini_mias', root, tmp_path, laterality='info')
  assert trees.column(markers, 'laterality') == ['L', 'R', 'L', 'R', 'R']
  assert trees.column(info, 'laterality') == ['R', 'L', 'R', 'L', 'L']
  assert any('not Info.txt' in note for note in markers.notes)


def test_films_as_png(tmp_path):
  made, _ = trees.read(
    'mini_mias', _write(tmp_path / 'm', ending='png'), tmp_path
  )
  assert trees.column(made, 'path')[0] == 'mdb001.png'


@pytest.mark.parametrize(
  'line',
  ['mdb007 X NORM', 'mdb007 G NORM B 1 2 3', 'mdb007 G CIRC', 'mdb007',
   'mdb007 G CIRC B 12 34'],
  ids=['tissue', 'normal_with_place', 'no_severity', 'cut', 'no_radius'],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_refused(tmp_path, line):
  root = _write(tmp_path / 'm', [*_LINES, line])
  with pytest.raises(errors.DataError, match=f"1 lines .* line 11: '{line}'"):
    catalog.read('mini_mias', root)


def test_other_folders_are_refused(tmp_path):
  with pytest.raises(errors.DataError, match=r"'Info.txt' .* holds nothing"):
    catalog.read('mini_mias', tmp_path)
  (tmp_path / 'Info.txt').write_text('Thank you for downloading\n')
  with pytest.raises(errors.DataError, match='lists no film'):
    catalog.read('mini_mias', tmp_path)


@pytest.mark.skipif(
  'MAMMOJAX_DATA' not in os.environ, reason='MAMMOJAX_DATA names no folder'
)
def test_the_real_films_agree_with_their_manifest(tmp_path):
  folder = pathlib.Path(os.environ['MAMMOJAX_DATA']) / 'mini_mias'
  root = tmp_path / 'all-mias'
  root.mkdir()
  (root / 'Info.txt').write_bytes((folder / 'Info.txt').read_bytes())
  for path in (folder / 'images').glob('*.png'):
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(root / f'{path.stem}.pgm'), image)
  made, _ = trees.read('mini_mias', root, tmp_path)
  assert len(made.frame) == 322 and made.frame['subject'].nunique() == 161
  rows = {row['path'][:6]: row for row in made.frame.to_dict('records')}
  with (folder / 'manifest.csv').open() as file:
    for want in csv.DictReader(file):
      got = rows[pathlib.Path(want['path']).stem]
      assert got['subject'] == want['subject_id']
      assert got['diagnosis'] == want['label']
      assert got['laterality'] == want['laterality']
      assert got['tissue'] == want['tissue']
  with (folder / 'manifest_patches.csv').open() as file:
    for want in csv.DictReader(file):
      got = rows[pathlib.Path(want['path']).stem[:6]]
      places = list(zip(got['x'].split(';'), got['y'].split(';'), strict=True))
      assert (want['x'], want['y_top']) in places
