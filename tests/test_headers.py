"""Tables whose subjects are pseudonyms, or stand in DICOM headers alone."""

import io
import json
import logging
import zipfile

import cv2
import numpy as np
import pytest
import tiny

from mammojax import errors
from mammojax.data import pseudonyms, table
from mammojax.training import inputs, train

pydicom = pytest.importorskip('pydicom')
dicom_files = pytest.importorskip('dicom_files')

# Personal tags of DICOM PS3.15 E.1 that hold free text or a name.
_PERSONAL = (
  'PatientName',
  'PatientAddress',
  'PatientComments',
  'PatientTelephoneNumbers',
  'OtherPatientNames',
  'PatientMotherBirthName',
  'ReferringPhysicianName',
  'PerformingPhysicianName',
  'OperatorsName',
  'InstitutionName',
  'InstitutionAddress',
  'StationName',
  'AccessionNumber',
  'StudyID',
  'StudyDescription',
  'SeriesDescription',
  'ProtocolName',
  'RequestedProcedureDescription',
  'ImageComments',
  'DeviceSerialNumber',
)


@pytest.fixture
def key_file(tmp_path):
  path = tmp_path / 'secret.key'
  pseudonyms.make_key(path)
  return path


def _exams(folder, rng):
  """Six women, both breasts, two visits each; every personal tag planted."""
  folder.mkdir()
  rows = []
  for woman in range(6):
    for side in 'LR':
      for visit, date in enumerate(('20100101', '20120101')):
        grey = rng.integers(0, 4096, (40, 40), dtype=np.uint16)
        made = dicom_files.dataset(
          grey, 12, ('MONOCHROME1', 'MONOCHROME2')[woman % 2]
        )
        for keyword in _PERSONAL:
          setattr(made, keyword, 'CANARY')
        made.PatientID, made.StudyDate = f'CANARY{woman}', date
        made.PatientBirthDate = '19510203'
        made.ImageLaterality, made.ViewPosition = side, 'MLO'
        name = f'{woman}{side}{visit}.dcm'
        (folder / name).write_bytes(dicom_files.to_bytes(made))
        rows.append((name, ('train', 'validation', 'test')[woman % 3]))
  lines = ['path,split', *(','.join(row) for row in rows)]
  (folder / 'table.csv').write_text('\n'.join(lines))
  return folder / 'table.csv'


def test_headers_fill_what_the_table_lacks(tmp_path, key_file, rng):
  path = _exams(tmp_path / 'exams', rng)
  key = pseudonyms.load_key(key_file)
  frame, _ = table.read(path, key=key)
  assert frame['subject'].nunique() == 6 and len(frame) == 24
  assert frame['subject'][0] == pseudonyms.pseudonym('CANARY0', key)
  assert frame['laterality'].tolist() == ['L', 'L', 'R', 'R'] * 6
  assert set(frame['view']) == {'MLO'}
  # 2010 and 2011 have 730 days, a month has 365.25 / 12.
  want = [0.0, round(730 / 30.4375, 2)] * 12
  np.testing.assert_allclose(frame['visit_months'], want)
  with pytest.raises(
    errors.DataError, match=r'(?s)no column .subject.*key_file'
  ):
    table.read(path)


def test_a_column_of_the_table_is_believed(tmp_path, key_file, rng):
  path = _exams(tmp_path / 'exams', rng)
  head, *lines = path.read_text().splitlines()
  who = [f'{line},who{i % 5},CC' for i, line in enumerate(lines)]
  path.write_text(
    '\n'.join([head.replace('split', 's') + ',person,view', *who])
  )
  key = pseudonyms.load_key(key_file)
  frame, _ = table.read(path, columns={'subject': 'person'}, key=key)
  assert frame['subject'][4] == pseudonyms.pseudonym('who4', key)
  assert set(frame['view']) == {'CC'} and set(frame['laterality']) == {'L', 'R'}


def test_subjects_of_png_become_pseudonyms_too(tmp_path, key_file):
  rows = []
  for i in range(4):
    cv2.imwrite(str(tmp_path / f'{i}.png'), np.eye(8, dtype=np.uint8) * 200)
    rows.append(f'{i}.png,CANARY{i // 2}')
  (tmp_path / 't.csv').write_text('\n'.join(['path,subject', *rows]))
  key = pseudonyms.load_key(key_file)
  frame, _ = table.read(tmp_path / 't.csv', key=key)
  assert frame['subject'].tolist() == [
    pseudonyms.pseudonym(f'CANARY{i // 2}', key) for i in range(4)
  ]
  text = (tmp_path / 't.csv').read_text().replace('subject', 'other')
  (tmp_path / 't.csv').write_text(text)
  with pytest.raises(errors.DataError, match=r'row 2: .*is no DICOM file'):
    table.read(tmp_path / 't.csv', key=key)


def test_dicom_goes_through_the_config_like_png(tmp_path, rng):
  """The same 12 bit greys as DICOM and as PNG give the same batches."""
  grey = rng.integers(0, 4096, (8, 30, 40), dtype=np.uint16)
  lines = {
    suffix: ['path,subject,laterality,split'] for suffix in ('dcm', 'png')
  }
  for i, picture in enumerate(grey):
    stored = 4095 - picture if i % 2 else picture
    made = dicom_files.dataset(
      stored, 12, ('MONOCHROME2', 'MONOCHROME1')[i % 2],
      WindowCenter=2048, WindowWidth=1000,
    )  # fmt: skip
    (tmp_path / f'{i}.dcm').write_bytes(dicom_files.to_bytes(made))
    # 4,095 times 65,535 / 4,095 is no whole number: PNG holds the nearest.
    wide = np.rint(picture * (65535 / 4095)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / f'{i}.png'), wide)
    for suffix, rows in lines.items():
      rows.append(f'{i}.{suffix},{i // 2},{"LR"[i % 2]},train')
  made = {}
  for suffix, rows in lines.items():
    (tmp_path / f'{suffix}.csv').write_text('\n'.join(rows))
    config = tiny.config(tmp_path, data__source='table')
    config.data.table = str(tmp_path / f'{suffix}.csv')
    config.data.steps = ('orient', 'window', 'contrast', 'fit')
    made[suffix] = inputs.image_set(config).images(np.arange(8))
  np.testing.assert_allclose(made['dcm'], made['png'], atol=2e-4)
  config.data.table = str(tmp_path / 'dcm.csv')
  config.data.steps, config.data.voi = ('orient', 'fit'), 'window'
  got = inputs.image_set(config).images(np.array([0]))[0, 4:28, :, 0]
  want = np.clip((grey[0] - 2047.5) / 999 + 0.5, 0, 1).astype(np.float32)
  want = cv2.resize(want, (32, 24), interpolation=cv2.INTER_AREA)
  np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_window_that_is_not_there_is_told_before_step_0(tmp_path, rng):
  path = _exams(tmp_path / 'exams', rng)
  text = path.read_text().replace('path,split', 'path,subject')
  path.write_text(text)
  with pytest.raises(errors.DataError, match=r'row 2: .*no window in the file'):
    table.read(path, voi='window')


def test_a_key_in_the_workdir_is_refused(tmp_path, key_file):
  config = tiny.config(tmp_path, data__source='table')
  config.data.table = 'none.csv'
  config.data.key_file = str(key_file)
  with pytest.raises(errors.UsageError, match='inside the workdir'):
    inputs.image_set(config, tmp_path)


@pytest.mark.slow
def test_nobody_is_named_in_a_run(tmp_path, key_file, rng, caplog, capfd):
  """Every file of a run, its log, its page: no personal tag, no date."""
  from mammojax.report import html

  caplog.set_level(logging.DEBUG)
  path = _exams(tmp_path / 'exams', rng)
  workdir = tmp_path / 'run'
  config = tiny.config(tmp_path, data__source='table')
  config.data.table, config.data.key_file = str(path), str(key_file)
  config.data.steps = ('orient', 'breast_crop', 'pectoral', 'fit')
  config.data.split_rule = 'column'
  config.sampler.subjects_per_batch = 2
  config.eval.masked_baseline = False
  train.run(config, workdir)
  html.write(workdir)
  secret = [b'CANARY', b'20100101', b'20120101', b'1951']
  secret.append(key_file.read_bytes().strip())
  files = [file for file in workdir.rglob('*') if file.is_file()]
  assert any(file.suffix == '.html' for file in files)
  for file in files:
    data = file.read_bytes()
    if zipfile.is_zipfile(io.BytesIO(data)):
      with zipfile.ZipFile(io.BytesIO(data)) as archive:
        data += b''.join(archive.read(name) for name in archive.namelist())
    # Arrays of text are UTF-32.
    data += data.replace(b'\0', b'')
    for word in secret:
      assert word not in data, (file, word)
  shown = caplog.text + ''.join(capfd.readouterr())
  assert not any(word.decode() in shown for word in secret)
  saved = json.loads((workdir / 'preprocess.json').read_text())
  assert saved['preprocess_id'] == inputs.recipe(config).identity
