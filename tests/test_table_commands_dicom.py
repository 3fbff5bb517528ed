"""`inspect`, `leaks` and `balance` on DICOM files: pseudonyms and windows."""

import copies
import dicom_files
import numpy as np
import pandas as pd
import pytest
import report_page

from mammojax import __main__ as cli
from mammojax.data import pseudonyms

_WOMEN = 6
_MORE = {'inspect': (), 'leaks': (), 'balance': ('--positive=mel',)}


@pytest.fixture
def key(tmp_path):
  path = tmp_path / 'keys' / 'secret.key'
  path.parent.mkdir()
  pseudonyms.make_key(path)
  return path


@pytest.fixture
def path(tmp_path):
  """A table without subjects; the first picture lies below its window."""
  folder = tmp_path / 'exams'
  folder.mkdir()
  rng = np.random.default_rng(0)
  rows = ['path,diagnosis,split']
  for woman in range(_WOMEN):
    grey = copies.texture(rng, 96).astype(np.uint16)
    made = dicom_files.dataset(grey * 8 if woman else grey)
    made.PatientID = f'CANARY{woman}'
    made.WindowCenter, made.WindowWidth = 1000, 1000
    (folder / f'{woman}.dcm').write_bytes(dicom_files.to_bytes(made))
    rows.append(f'{woman}.dcm,{("mel", "nv")[woman % 2]},train')
  (folder / 'table.csv').write_text('\n'.join(rows))
  return folder / 'table.csv'


def _run(command, path, *more):
  out = path.parent.parent / 'out'
  if command == 'balance':
    out.mkdir()
  target = out / 'x.csv' if command == 'balance' else out
  arguments = [f'--table={path}', f'--out={target}', *_MORE[command], *more]
  return cli.main([command, *arguments]), out


@pytest.mark.parametrize('command', list(_MORE))
def test_subjects_of_headers_become_pseudonyms(path, key, command, capsys):
  code, out = _run(command, path, f'--key={key}')
  assert code == 0
  written = [file.read_bytes() for file in out.iterdir()]
  assert written and not any(b'CANARY' in text for text in written)
  said = capsys.readouterr()
  assert 'CANARY' not in said.out + said.err
  file = {'inspect': 'images', 'leaks': 'split', 'balance': 'x'}[command]
  subjects = set(pd.read_csv(out / f'{file}.csv')['subject'])
  secret = pseudonyms.load_key(key)
  known = {pseudonyms.pseudonym(f'CANARY{i}', secret) for i in range(_WOMEN)}
  assert subjects and subjects <= known


@pytest.mark.parametrize('command', list(_MORE))
def test_without_a_key_the_subjects_are_missed(path, command, capsys):
  assert _run(command, path)[0] == 3
  assert "no column 'subject'" in capsys.readouterr().err


@pytest.mark.parametrize('command', ['inspect', 'leaks'])
def test_a_key_among_the_results_is_refused(path, command, capsys):
  out = path.parent.parent / 'out'
  out.mkdir()
  pseudonyms.make_key(out / 'x.key')
  assert _run(command, path, f'--key={out / "x.key"}')[0] == 2
  assert 'lies inside' in capsys.readouterr().err


@pytest.mark.parametrize('voi', ['none', 'window'])
@pytest.mark.parametrize('command', list(_MORE))
def test_pictures_are_seen_through_the_window(path, key, command, voi, capsys):
  code, out = _run(command, path, f'--key={key}', f'--voi={voi}')
  assert code == 0
  said = capsys.readouterr().out
  if command == 'inspect':
    seen = pd.read_csv(out / 'images.csv')
    is_flat = seen['minimum'][0] == seen['maximum'][0] == 0.0
    # Of the other pictures the window cuts off both ends.
    assert (seen['maximum'][1:].max() == 1.0) == (voi == 'window')
  elif command == 'leaks':
    text = report_page.Page(out / 'leaks.html').text
    is_flat = 'Images of one value, not compared (1)' in text
  else:
    is_flat = '1 positive: broken or of one value' in said
  assert is_flat == (voi == 'window')
  if command != 'inspect':
    assert ('--config.data.voi=window' in said) == (voi == 'window')


def test_an_unknown_window_is_refused(path, capsys):
  assert _run('leaks', path, '--voi=bone')[0] == 2
  assert 'bone' in capsys.readouterr().err
