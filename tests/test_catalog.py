"""The catalog of public data sets: its registry, its form, its command."""

import stat

import pandas as pd
import pytest

from mammojax import __main__, errors
from mammojax.data import catalog, table, torn
from mammojax.data.catalog import entry, published


def _frame(**columns):
  return pd.DataFrame({'path': ['a', 'b'], 'subject': ['1', '2']} | columns)


@pytest.mark.parametrize('name', catalog.DATASETS)
def test_every_data_set_has_what_the_contract_asks_for(name):
  module = catalog.module(name)
  assert module.__doc__.partition('\n')[0]
  assert 'Source: ' in module.__doc__
  for option in module.OPTIONS.values():
    assert option.meaning.endswith('.')
    assert not option.choices or option.default in option.choices


def test_unknown_names_are_answered_with_the_nearest():
  with pytest.raises(errors.UsageError, match="'mini_mias'"):
    catalog.read('mini_mis', '.')
  with pytest.raises(errors.UsageError, match="'laterality'"):
    catalog.read('mini_mias', '.', lateralty='info')
  with pytest.raises(errors.UsageError, match="'markers'"):
    catalog.read('mini_mias', '.', laterality='marker')
  with pytest.raises(errors.DataError, match='not a folder'):
    catalog.read('mini_mias', 'no/such/folder')


def test_make_orders_the_columns_and_fills_what_is_unknown():
  made = entry.make(_frame(extra=['x', '']), ['one note'], 'terms')
  assert list(made.frame.columns) == [
    'path', 'subject', 'item', 'visit_months', 'laterality', 'view',
    'diagnosis', 'split', 'extra',
  ]  # fmt: skip
  assert made.frame['item'].tolist() == ['a', 'b']
  assert made.frame['view'].tolist() == ['', '']
  assert made.notes == ['one note'] and made.terms == 'terms'


@pytest.mark.parametrize(
  'columns, error, what',
  [
    ({'subject': [1, 2]}, ValueError, 'not text'),
    ({'view': ['CC', None]}, ValueError, 'not text'),
    ({'view': ['CC', 2]}, ValueError, 'not text'),
    ({'subject': ['1', ' ']}, errors.DataError, 'no subject.*b'),
    ({'path': ['a', 'a']}, errors.DataError, 'twice.*a'),
    (
      {'subject': ['1', '1'], 'split': ['train', 'test']},
      errors.IntegrityError,
      'more than one split',
    ),
  ],
  ids=['number', 'missing', 'mixed', 'no_subject', 'doubled', 'leak'],
)
def test_make_refuses_a_broken_table(columns, error, what):
  with pytest.raises(error, match=what):
    entry.make(_frame(**columns), [], '')


def test_make_refuses_a_table_without_rows():
  with pytest.raises(errors.DataError, match='No image'):
    entry.make(_frame().iloc[:0], [], '')


def test_with_validation_takes_whole_subjects_out_of_training():
  subjects = [f'{i // 2:04d}' for i in range(400)]
  frame = pd.DataFrame(
    {
      'subject': subjects,
      'split': ['train'] * 300 + ['test'] * 100,
    }
  )
  got, note = entry.with_validation(frame)
  torn.check_disjoint(got)
  assert (got['split'][300:] == 'test').all()
  taken = got.loc[got['split'] == 'validation', 'subject'].nunique()
  # A share of 1/8 of 150 subjects, within four standard deviations.
  assert abs(taken - 150 / 8) < 4 * (150 * 7 / 64) ** 0.5
  assert f'{taken} of 150' in note
  assert (frame['split'] != 'validation').all()


def test_published_tables_are_text_under_one_spelling_of_headers(tmp_path):
  text = 'Patient-ID;breast density;Follow-up #\n007; 3 ;1e5\n16777217;;0\n'
  (tmp_path / 't.csv').write_text(text)
  got = published.table(tmp_path, ('s.csv', 't.csv'), ['patient_id'])
  assert got.columns.tolist() == ['patient_id', 'breast_density', 'follow_up']
  assert got.to_numpy().tolist() == [['007', '3', '1e5'], ['16777217', '', '0']]


@pytest.mark.parametrize(
  'header, needs, what',
  [
    ('patientid,view', ['patient_id'], "'patient_id' .near: 'patientid'"),
    ('breast density,breast_density', ['x'], "lacks the columns 'x'"),
    ('breast density,breast_density', ['breast_density'], 'two columns'),
  ],
  ids=['near', 'missing', 'doubled'],
)
def test_published_tables_without_their_columns_are_refused(
  tmp_path, header, needs, what
):
  (tmp_path / 't.csv').write_text(f'{header}\n1,2\n')
  with pytest.raises(errors.DataError, match=what):
    published.table(tmp_path, 't.csv', needs)


def test_a_table_that_is_not_there_names_what_is(tmp_path):
  (tmp_path / 'other.csv').write_text('a\n1\n')
  with pytest.raises(errors.DataError, match=r"'t.csv' .* holds 'other.csv'"):
    published.table(tmp_path, 't.csv', [])


def test_missing_files_are_told_all_at_once(tmp_path):
  (tmp_path / 'there.png').write_bytes(b'x')
  paths = ['there.png', *(f'{i}.png' for i in range(25)), '../out.png']
  with pytest.raises(errors.DataError) as caught:
    published.require(tmp_path, paths)
  text = str(caught.value)
  assert text.startswith('26 of 27 images')
  assert "'19.png'" in text and "'20.png'" not in text
  assert 'and 6 more' in text
  published.require(tmp_path, ['there.png', './there.png', 'there.png#0'])


def test_short_tables_are_told_by_their_first_line(tmp_path):
  path = tmp_path / 't.csv'
  assert not published.has(path, [])
  path.write_bytes(b'\xef\xbb\xbf"Patient ID", View-Position\r\n1,2\n')
  assert published.has(path, ['patient_id', 'view_position'])
  assert not published.has(path, ['patient_id', 'side'])


def _mias(folder, lines=('mdb001 G CIRC B 535 425 197', 'mdb002 D NORM')):
  (folder / 'Info.txt').write_text('INFORMATION\n' + '\n'.join(lines) + '\n')
  for i, line in enumerate(lines):
    level = bytes([0, 30 + i, 60, 90])
    (folder / f'{line[:6]}.pgm').write_bytes(b'P5 2 2 255\n' + level)
  return folder


def test_command_writes_a_table_that_the_reader_of_tables_takes(
  tmp_path, capsys
):
  root, out = tmp_path / 'ma \u00fc$', tmp_path / 'table.csv'
  root.mkdir()
  arguments = ['catalog', 'mini_mias', f'--root={_mias(root)}', f'--out={out}']
  assert __main__.main(arguments) == 0
  said = capsys.readouterr().out
  assert '2 images of 1 subjects' in said and 'Terms: ' in said
  assert f"--config.data.root='{root}'" in said
  assert stat.S_IMODE(out.stat().st_mode) == 0o600
  frame, _ = table.read(out, root=str(root))
  assert frame['path'].tolist() == ['mdb001.pgm', 'mdb002.pgm']
  assert frame['diagnosis'].tolist() == ['benign', 'normal']


def test_command_does_not_replace_a_table_unless_told(tmp_path, capsys):
  out = tmp_path / 'table.csv'
  out.write_text('mine')
  arguments = ['catalog', f'--root={_mias(tmp_path)}', f'--out={out}']
  assert __main__.main([*arguments, 'mini_mias']) == 2
  assert 'exists' in capsys.readouterr().err
  assert out.read_text() == 'mine'
  assert __main__.main([*arguments, 'mini_mias', '--overwrite']) == 0
  assert out.read_text().startswith('path,subject,')


def test_command_leaves_nothing_behind_when_files_are_missing(tmp_path, capsys):
  out = tmp_path / 'table.csv'
  (_mias(tmp_path) / 'mdb002.pgm').unlink()
  arguments = ['catalog', 'mini_mias', f'--root={tmp_path}', f'--out={out}']
  assert __main__.main(arguments) == 3
  assert '1 of 2 images' in capsys.readouterr().err
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'Info.txt', 'mdb001.pgm',
  ]  # fmt: skip


@pytest.mark.parametrize(
  'arguments, what',
  [
    (['mini_mis'], "Did you mean 'mini_mias'"),
    (['mini_mias', '--rooot=.'], 'rooot'),
    (['mini_mias'], '--root=FOLDER'),
    (['mini_mias', '--root=.', '--out=t.txt'], 'must end in .csv'),
    (['mini_mias', '--root=.', '--out=no/such/t.csv'], 'not a folder'),
    (['mini_mias', '--root=.', '--out=t.csv', '--laterality=x'], 'laterality'),
    (['mini_mias', 'mini_mias', '--root=.', '--out=t.csv'], 'one name'),
  ],
  ids=['name', 'flag', 'needed', 'suffix', 'folder', 'value', 'two'],
)
def test_command_answers_wrong_use(arguments, what, capsys):
  assert __main__.main(['catalog', *arguments]) == 2
  assert what in capsys.readouterr().err


def test_command_without_a_name_lists_the_data_sets(capsys):
  assert __main__.main(['catalog']) == 0
  said = capsys.readouterr().out
  assert all(name in said for name in catalog.DATASETS)
