"""DICOM: every level survives, black is black, and nobody is named."""

import builtins
import datetime
import logging

import numpy as np
import pytest

from mammojax import errors
from mammojax.data import (
  dicom,
  dicomtags,
  images,
  pseudonyms,
  readers,
  recipes,
  table,
)

pydicom = pytest.importorskip('pydicom')
dicom_files = pytest.importorskip('dicom_files')

_KEY = b'0123456789abcdef0123456789abcdef'
_PERSONAL = (
  'PatientName',
  'PatientAddress',
  'PatientComments',
  'OtherPatientNames',
  'ReferringPhysicianName',
  'InstitutionName',
  'AccessionNumber',
  'StudyDescription',
)


@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('syntax', ['plain', 'rle', 'jpeg2000'])
def test_every_level_survives(bits, syntax):
  made = dicom_files.dataset(dicom_files.ramp(bits), bits)
  if syntax == 'rle':
    made.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
  if syntax == 'jpeg2000':
    made.compress(pydicom.uid.JPEG2000Lossless, generate_instance_uid=False)
  image = readers.decode(dicom_files.to_bytes(made), 'ramp.dcm')
  full = (1 << bits) - 1
  assert image.dtype == np.float32 and image.shape == (
    *dicom_files.ramp(bits).shape,
    1,
  )
  assert image.min() == 0.0 and image.max() == 1.0
  assert len(np.unique(image)) == 1 << bits
  np.testing.assert_array_equal(
    np.rint(image[..., 0].astype(np.float64) * full), dicom_files.ramp(bits)
  )
  height, width = dicom_files.ramp(bits).shape
  assert readers.inspect(dicom_files.to_bytes(made), 'x') == (
    width,
    height,
    1,
    bits,
  )


def test_signed_values_run_from_their_lowest():
  ramp = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
  image = dicom_files.decode(dicom_files.dataset(ramp, 12))
  np.testing.assert_array_equal(np.rint(image * 4095), ramp + 2048)


@pytest.mark.parametrize('voi', ['none', 'window'])
@pytest.mark.parametrize('bits', [12, 16])
def test_monochrome_twins_are_equal(bits, voi, rng):
  full = (1 << bits) - 1
  grey = rng.integers(0, full + 1, (32, 48), dtype=np.uint16)
  window = dict(WindowWidth=full / 2, VOILUTFunction='LINEAR_EXACT')
  one = dicom_files.dataset(full - grey, bits, 'MONOCHROME1', **window)
  two = dicom_files.dataset(grey, bits, 'MONOCHROME2', **window)
  one.WindowCenter, two.WindowCenter = full - full // 3, full // 3
  one.PresentationLUTShape, two.PresentationLUTShape = 'INVERSE', 'IDENTITY'
  np.testing.assert_allclose(
    dicom_files.decode(one, voi), dicom_files.decode(two, voi), atol=1e-6
  )
  if voi == 'none':
    np.testing.assert_allclose(dicom_files.decode(two), grey / full, atol=1e-7)


@pytest.mark.parametrize('meaning', ['MONOCHROME1', 'MONOCHROME2'])
def test_padding_is_black(meaning):
  pixels = np.array([[0, 5], [900, 4095]], np.uint16)
  made = dicom_files.dataset(pixels, 12, meaning)
  made.add_new('PixelPaddingValue', 'US', 0)
  made.add_new('PixelPaddingRangeLimit', 'US', 10)
  want = np.array([[0, 0], [900, 4095]]) / 4095
  if meaning == 'MONOCHROME1':
    want[1] = 1 - want[1]
  np.testing.assert_allclose(dicom_files.decode(made), want, atol=1e-6)


def test_frames_are_named_by_index(tmp_path, rng):
  frames = rng.integers(0, 4096, (3, 8, 8), dtype=np.uint16)
  for syntax in (None, pydicom.uid.RLELossless):
    made = dicom_files.dataset(frames)
    if syntax:
      made.compress(syntax, generate_instance_uid=False)
    file = dicom.DicomFile(dicom_files.to_bytes(made), 'tomo.dcm')
    assert len(file) == 3
    for index in range(3):
      np.testing.assert_allclose(
        file.image(index)[..., 0], frames[index] / 4095, atol=1e-7
      )
    with pytest.raises(errors.DataError, match='#3 is not among #0 to #2'):
      file.image(3)
    with pytest.raises(errors.DataError, match=r"3 frames.*'tomo.dcm#0'"):
      file.image()
  single = dicom.DicomFile(
    dicom_files.to_bytes(dicom_files.dataset(frames[0])), 'one.dcm'
  )
  with pytest.raises(errors.DataError, match='leave #0 off'):
    single.image(0)


@pytest.mark.parametrize('syntax', ['plain', 'rle', 'jpeg2000'])
@pytest.mark.parametrize('share', [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(syntax, share, rng):
  made = dicom_files.dataset(rng.integers(0, 4096, (64, 64), dtype=np.uint16))
  if syntax != 'plain':
    uid = dict(rle='RLELossless', jpeg2000='JPEG2000Lossless')[syntax]
    made.compress(getattr(pydicom.uid, uid), generate_instance_uid=False)
  data = dicom_files.to_bytes(made)
  readers.decode(data, 'whole.dcm')
  cut = data[: int(share * len(data))]
  with pytest.raises(errors.DataError, match=r"'cut.dcm'.*again"):
    readers.decode(cut, 'cut.dcm')


@pytest.mark.parametrize(
  'tags, message',
  [
    (dict(PhotometricInterpretation='RGB'), 'no grey image'),
    (dict(Rows=60000, Columns=60000), 'refused above 100 megapixels'),
    (dict(Rows=128), r'cannot be decoded.*Copy it again'),
    (dict(Rows=0), 'header is damaged'),
    (dict(NumberOfFrames=10000), '10000 frames; 1 to 1000'),
    (dict(BitsStored=32, BitsAllocated=32), '32 of 32 bits'),
    (dict(HighBit=15), 'up to bit 15'),
    (dict(BitsStored=8, HighBit=7), 'beyond its 8 bits'),
    (dict(PixelData=b''), 'no pixels'),
    (dict(RescaleSlope='0'), 'rescale slope of 0'),
  ],
  ids=lambda value: '+'.join(value) if isinstance(value, dict) else '',
)
def test_headers_that_do_not_fit_are_refused(tags, message):
  made = dicom_files.dataset(dicom_files.ramp(12), 12, **tags)
  with pytest.raises(errors.DataError, match=message) as caught:
    dicom_files.decode(made)
  assert 'x.dcm' in str(caught.value)


def test_a_codestream_larger_than_its_header_is_refused():
  made = dicom_files.dataset(np.zeros((256, 256), np.uint16))
  made.compress(pydicom.uid.JPEG2000Lossless, generate_instance_uid=False)
  made.Rows = made.Columns = 8
  with pytest.raises(errors.DataError, match='256 x 256 pixels under a header'):
    dicom_files.decode(made)


def test_without_pydicom_the_extra_is_named(monkeypatch):
  data = dicom_files.to_bytes(dicom_files.dataset(dicom_files.ramp(10), 10))
  whole = builtins.__import__

  def without(name, *args, **kwargs):
    if name.startswith('pydicom'):
      raise ImportError(name)
    return whole(name, *args, **kwargs)

  monkeypatch.setattr(builtins, '__import__', without)
  with pytest.raises(errors.DataError, match=r"install 'mammojax\[dicom\]'"):
    readers.decode(data, 'x.dcm')


def test_nobody_is_named(caplog, capsys, recwarn):
  caplog.set_level(logging.DEBUG)
  made = dicom_files.dataset(dicom_files.ramp(10), 10)
  for keyword in _PERSONAL:
    setattr(made, keyword, 'CANARY')
  made.PatientID, made.StudyDate = 'CANARY7', '20200131'
  made.ImageLaterality, made.ViewPosition = 'L', 'MLO'
  data = dicom_files.to_bytes(made)
  about = dicomtags.header(data, 'x.dcm', _KEY)
  file = dicom.DicomFile(data, 'x.dcm', 'auto')
  file.image()
  shown = [repr(about), repr(vars(file))]
  undated = data.replace(b'20200131', b'CANARY88')
  shown.append(repr(dicomtags.header(undated, 'x.dcm', _KEY)))
  # Columns without a pixel; a person's name where the window was.
  flat = data.replace(b'\x28\0\x11\0US\2\0\x20', b'\x28\0\x11\0US\2\0\0')
  made.add_new('WindowCenter', 'LO', 'CANARY')
  for broken in (flat, dicom_files.to_bytes(made), data[:600]):
    with pytest.raises(errors.DataError) as caught:
      readers.decode(broken, 'x.dcm', 'window')
    shown.append(str(caught.value))
  shown += [str(warning.message) for warning in recwarn]
  shown += [caplog.text, *capsys.readouterr()]
  assert 'CANARY' not in ''.join(shown) and '2020' not in repr(about)
  assert about.subject == pseudonyms.pseudonym('CANARY7', _KEY)
  assert (about.modality, about.laterality, about.view) == ('MG', 'L', 'MLO')
  assert about.exam_date == datetime.date(2020, 1, 31)


def test_a_table_of_dicom_and_pgm_is_read(tmp_path, rng):
  grey = rng.integers(0, 4096, (3, 16, 16), dtype=np.uint16)
  for name, meaning in (('a.dcm', 'MONOCHROME2'), ('b.dcm', 'MONOCHROME1')):
    (tmp_path / name).write_bytes(
      dicom_files.to_bytes(dicom_files.dataset(grey[0], 12, meaning))
    )
  (tmp_path / 'tomo.dcm').write_bytes(
    dicom_files.to_bytes(dicom_files.dataset(grey))
  )
  pgm = b'P5 16 16 4095\n' + grey[1].astype('>u2').tobytes()
  (tmp_path / 'c.pgm').write_bytes(pgm)
  paths = ['a.dcm', 'b.dcm', 'c.pgm', 'tomo.dcm#0', 'tomo.dcm#2']
  lines = ['path,subject', *(f'{path},{i % 2}' for i, path in enumerate(paths))]
  (tmp_path / 'table.csv').write_text('\n'.join(lines))
  frame, store = table.read(tmp_path / 'table.csv')
  made = images.TableImages(
    frame, store, recipes.Recipe(('fit',), image_size=16)
  )
  got = made.images(np.arange(5))[..., 0]
  full = grey / 4095
  want = [full[0], 1 - full[0], full[1], full[0], full[2]]
  np.testing.assert_allclose(got, want, atol=1e-5)
  with (tmp_path / 'table.csv').open('a') as file:
    file.write('\ntomo.dcm,0\ntomo.dcm#3,0')
  with pytest.raises(
    errors.DataError, match='images that cannot be read'
  ) as no:
    table.read(tmp_path / 'table.csv')
  assert 'row 7' in str(no.value) and '3 frames' in str(no.value)
  assert 'row 8' in str(no.value) and '#0 to #2' in str(no.value)
