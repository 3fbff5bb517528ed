"""`python -m mammojax figures`: what it writes and what it refuses."""

import pytest

from mammojax import __main__ as command_line


def _command(*arguments):
  return command_line.main(['figures', *map(str, arguments)])


@pytest.mark.parametrize('name', ['loss-surface', 'selections'])
def test_command_writes_both_files_and_says_where(tmp_path, capsys, name):
  folder = tmp_path / 'a b' / 'c'
  assert _command(name, f'--out={folder}', '--margin=0.3') == 0
  stem = name.replace('-', '_')
  files = sorted(folder.iterdir())
  assert [path.name for path in files] == [f'{stem}.png', f'{stem}.svg']
  assert capsys.readouterr().out.split('\n')[:-1] == [
    str(folder / f'{stem}.svg'),
    str(folder / f'{stem}.png'),
  ]


@pytest.mark.parametrize(
  'arguments, says',
  [
    (['loss-surfce'], "Did you mean 'loss-surface'?"),
    ([], 'got 0'),
    (['selections', 'loss-surface'], 'got 2'),
    (['selections', '--beta=0.2'], 'takes no --beta'),
    (['loss-surface', '--margin=x'], '--margin=x'),
    (['loss-surface', '--margin=3'], 'margin must be in [0, 2), got 3.0'),
    (['selections', '--margin=-1'], 'margin must be'),
    (['selections', '--out='], 'must be a folder'),
    (['selections', '--color=red'], 'color'),
  ],
  ids=str,
)
def test_wrong_commands_say_what_is_wrong(tmp_path, capsys, arguments, says):
  out = [] if any('out' in word for word in arguments) else [tmp_path / 'o']
  arguments = [*arguments, *(f'--out={path}' for path in out)]
  assert _command(*arguments) == 2
  assert says in capsys.readouterr().err
  assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_folder_is_refused(tmp_path, capsys):
  file = tmp_path / 'file'
  file.write_text('mine')
  assert _command('selections', f'--out={file}') == 2
  assert _command('selections', f'--out={file / "below"}') == 5
  said = capsys.readouterr().err
  assert 'must be a folder' in said and 'Cannot write' in said
  assert file.read_text() == 'mine'


def test_other_commands_still_take_flags_only(capsys):
  assert command_line.main(['report', 'runs/ada']) == 2
  assert 'takes flags only' in capsys.readouterr().err
