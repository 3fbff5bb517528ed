"""VinDr-Mammo and RSNA in their published layouts."""

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
