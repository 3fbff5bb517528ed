"""INbreast in its published layout."""

import plistlib

import pytest

from mammojax import errors
from mammojax.data import catalog

trees = pytest.importorskip('catalog_trees')

_INBREAST = [
  'Patient ID', 'Patient age', 'Laterality', 'View', 'Acquisition date',
  'File Name', 'ACR', 'Bi-Rads',
]  # fmt: skip


def _inbreast(folder, month='201102', side='R', xml=True):
  rows = [
    ['removed', 'removed', 'L', 'CC', '200911', '20586908', '2', '4a'],
    ['removed', 'removed', side, 'MLO', month, '20586934', '     ', '1'],
    ['removed', 'removed', 'R', 'CC', '201001', '22678622', '4', '6'],
  ]
  people = ['6c613a14b80a8591', '6c613a14b80a8591', '0001e50000000012']
  trees.write_csv(folder / 'INbreast.csv', _INBREAST, rows, ';')
  names = zip(rows, people, ['L', 'R', 'R'], strict=True)
  for number, (row, person, letter) in enumerate(names):
    name = f'{row[5]}_{person}_MG_{letter}_{row[3]}_ANON.dcm'
    trees.write_dicom(folder / 'AllDICOMs' / name, trees.pixels(number))
  trees.write_dicom(
    folder / 'AllDICOMs' / '1_6c613a14b80a8591_MG_L_CC_ANON.dcm',
    trees.pixels(9),
  )
  if xml:
    rois = [{'Name': n} for n in ('Mass', 'Calcifications', 'Calcification')]
    (folder / 'AllXML').mkdir()
    (folder / 'AllXML/20586908.xml').write_bytes(
      plistlib.dumps({'Images': [{'ROIs': rois}]})
    )
  return folder


@pytest.mark.parametrize('below', ['', 'INbreast Release 1.0/'])
def test_inbreast(tmp_path, below):
  _inbreast(tmp_path / 'i' / below)
  made, _ = trees.read('inbreast', tmp_path / 'i', tmp_path)
  assert trees.column(made, 'subject') == [
    '6c613a14b80a8591', '6c613a14b80a8591', '0001e50000000012',
  ]  # fmt: skip
  assert trees.column(made, 'path')[0] == (
    f'{below}AllDICOMs/20586908_6c613a14b80a8591_MG_L_CC_ANON.dcm'
  )
  # November 2009 to February 2011.
  assert trees.column(made, 'visit_months') == ['0', '15', '0']
  assert trees.column(made, 'diagnosis') == [
    'BI-RADS 4a', 'BI-RADS 1', 'BI-RADS 6',
  ]  # fmt: skip
  assert trees.column(made, 'density') == ['2', '', '4']
  assert trees.column(made, 'findings') == ['calcification;mass', '', '']
  notes = '\n'.join(made.notes)
  assert '2 women, 1 with several exams' in notes
  assert '1 files are not in INbreast.csv' in notes
  assert '2 images have no file of outlines' in notes


def test_inbreast_without_outlines(tmp_path):
  made = catalog.read('inbreast', _inbreast(tmp_path, xml=False))
  assert trees.column(made, 'findings') == ['', '', '']
  assert 'There is no AllXML' in '\n'.join(made.notes)


@pytest.mark.parametrize(
  'change, what',
  [
    ({'month': '201113'}, "row 3: Acquisition date is '201113'"),
    ({'side': 'L'}, r'1 images are of another side(?s:.*)20586934.*L MLO'),
  ],
  ids=['month', 'side'],
)
def test_inbreast_refuses(tmp_path, change, what):
  with pytest.raises(errors.DataError, match=what):
    catalog.read('inbreast', _inbreast(tmp_path, **change))


@pytest.mark.parametrize(
  'text',
  [b'<plist>cut', b'<plist version="1.0"><dict/></plist>', b''],
  ids=['cut', 'empty', 'nothing'],
)
def test_inbreast_refuses_damaged_outlines(tmp_path, text):
  (_inbreast(tmp_path) / 'AllXML/20586908.xml').write_bytes(text)
  with pytest.raises(errors.DataError, match=r"'AllXML/20586908.xml' is no"):
    catalog.read('inbreast', tmp_path)


def test_inbreast_tells_all_that_is_missing(tmp_path):
  _inbreast(tmp_path)
  for path in (tmp_path / 'AllDICOMs').glob('2*.dcm'):
    path.unlink()
  with pytest.raises(errors.DataError, match=r'3 of 3(?s:.*)20586908_\*.dcm'):
    catalog.read('inbreast', tmp_path)
