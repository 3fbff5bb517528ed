"""`inspect`, `leaks` and `balance` as they are typed."""

import json
import stat

import copies
import numpy as np
import pandas as pd
import pytest
import report_page

from mammojax import __main__ as cli
from mammojax.data import pseudonyms, survey, table, torn

_EVIL = '=HYPERLINK("x")'
_IMAGE = '<img onerror=alert(1)>'


@pytest.fixture
def folder(tmp_path):
  """Ten pictures of ten subjects, and a copy of the first mirrored."""
  rng = np.random.default_rng(0)
  pictures = [copies.texture(rng, 96) for _ in range(10)]
  pictures.append(pictures[0][:, ::-1])
  for i, picture in enumerate(pictures):
    copies.write(tmp_path / f'{i}.png', picture)
  return tmp_path


def _table(folder, rows, header='path,subject,split,diagnosis'):
  path = folder / 'table.csv'
  path.write_text('\n'.join([header, *rows]) + '\n')
  return path


def _rows(last_split):
  """Subject s10 holds the mirrored copy of s0, which trains."""
  rows = [f'{i}.png,s{i},train,{"mel" if i < 4 else "nv"}' for i in range(10)]
  return [*rows, f'10.png,s10,{last_split},mel']


def _run(command, path, out, *more):
  return cli.main([command, f'--table={path}', f'--out={out}', *more])


def _is_private(path):
  want = 0o700 if path.is_dir() else 0o600
  return stat.S_IMODE(path.stat().st_mode) == want


def test_leaks_across_splits_end_with_4_and_are_put_right(folder, capsys):
  path, out = _table(folder, _rows('test')), folder / 'out'
  assert _run('leaks', path, out) == 4
  assert '1 group lies in more than one split' in capsys.readouterr().err
  pairs = pd.read_csv(out / 'pairs.csv')
  assert pairs[['first_row', 'second_row']].to_numpy().tolist() == [[2, 12]]
  assert pairs['kind'].tolist() == ['near']
  assert pairs['how'].tolist() == ['mirrored']
  assert pairs['across_splits'].tolist() == [True]
  frame, _ = table.read(out / 'split.csv', root=str(folder))
  assert len(frame) == 11
  by_path = frame.set_index('path')
  assert by_path.loc['10.png', 'subject'] == 's0'
  assert by_path.loc['10.png', 'split'] == by_path.loc['0.png', 'split']
  for path in [out, *out.iterdir()]:
    assert _is_private(path)
  page = report_page.Page(out / 'leaks.html')
  assert 'LEAK' in page.text and 'mirrored' in page.text
  assert page.tags.count('img') == 2
  assert all(uri.startswith('data:image/png') for uri in page.values('src'))


def test_fail_never_and_no_leak_end_with_0(folder):
  out = folder / 'out'
  path = _table(folder, _rows('test'))
  assert _run('leaks', path, out, '--fail=never') == 0
  path = _table(folder, _rows('train'))
  assert _run('leaks', path, out) == 0
  assert 'LEAK' not in report_page.Page(out / 'leaks.html').text
  groups = pd.read_csv(out / 'groups.csv')
  assert groups['group'].tolist()[-1] == groups['group'].tolist()[0] == 's0'
  # Again on what was written: nothing is left to merge.
  arguments = f'--root={folder}'
  assert _run('leaks', out / 'split.csv', folder / 'again', arguments) == 0


def test_a_subject_in_two_splits_is_a_leak_too(folder):
  rows = [f'{i}.png,s{i // 2},train,' for i in range(9)]
  rows.append('9.png,s4,test,')
  out = folder / 'out'
  assert _run('leaks', _table(folder, rows), out) == 4
  assert pd.read_csv(out / 'pairs.csv').empty
  frame = table.read(out / 'split.csv', root=str(folder))[0]
  torn.check_disjoint(frame)


def test_leaks_lists_what_it_cannot_compare(folder, capsys):
  (folder / '3.png').write_bytes((folder / '3.png').read_bytes()[:99])
  copies.write(folder / '4.png', np.zeros((50, 50), np.uint8))
  out = folder / 'out'
  assert _run('leaks', _table(folder, _rows('train')), out) == 0
  told = capsys.readouterr().out
  assert '1 images cannot be read' in told
  assert "row 5: '3.png': truncated PNG" in told
  assert '1 images are of one value: not compared' in told
  text = report_page.Page(out / 'leaks.html').text
  assert 'Images that cannot be read (1)' in text
  assert "row 5: '3.png': truncated PNG" in text
  assert 'Images of one value, not compared (1) row 6: 4.png' in text
  assert '3.png' not in set(pd.read_csv(out / 'split.csv')['path'])


def test_leaks_gives_no_verdict_on_images_that_are_not_there(folder, capsys):
  rows = [row.replace('.png', '.jpg') for row in _rows('test')]
  out = folder / 'out'
  assert _run('leaks', _table(folder, rows), out) == 3
  told = capsys.readouterr()
  assert 'None of the 11 images' in told.err
  assert "row 2: '0.jpg' does not exist" in told.err
  assert 'No picture lies in two splits' not in told.out
  assert not list(out.iterdir())


@pytest.mark.parametrize('command', ['leaks', 'balance'])
def test_other_columns_go_along_but_not_under_a_key(folder, command):
  rows = [
    f'{i}.png,s{i},{"+" if i < 4 else "-"},0{i},was{i}' for i in range(10)
  ]
  path = _table(folder, rows, 'path,who,diagnosis,age,subject_before')
  key = folder / 'key'
  pseudonyms.make_key(key)
  more = ['--columns.subject=who']
  more += ['--positive=+'] if command == 'balance' else []
  for name, extra in (('plain', []), ('keyed', [f'--key={key}'])):
    out = folder / (f'{name}.csv' if command == 'balance' else name)
    assert _run(command, path, out, *more, *extra) == 0
    made = out if command == 'balance' else out / 'split.csv'
    text = made.read_text()
    found = pd.read_csv(made, dtype=str)
    assert 'who' not in found and 'was' not in text
    assert ('age' in found) == (name == 'plain')
  if command == 'leaks':
    found = pd.read_csv(folder / 'plain' / 'split.csv', dtype=str)
    assert found['age'].tolist() == [f'0{i}' for i in range(10)]
    assert found['path'].tolist() == [f'{i}.png' for i in range(10)]


def test_an_interrupt_is_said_in_a_line(folder, capsys, monkeypatch):
  def interrupted(*_, **__):
    raise KeyboardInterrupt

  monkeypatch.setattr(survey, 'look', interrupted)
  assert _run('inspect', _table(folder, _rows('train')), folder / 'out') == 130
  assert capsys.readouterr().err == 'Interrupted: stopped at once.\n'


def test_a_wrong_value_is_bad_data_and_no_leak(folder, capsys):
  rows = ['0.png,s0,train,', '1.png,s0,tests,', '2.png,s1,train,']
  assert _run('leaks', _table(folder, rows), folder / 'out') == 3
  assert "row 3: split is 'tests'" in capsys.readouterr().err


def test_inspect_counts_and_lists(folder, capsys):
  (folder / '3.png').write_bytes(b'')
  copies.write(folder / '4.png', np.full((96, 96), 7, np.uint8))
  copies.write(folder / '5.png', np.ones((20, 96), np.uint8) * 40)
  black = np.zeros((96, 96), np.uint8)
  black[0, :9] = 200
  copies.write(folder / '6.png', black)
  deep = copies.texture(np.random.default_rng(1), 96).astype(np.uint16) * 256
  copies.write(folder / '7.png', deep)
  rows = [*_rows('tset'), f'gone.png,"{_EVIL.replace(chr(34), chr(34) * 2)}",'
          f'train,{_IMAGE}']  # fmt: skip
  out = folder / 'out'
  assert _run('inspect', _table(folder, rows), out) == 0
  assert 'Page:' in capsys.readouterr().out
  found = json.loads((out / 'summary.json').read_text())
  assert found['images'] == 12 and found['subjects'] == 12
  assert found['images_per_subject'] == {'1': 12}
  assert found['columns']['diagnosis'] == {'nv': 6, 'mel': 5, _IMAGE: 1}
  assert found['columns']['split'] == {'train': 11, 'tset': 1}
  assert found['sizes'] == {'96 x 96': 9, '96 x 20': 1}
  assert found['bits'] == {'8': 9, '16': 1}
  suspects = {
    kind: [entry['row'] for entry in entries]
    for kind, entries in found['suspects'].items()
  }
  assert suspects == {
    'cannot be read': [5, 13],
    'of one value': [6, 7],
    'nearly black': [8],
    'tiny': [7],
    'of another size': [7],
    'of another bit depth': [9],
    '8 bit stored as more': [9],
  }
  assert 'tset' in found['problems']['wrong split'][0]
  for path in [out, *out.iterdir()]:
    assert _is_private(path)
  table_ = (out / 'images.csv').read_text()
  assert '"\'=HYPERLINK(""x"")"' in table_
  text = report_page.Page(out / 'inspect.html').text
  assert 'Not said by the table: Side; View; Visit, months.' in text
  html = (out / 'inspect.html').read_text()
  assert _IMAGE not in html and '&lt;img onerror' in html
  assert "default-src 'none'" in html and '<script' not in html


def test_inspect_shows_the_whole_depth_in_the_histogram(folder):
  copies.write(folder / '0.png', np.full((96, 96), 300, np.uint16))
  from mammojax.data import survey

  _, store, _ = table.examine(_table(folder, _rows('train')))
  seen = survey.look(pd.DataFrame({'path': ['0.png']}), store)
  # 300 of 65,535 lies in the second of 256 bins.
  assert seen.histogram[1] == 96 * 96 == seen.histogram.sum()


def test_balance_is_even_and_without_copies(folder, capsys):
  path, out = _table(folder, _rows('train')), folder / 'even.csv'
  arguments = ('--positive=mel', '--seed=3')
  assert _run('balance', path, out, *arguments) == 0
  told = capsys.readouterr().out
  assert '4 positive and 4 negative images are kept' in told
  assert '1 positive: near copy' in told
  assert '2 negative: more than the smaller class has' in told
  frame, _ = table.read(out, root=str(folder))
  assert frame['diagnosis'].value_counts().to_dict() == {'mel': 4, 'nv': 4}
  assert '10.png' not in set(frame['path'])
  first = out.read_bytes()
  assert _run('balance', path, out, *arguments) == 2
  assert _run('balance', path, out, '--overwrite', *arguments) == 0
  assert out.read_bytes() == first and _is_private(out)
  left_out = pd.read_csv(folder / 'even_left_out.csv')
  assert len(left_out) == 3


def test_signs_are_classes_and_no_formulas(folder):
  rows = [f'{i}.png,-{i}.5,,{"+" if i < 4 else "-"}' for i in range(10)]
  out = folder / 'even.csv'
  assert _run('balance', _table(folder, rows), out, '--positive=+') == 0
  frame, _ = table.read(out, root=str(folder))
  assert frame['diagnosis'].value_counts().to_dict() == {'+': 4, '-': 4}
  assert frame['subject'].str.fullmatch(r'-[0-9]\.5').all()


def test_balance_keeps_the_positive_image_of_a_subject(folder, capsys):
  rows = [f'{i}.png,s{i // 2},train,{"mel" if i % 4 == 1 else "nv"}'
          for i in range(10)]  # fmt: skip
  out = folder / 'x.csv'
  assert _run('balance', _table(folder, rows), out, '--positive=mel') == 0
  told = capsys.readouterr().out
  # s0, s2 and s4 have a positive image each, s1 and s3 have none.
  assert '2 positive and 2 negative images are kept' in told
  assert '5 negative: another image of the subject' in told
  assert '1 positive: more than the smaller class has' in told


def test_balance_leaves_out_copies_with_two_labels(folder, capsys):
  rows = _rows('train')
  rows[-1] = '10.png,s10,train,nv'
  assert (
    _run('balance', _table(folder, rows), folder / 'x.csv', '--positive=mel')
    == 0
  )
  told = capsys.readouterr().out
  assert '1 positive: a copy with the other label' in told
  assert '1 negative: a copy with the other label' in told
  assert '3 positive and 3 negative images are kept' in told


@pytest.mark.parametrize(
  ('command', 'more', 'message'),
  [
    ('leaks', ['--fial=never'], 'fial'),
    ('leaks', ['--least_score=2'], 'least_score must lie in'),
    ('leaks', ['--workdir=nowhere'], 'no folder of a run'),
    ('inspect', ['--columns.subject=who'], "no column 'who'"),
    ('balance', [], 'positive needs'),
    ('balance', ['--positive=mell'], "Did you mean 'mel'"),
    ('balance', ['--by=age', '--positive=1'], 'by'),
  ],
  ids=str,
)
def test_mistakes_are_said(folder, capsys, command, more, message):
  out = folder / ('x.csv' if command == 'balance' else 'out')
  code = _run(command, _table(folder, _rows('train')), out, *more)
  assert code in (2, 3)
  assert message in capsys.readouterr().err
