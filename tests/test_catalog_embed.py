"""EMBED in its published layout."""

import datetime

import pytest

from mammojax import errors
from mammojax.data import catalog

trees = pytest.importorskip('catalog_trees')

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
