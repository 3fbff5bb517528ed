"""Windows, rescale and LUTs of DICOM against pydicom and by hand."""

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import luts

pydicom = pytest.importorskip('pydicom')
dicom_files = pytest.importorskip('dicom_files')


@pytest.mark.parametrize('function', ['LINEAR', 'LINEAR_EXACT', 'SIGMOID'])
@pytest.mark.parametrize('centre, width', [(1000, 600), (2048, 4096), (7, 1)])
def test_windows_equal_those_of_pydicom(function, centre, width):
  made = dicom_files.dataset(
    dicom_files.ramp(12), 12, WindowCenter=[centre, 5], WindowWidth=[width, 9]
  )
  made.VOILUTFunction = function
  want = pydicom.pixels.apply_windowing(dicom_files.ramp(12), made) / 4095
  np.testing.assert_allclose(
    dicom_files.decode(made, 'window'), want, atol=1e-6
  )
  np.testing.assert_array_equal(
    dicom_files.decode(made, 'auto'), dicom_files.decode(made, 'window')
  )


def test_a_window_is_in_units_after_rescale():
  made = dicom_files.dataset(
    dicom_files.ramp(12), 12, RescaleSlope='0.5', RescaleIntercept='-100'
  )
  made.WindowCenter, made.WindowWidth = 400, 200
  made.VOILUTFunction = 'LINEAR_EXACT'
  units = dicom_files.ramp(12) * 0.5 - 100
  want = np.clip((units - 400) / 200 + 0.5, 0, 1)
  np.testing.assert_allclose(
    dicom_files.decode(made, 'window'), want, atol=1e-6
  )
  np.testing.assert_allclose(
    dicom_files.decode(made), dicom_files.ramp(12) / 4095, atol=1e-7
  )
  made.RescaleSlope = '-0.5'
  np.testing.assert_allclose(
    dicom_files.decode(made), 1 - dicom_files.ramp(12) / 4095, atol=1e-6
  )


def test_luts_are_looked_up_and_clamped():
  entries = np.array([0, 30, 70, 1023])
  made = dicom_files.dataset(
    dicom_files.ramp(10),
    10,
    ModalityLUTSequence=dicom_files.lut(entries, 100, 10),
  )
  want = entries[np.clip(dicom_files.ramp(10).astype(int) - 100, 0, 3)]
  np.testing.assert_allclose(dicom_files.decode(made), want / 1023, atol=1e-7)
  made.VOILUTSequence = dicom_files.lut([5, 255], 30, 8)
  want = np.where(want > 30, 255, 5) / 255
  np.testing.assert_allclose(dicom_files.decode(made, 'lut'), want, atol=1e-7)
  np.testing.assert_array_equal(
    dicom_files.decode(made, 'auto'), dicom_files.decode(made, 'lut')
  )


@pytest.mark.parametrize(
  'tags, voi, message',
  [
    ({}, 'window', 'no window'),
    ({}, 'lut', 'no VOI LUT'),
    (dict(WindowCenter=5, WindowWidth=0), 'auto', 'width 0'),
    (
      dict(WindowCenter=5, WindowWidth=4, VOILUTFunction='CUBIC'),
      'window',
      'CUBIC',
    ),
  ],
  ids=['window', 'lut', 'width', 'function'],
)
def test_windows_that_mean_nothing_are_refused(tags, voi, message):
  with pytest.raises(errors.DataError, match=rf"'x.dcm': .*{message}"):
    dicom_files.decode(
      dicom_files.dataset(dicom_files.ramp(10), 10, **tags), voi
    )


def test_an_unknown_voi_is_refused():
  with pytest.raises(errors.UsageError, match="Did you mean 'window'"):
    dicom_files.decode(dicom_files.dataset(dicom_files.ramp(10), 10), 'windw')
  assert luts.MODES[0] == 'none'
