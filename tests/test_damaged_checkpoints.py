"""Damaged, foreign and half-written checkpoints are never restored."""

import shutil

import made_up_state
import pytest

from mammojax import errors
from mammojax.training import checkpoints


def test_every_flipped_file_is_named_and_passed_over(tmp_path, caplog):
  made_up_state.fill(tmp_path / 'good', [1, 2])
  files = [p for p in (tmp_path / 'good/2').rglob('*') if p.is_file()]
  assert len(files) > 5
  for number, file in enumerate(p for p in files if p.stat().st_size):
    folder = tmp_path / f'copy{number}'
    shutil.copytree(tmp_path / 'good', folder)
    made_up_state.flip(folder / file.relative_to(tmp_path / 'good'), number % 8)
    caplog.clear()
    with checkpoints.Checkpoints(folder) as saved:
      state, step, extra = saved.restore(made_up_state.state())
      assert saved.latest() == 1
    assert (step, extra) == (1, {'at': 1})
    made_up_state.assert_same_bits(state, made_up_state.state(1))
    assert file.name in caplog.text


def test_a_flipped_seal_is_no_seal(tmp_path):
  made_up_state.fill(tmp_path, [1, 2])
  text = (tmp_path / '2.json').read_text()
  (tmp_path / '2.json').write_text(text.replace('"at": 2', '"at": 3'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(made_up_state.state())[1] == 1


def test_only_broken_seals_are_no_fresh_start(tmp_path):
  made_up_state.fill(tmp_path, [1])
  made_up_state.flip(tmp_path / '1.json')
  with (
    checkpoints.Checkpoints(tmp_path) as saved,
    pytest.raises(errors.IntegrityError, match='damaged: 1'),
  ):
    saved.latest()


def test_killed_before_the_first_seal_is_a_fresh_start(tmp_path):
  made_up_state.fill(tmp_path, [1])
  (tmp_path / '1.json').unlink()
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.latest() is None
    assert saved.save(1, made_up_state.state(2))
    made_up_state.assert_same_bits(
      saved.restore(made_up_state.state())[0], made_up_state.state(2)
    )


def test_a_missing_file_is_damage(tmp_path):
  made_up_state.fill(tmp_path, [1, 2])
  made_up_state.biggest(tmp_path / '2').unlink()
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(made_up_state.state())[1] == 1


def test_no_whole_step_left_is_exit_4(tmp_path):
  made_up_state.fill(tmp_path, [1, 2])
  for step in '12':
    made_up_state.flip(made_up_state.biggest(tmp_path / step))
  with checkpoints.Checkpoints(tmp_path) as saved:
    with pytest.raises(errors.IntegrityError, match='damaged: 1, 2') as caught:
      saved.restore(made_up_state.state())
    assert caught.value.exit_code == 4


def test_a_damaged_best_falls_back_to_the_next_best(tmp_path):
  metrics = {1: {'map': 0.9}, 2: {'map': 0.1}, 3: {'map': 0.2}}
  made_up_state.fill(tmp_path, [1, 2, 3], metrics)
  made_up_state.flip(made_up_state.biggest(tmp_path / '1'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(made_up_state.state(), 'best')[1] == 3
    assert saved.best() == 3


def test_damaged_steps_neither_block_nor_push_out_new_ones(tmp_path):
  with checkpoints.Checkpoints(tmp_path, keep_latest=3) as saved:
    for step in (5, 20, 30):
      saved.save(step, made_up_state.state(step))
  made_up_state.flip(made_up_state.biggest(tmp_path / '20'))
  made_up_state.flip(made_up_state.biggest(tmp_path / '30'))
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert saved.restore(made_up_state.state())[1] == 5
    for step in (12, 15, 20):
      assert saved.save(step, made_up_state.state(step))
    saved.wait()
    assert saved.steps() == [15, 20]
    state, step, _ = saved.restore(made_up_state.state())
    assert step == 20
    made_up_state.assert_same_bits(state, made_up_state.state(20))
  assert (tmp_path / '20.aside1').is_dir()


def test_foreign_folders_are_passed_over_and_left_alone(tmp_path, caplog):
  made_up_state.fill(tmp_path, [1])
  for name in ('99', 'notes', '007', '5.old'):
    (tmp_path / name).mkdir()
  (tmp_path / '99' / 'letter.txt').write_text('mine')
  (tmp_path / '98.json').write_text('{}')
  with checkpoints.Checkpoints(tmp_path) as saved:
    assert '99' in caplog.text and 'passed over' in caplog.text
    assert saved.latest() == 1
    assert saved.restore(made_up_state.state())[1] == 1
    for step in (2, 3, 4):
      saved.save(step, made_up_state.state(step))
    saved.wait()
    assert saved.steps() == [3, 4]
    assert (tmp_path / '99' / 'letter.txt').exists()
    saved.save(99, made_up_state.state(99))
    saved.wait()
    assert saved.latest() == 99
  assert (tmp_path / '99.aside1' / 'letter.txt').exists()
  assert (tmp_path / 'notes').is_dir()


def test_temporaries_are_removed_by_writers_only(tmp_path):
  made_up_state.fill(tmp_path, [1])
  left = tmp_path / '2.orbax-checkpoint-tmp-1'
  left.mkdir()
  (tmp_path / '.2.json.abc').write_text('')
  checkpoints.Checkpoints(tmp_path, read_only=True).close()
  assert left.exists()
  checkpoints.Checkpoints(tmp_path).close()
  assert not left.exists()
  assert not (tmp_path / '.2.json.abc').exists()
