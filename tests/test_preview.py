"""The contact sheet of a config's steps."""

import os
import pathlib
import stat
import sys

import cv2
import numpy as np
import pytest

from mammojax import __main__ as program

# ml_collections loads a config by a way that importlib has given up.
pytestmark = pytest.mark.filterwarnings('ignore:the load_module')
_CONFIG = pathlib.Path(__file__).parents[1] / 'configs' / 'mini_mias.py'


@pytest.fixture
def table(tmp_path):
  """Three 16 bit breasts, one of them black; a name that acts on terminals."""
  down, across = np.mgrid[:64, :48]
  breast = (down - 32) ** 2 + across**2 <= 28**2
  names = ['a.png', '<b>\x1b$x^2.png', 'black.png']
  for i, name in enumerate(names):
    image = (breast * (i != 2) * 40000).astype(np.uint16)
    data = cv2.imencode('.png', image)[1].tobytes()
    (tmp_path / name).write_bytes(data)
  lines = [f'{name},s{i},L,MLO' for i, name in enumerate(names)]
  path = tmp_path / 't.csv'
  path.write_text(
    '\n'.join(
      ['path,subject_id,laterality,view,label']
      + [f'{line},n' for line in lines]
    )
  )
  return path


@pytest.fixture
def preview(monkeypatch):
  def run(*arguments):
    words = ['preview', f'--config={_CONFIG}', *map(str, arguments)]
    # ml_collections looks for overrides there.
    monkeypatch.setattr(sys, 'argv', ['mammojax', *words])
    return program.main(words)

  return run


def test_a_sheet_is_drawn(preview, table, tmp_path, capsys):
  out = tmp_path / 'new' / 'sheet.png'
  code = preview(
    f'--config.data.table={table}',
    "--config.data.steps=('orient','breast_crop','pectoral','clahe','fit')",
    f'--out={out}',
  )
  assert code == 0
  picture = cv2.imread(str(out))
  # Three lines and six columns of 1.35 by 1.75 inches at 200 dots.
  assert picture.shape == (1050, 1620, 3)
  assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
  shown = capsys.readouterr().out
  assert "'black.png': no breast was found" in shown
  assert r"'<b>\x1b$x^2.png'" in shown and '\x1b' not in shown


def test_those_in_doubt_are_found(preview, table, tmp_path, capsys):
  out = tmp_path / 'sheet.png'
  flags = f'--config.data.table={table}', f'--out={out}', '--rows=doubt'
  steps = "--config.data.steps=('breast_crop','fit')"
  assert preview(*flags, steps) == 0
  assert '1 of 3 images are in doubt' in capsys.readouterr().out
  assert cv2.imread(str(out)).shape[0] == 350
  good = '\n'.join(table.read_text().splitlines()[:3])
  table.write_text(good)
  out.unlink()
  assert preview(*flags, steps) == 0
  assert '0 of 2 images' in capsys.readouterr().out and not out.exists()


@pytest.mark.parametrize(
  'flags, code, message',
  [
    (['--rows=1'], 2, 'no row 1; its rows are 2 to 4'),
    (['--rows=2,x'], 2, "'x' is no row"),
    (['--rows=9-'], 2, "'9-' is no row"),
    (['--rows=0-999999999'], 2, 'too many rows'),
    (['--out=x.svg'], 2, 'must be a .png'),
    (["--config.data.steps=('orientt','fit')"], 2, "Did you mean 'orient'"),
    (['--config.data.preproces.margin=1.0'], 2, 'preproces'),
    (['--rowz=2'], 2, 'rowz'),
    (['--config.data.table=none.csv'], 3, "'none.csv' does not exist"),
  ],
  ids=lambda value: value[0] if isinstance(value, list) else '',
)
def test_wrong_flags_are_answered(preview, table, flags, code, message, capsys):
  assert preview(f'--config.data.table={table}', *flags) == code
  assert message in capsys.readouterr().err


def test_rows_are_those_of_messages(preview, table, tmp_path):
  out = tmp_path / 'sheet.png'
  assert (
    preview(
      f'--config.data.table={table}', '--rows=3-4,2', f'--out={out}',
      '--config.data.channels=3',
    )
    == 0
  )  # fmt: skip
  assert cv2.imread(str(out)).shape == (1050, 810, 3)
