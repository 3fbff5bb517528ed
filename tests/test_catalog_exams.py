"""VinDr-Mammo, RSNA, EMBED and INbreast in their published layouts."""

import datetime
import plistlib

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import catalog, imagefiles

trees = pytest.importorskip('catalog_trees')


def _image(store, path):
  return imagefiles.ImageFiles(store).image(path)[..., 0].astype(np.float64)


# VinDr-Mammo


_BREAST = [
  'study_id', 'series_id', 'image_id', 'laterality', 'view_position', 'height',
  'width', 'breast_birads', 'breast_density', 'split',
]  # fmt: skip


def _vindr(root, findings=(), split='training', write=True):
  images = [
    ('0b1e5', 'a0', 'L', 'CC', 'BI-RADS 4', 'training', 'MONOCHROME1'),
    ('0b1e5', 'a1', 'L', 'MLO', 'BI-RADS 4', 'training', 'MONOCHROME2'),
    ('00012', 'b0', 'R', 'CC', 'BI-RADS 1', split, 'MONOCHROME2'),
    ('7e10', 'c0', 'R', 'CC', 'BI-RADS 2', 'test', 'MONOCHROME2'),
  ]
  rows = [
    [study, 's', image, side, view, 6, 5, birads, 'DENSITY C', part]
    for study, image, side, view, birads, part, _ in images
  ]
  trees.write_csv(root / 'breast-level_annotations.csv', _BREAST, rows)
  trees.write_csv(
    root / 'finding_annotations.csv',
    ['study_id', 'image_id', 'finding_categories', 'finding_birads'],
    findings,
  )
  trees.write_csv(
    root / 'metadata.csv',
    ['SOP Instance UID', 'Photometric Interpretation'],
    [[image[1], image[6]] for image in images],
  )
  for number, image in enumerate(images):
    if write or number:
      trees.write_dicom(
        root / 'images' / image[0] / f'{image[1]}.dicom',
        trees.pixels(number), meaning=image[6],
      )  # fmt: skip
  return root


_FINDINGS = [
  ['0b1e5', 'a0', "['Mass', 'Skin Thickening']", 'BI-RADS 4'],
  ['0b1e5', 'a0', "['Mass']", 'BI-RADS 3'],
  ['0b1e5', 'a1', "['Asymmetry']", 'BI-RADS 3'],
  ['00012', 'b0', "['No Finding']", ''],
  ['7e10', 'c0', "['No Finding']", ''],
]


def test_vindr_mammo(tmp_path):
  root = _vindr(tmp_path / 'v', _FINDINGS)
  made, store = trees.read('vindr_mammo', root, tmp_path)
  assert trees.column(made, 'subject') == ['0b1e5', '0b1e5', '00012', '7e10']
  assert trees.column(made, 'path')[0] == 'images/0b1e5/a0.dicom'
  assert trees.column(made, 'diagnosis') == [
    'BI-RADS 4', 'BI-RADS 4', 'BI-RADS 1', 'BI-RADS 2',
  ]  # fmt: skip
  assert trees.column(made, 'findings') == [
    'Mass;Skin Thickening', 'Asymmetry', '', '',
  ]  # fmt: skip
  assert trees.column(made, 'num_findings') == ['2', '1', '0', '0']
  splits = trees.column(made, 'split')
  assert splits[3] == 'test' and splits[0] == splits[1] != 'test'
  assert '3 MONOCHROME2, 1 MONOCHROME1' in '\n'.join(made.notes)
  # Both kinds come out with bright meaning dense.
  for number, path in enumerate(trees.column(made, 'path')[:2]):
    want = trees.pixels(number).astype(np.float64) / 4095
    want = 1 - want if number == 0 else want
    np.testing.assert_allclose(_image(store, path), want, atol=1e-6)


@pytest.mark.parametrize(
  'change, what',
  [
    ({'findings': [['0', 'zz', "['Mass']", '']]}, "row 2: the image 'zz'"),
    (
      {'findings': [['0', 'a0', 'Mass', '']]},
      "row 2: .* is 'Mass', not a list",
    ),
    ({'findings': [['0', 'a0', '__import__("os")', '']]}, 'not a list'),
    ({'split': 'dev'}, "split is 'dev'"),
    ({'write': False}, r"1 of 4 images(?s:.*)'images/0b1e5/a0.dicom'"),
  ],
  ids=['unlisted', 'no_list', 'code', 'split', 'missing'],
)
def test_vindr_mammo_refuses(tmp_path, change, what):
  root = _vindr(tmp_path / 'v', **({'findings': _FINDINGS} | change))
  with pytest.raises(errors.DataError, match=what):
    catalog.read('vindr_mammo', root)


# RSNA


_RSNA = [
  'site_id', 'patient_id', 'image_id', 'laterality', 'view', 'age', 'cancer',
  'biopsy', 'invasive', 'BIRADS', 'implant', 'density', 'machine_id',
  'difficult_negative_case',
]  # fmt: skip


def _rsna(root, cancer='1'):
  rows = [
    [2, '00012', '462822612', 'L', 'CC', 61, 0, 0, 0, '', 0, '', 29, False],
    [2, '00012', '1459541791', 'L', 'MLO', 61, 0, 0, 0, '', 0, '', 29, False],
    [1, '16777217', '3e5', 'R', 'AT', '', cancer, 1, 1, 0, 1, 'B', 29, False],
  ]
  trees.write_csv(root / 'train.csv', _RSNA, rows)
  for number, row in enumerate(rows):
    trees.write_dicom(
      root / 'train_images' / row[1] / f'{row[2]}.dcm', trees.pixels(number)
    )
  return root


def test_rsna(tmp_path):
  made, _ = trees.read('rsna_mammo', _rsna(tmp_path / 'r'), tmp_path)
  assert trees.column(made, 'subject') == ['00012', '00012', '16777217']
  assert trees.column(made, 'path')[2] == 'train_images/16777217/3e5.dcm'
  assert trees.column(made, 'diagnosis') == ['no_cancer', 'no_cancer', 'cancer']
  assert trees.column(made, 'view') == ['CC', 'MLO', 'AT']
  assert trees.column(made, 'birads') == ['', '', '0']
  assert '1 of 2 women' in made.notes[0]
  assert 'FORBIDS' in made.terms and 'identify' in made.terms


def test_rsna_reads_jpeg_2000(tmp_path):
  pydicom = pytest.importorskip('pydicom')
  pytest.importorskip('openjpeg')
  import dicom_files

  root = _rsna(tmp_path / 'r')
  image = trees.pixels(5, (32, 32))
  packed = dicom_files.dataset(image)
  packed.compress(pydicom.uid.JPEG2000Lossless, generate_instance_uid=False)
  path = root / 'train_images/00012/462822612.dcm'
  path.write_bytes(dicom_files.to_bytes(packed))
  _, store = trees.read('rsna_mammo', root, tmp_path)
  got = _image(store, 'train_images/00012/462822612.dcm')
  np.testing.assert_array_equal(np.rint(got * 4095), image)


def test_rsna_refuses(tmp_path):
  root = _rsna(tmp_path / 'r', cancer='')
  with pytest.raises(errors.DataError, match="row 4: cancer is ''"):
    catalog.read('rsna_mammo', root)
  root = _rsna(tmp_path / 'r')
  (root / 'train_images/00012/462822612.dcm').unlink()
  with pytest.raises(errors.DataError, match='1 of 3 images'):
    catalog.read('rsna_mammo', root)


# EMBED


_DISK = '/mnt/NAS2/mammo/anon_dicom/'
_EXAMS = {
  # patient, exam -> date
  ('0060', '90000000000000001'): '2013-05-06',
  ('0060', '90000000000000002'): '2015-05-07 00:00:00',
  ('16777217', '3'): '2014-01-31',
}
_META = [
  'Unnamed: 0', 'empi_anon', 'acc_anon', 'study_date_anon', 'anon_dicom_path',
  'FinalImageType', 'ImageLateralityFinal', 'ViewPosition', 'spot_mag',
]  # fmt: skip
_IMAGES = [
  ('0060', '90000000000000001', '2D', 'L', 'CC', ''),
  ('0060', '90000000000000001', '2D', 'R', 'CC', '0.0'),
  ('0060', '90000000000000001', 'C-view', 'R', 'CC', ''),
  ('0060', '90000000000000002', '2D', 'L', 'MLO', ''),
  ('0060', '90000000000000002', '2D', 'L', 'CC', '1.0'),
  ('0060', '90000000000000002', '2D', 'L', 'ML', ''),
  ('16777217', '3', '2D', 'R', 'MLO', ''),
]
_CLINICAL = [
  'empi_anon', 'acc_anon', 'study_date_anon', 'side', 'asses', 'bside',
  'path_severity',
]  # fmt: skip
_FOUND = [
  ('0060', '90000000000000001', '', 'L', 'B', '', ''),
  ('0060', '90000000000000001', '', 'L', 'S', 'L', '4.0'),
  ('0060', '90000000000000001', '', 'L', 'S', 'L', '1.0'),
  ('0060', '90000000000000001', '', 'R', 'N', '', ''),
  ('0060', '90000000000000002', '', 'B', 'A', '', ''),
  ('0060', '90000000000000002', '', '', 'N', '', ''),
  ('16777217', '3', '', 'L', 'M', 'L', '0.0'),
  ('16777217', '3', '', 'R', 'X', '', ''),
]


def _embed(root, found=_FOUND, dates=_EXAMS, suffix='', repeat=0):
  rows = []
  for number, (patient, exam, kind, side, view, spot) in enumerate(_IMAGES):
    below = f'cohort_1/{patient}/{exam}/s/{number}.dcm'
    rows.append([
      number, patient, exam, dates[patient, exam], _DISK + below, kind, side,
      view, spot,
    ])  # fmt: skip
    trees.write_dicom(root / 'images' / below, trees.pixels(number))
  tables = root / 'tables'
  rows += rows[:repeat]
  trees.write_csv(tables / f'EMBED_OpenData_metadata{suffix}.csv', _META, rows)
  trees.write_csv(
    tables / f'EMBED_OpenData_clinical{suffix}.csv', _CLINICAL, found
  )
  return root


@pytest.mark.parametrize('suffix', ['', '_reduced'])
def test_embed_is_longitudinal_and_one_row_an_image(tmp_path, suffix):
  root = _embed(tmp_path / 'e', suffix=suffix, repeat=2)
  made, _ = trees.read('embed', root, tmp_path)
  assert trees.column(made, 'subject') == ['0060'] * 3 + ['16777217']
  assert trees.column(made, 'path')[0] == (
    'images/cohort_1/0060/90000000000000001/s/0.dcm'
  )
  days = (datetime.date(2015, 5, 7) - datetime.date(2013, 5, 6)).days
  months = [float(text) for text in trees.column(made, 'visit_months')]
  assert months == pytest.approx([0, 0, days / 365.25 * 12, 0], abs=0.005)
  # The worst of the side; B and no side are both breasts; X is none.
  assert trees.column(made, 'diagnosis') == [
    'BI-RADS 4', 'BI-RADS 1', 'BI-RADS 0', '',
  ]  # fmt: skip
  assert trees.column(made, 'num_findings') == ['3', '1', '2', '1']
  assert trees.column(made, 'pathology') == ['non_invasive_cancer', '', '', '']
  notes = '\n'.join(made.notes)
  assert '1 of 9 images are not 2D' in notes
  assert '2 spot, magnified or other views' in notes
  assert '2 rows repeat a file' in notes
  assert "1 findings have an assessment that is none, such as 'X'" in notes
  assert '1 of 2 women have several exams' in notes
  assert '2013' not in made.frame.to_csv()  # no date is written


def test_embed_reads_the_short_table_where_it_says_enough(tmp_path):
  root = _embed(_embed(tmp_path / 'e'), found=_FOUND[:1], suffix='_reduced')
  clinical = root / 'tables/EMBED_OpenData_clinical_reduced.csv'
  assert '1 rows of findings' in catalog.read('embed', root).notes[2]
  text = clinical.read_text().replace('asses', 'assessment')
  clinical.write_text(text)
  assert f'{len(_FOUND)} rows' in '\n'.join(catalog.read('embed', root).notes)


def test_embed_options(tmp_path):
  root = _embed(tmp_path / 'e')
  made, _ = trees.read(
    'embed', root, tmp_path, images='all', views='all', diagnosis='pathology'
  )
  assert len(made.frame) == len(_IMAGES)
  assert trees.column(made, 'diagnosis') == trees.column(made, 'pathology')
  only = catalog.read('embed', root, images='C-view').frame
  assert only['image_type'].tolist() == ['C-view']


def test_embed_without_dates_and_pathology(tmp_path):
  dates = _EXAMS | {('16777217', '3'): ''}
  root = _embed(tmp_path / 'e', dates=dates)
  trees.write_csv(
    root / 'tables/EMBED_OpenData_clinical.csv',
    _CLINICAL[:5],
    [row[:5] for row in _FOUND],
  )
  made, _ = trees.read('embed', root, tmp_path)
  assert trees.column(made, 'visit_months')[3] == ''
  assert set(trees.column(made, 'pathology')) == {''}
  assert '1 images have no date' in '\n'.join(made.notes)


def test_embed_refuses(tmp_path):
  root = _embed(tmp_path / 'e', dates=_EXAMS | {('16777217', '3'): '31.1.14'})
  with pytest.raises(errors.DataError, match=r"'31.1.14', which is no date"):
    catalog.read('embed', root)
  root = _embed(tmp_path / 'e')
  (root / 'images/cohort_1/16777217/3/s/6.dcm').unlink()
  with pytest.raises(errors.DataError, match='1 of 4 images'):
    catalog.read('embed', root)


# INbreast


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
