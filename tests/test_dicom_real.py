"""Real DICOM files, where there are any."""

import csv
import os
import pathlib

import cv2
import numpy as np
import pytest

from mammojax.data import dicomtags, pseudonyms, readers

pytest.importorskip('pydicom')

_KEY = b'0123456789abcdef0123456789abcdef'


def _real(name):
  folder = pathlib.Path(os.environ.get('MAMMOJAX_DATA', ''), name)
  if not os.environ.get('MAMMOJAX_DATA') or not folder.is_dir():
    pytest.skip('no real data')
  with (folder / 'manifest.csv').open(newline='') as file:
    return folder, list(csv.DictReader(file))


def test_mini_mias_files_equal_their_png():
  folder, rows = _real('mini_mias_dicom')
  for row in rows[:8]:
    data = (folder / row['path']).read_bytes()
    image = readers.decode(data, row['path'])
    about = dicomtags.header(data, row['path'], _KEY)
    assert about.laterality == row['laterality'] and about.view == row['view']
    assert about.subject == pseudonyms.pseudonym(row['subject_id'], _KEY)
    twin = folder.parent / 'mini_mias' / 'images' / row['path']
    grey = cv2.imread(str(twin.with_suffix('.png')), cv2.IMREAD_UNCHANGED)
    if grey is not None:
      # The PNG holds the means, rounded twice, of which these are the sums.
      error = np.abs(image[..., 0].astype(np.float64) * 4095 / 16 - grey)
      assert error.max() <= 1.001 and error.mean() < 0.25, row['path']


def test_nema_files_fit_their_manifest():
  folder, rows = _real('dicom_cr_nema')
  read = {}
  for row in rows:
    data = (folder / row['path']).read_bytes()
    size = int(row['cols']), int(row['rows']), 1, int(row['bits_stored'])
    assert readers.inspect(data, row['path']) == size
    read[row['path']] = readers.decode(data, row['path'])[..., 0]
    about = dicomtags.header(data, row['path'], _KEY)
    assert (about.modality, about.laterality) == ('CR', row['laterality'])
  # Bone is bright on a radiograph; the lossy copy is close to the lossless.
  exact = read['RG3_J2KR.dcm']
  assert np.abs(read['RG3_J2KI.dcm'] - exact).mean() < 0.01
  small = exact.astype(np.float64).reshape(440, 4, 440, 4).mean((1, 3))
  np.testing.assert_allclose(
    read['RG3_EVLE_R_440x440.dcm'], small, atol=1.01 / 1023
  )
