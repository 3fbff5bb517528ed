"""Writers: what a reader finds in the files, also after a resumed run."""

import csv
import json
import stat

import numpy as np

from mammojax.training import writers


def _lines(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def _write(workdir, steps, resume_step=0):
  with writers.create(workdir, resume_step) as writer:
    for step in steps:
      writer.write_scalars(step, {'split': 'train', 'loss': step / 10})


def test_jsonl_is_strict_json_with_nan_as_null(tmp_path):
  writer = writers.JsonlWriter(tmp_path / 'metrics.jsonl')
  writer.write_scalars(
    np.int64(7),
    {'split': 'train', 'loss': np.float32(0.5), 'beta': float('nan')},
  )
  writer.write_scalars(8, {'loss': float('inf'), 'count': np.int32(3)})
  writer.close()
  text = (tmp_path / 'metrics.jsonl').read_text()
  assert 'NaN' not in text and 'Infinity' not in text
  assert _lines(tmp_path / 'metrics.jsonl') == [
    {'step': 7, 'split': 'train', 'loss': 0.5, 'beta': None},
    {'step': 8, 'loss': None, 'count': 3},
  ]


def test_flush_makes_lines_visible_before_close(tmp_path):
  writer = writers.create(tmp_path, tensorboard=False)
  writer.write_scalars(1, {'split': 'train', 'loss': 1.0})
  writer.flush()
  assert len(_lines(tmp_path / 'metrics.jsonl')) == 1
  assert len((tmp_path / 'metrics.csv').read_text().splitlines()) == 2
  writer.close()
  writer.close()


def test_resume_drops_later_steps_and_a_cut_line(tmp_path):
  _write(tmp_path, [10, 20, 30])
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"step": 15, "split": "tr')
  with (tmp_path / 'metrics.csv').open('a') as file:
    file.write('1')
  _write(tmp_path, [30, 40], resume_step=20)
  found = _lines(tmp_path / 'metrics.jsonl')
  assert [line['step'] for line in found] == [10, 20, 30, 40]
  with (tmp_path / 'metrics.csv').open() as file:
    rows = list(csv.DictReader(file))
  assert [row['step'] for row in rows] == ['10', '20', '30', '40']
  assert rows[3] == {
    'step': '40', 'split': 'train', 'name': 'loss', 'value': '4.0',
  }  # fmt: skip


def test_a_number_cut_short_is_not_taken_for_a_whole_line(tmp_path):
  path = tmp_path / 'metrics.csv'
  path.write_text('step,split,name,value\n1,train,loss,0.25\n2,train,loss,0.1')
  writers.CsvWriter(path, resume_step=5).close()
  assert path.read_text() == 'step,split,name,value\n1,train,loss,0.25\n'


def test_fresh_start_drops_all_old_records(tmp_path):
  _write(tmp_path, [10, 20])
  _write(tmp_path, [5], resume_step=0)
  assert [x['step'] for x in _lines(tmp_path / 'metrics.jsonl')] == [5]


def test_csv_takes_new_names_later_and_quotes_them(tmp_path):
  writer = writers.CsvWriter(tmp_path / 'metrics.csv')
  writer.write_scalars(1, {'loss': 1.0})
  writer.write_scalars(2, {'split': 'validation', 'a,b': 2.0, 'map': None})
  writer.close()
  with (tmp_path / 'metrics.csv').open() as file:
    assert list(csv.reader(file)) == [
      ['step', 'split', 'name', 'value'],
      ['1', '', 'loss', '1.0'],
      ['2', 'validation', 'a,b', '2.0'],
      ['2', 'validation', 'map', ''],
    ]


def test_only_process_0_writes(tmp_path):
  with writers.create(tmp_path, process_index=1) as writer:
    writer.write_scalars(1, {'loss': 1.0})
    writer.write_texts(1, {'note': 'x'})
    writer.write_hparams({'a': 1})
    writer.flush()
  assert list(tmp_path.iterdir()) == []


def test_texts_hparams_and_files_are_private(tmp_path):
  with writers.create(tmp_path) as writer:
    writer.write_hparams({'optim': {'rate': 0.5}})
    writer.write_texts(3, {'note': 'ε = 0.25'})
    writer.write_scalars(3, {'split': 'train', 'loss': float('nan'), 'b': 1})
  assert _lines(tmp_path / 'metrics.jsonl')[0] == {
    'step': 3,
    'texts': {'note': 'ε = 0.25'},
  }
  events = list((tmp_path / 'tensorboard').iterdir())
  assert len(events) == 1
  assert b'train/b' in events[0].read_bytes()
  assert b'train/loss' not in events[0].read_bytes()
  for path in [*tmp_path.glob('metrics.*'), *events]:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert stat.S_IMODE((tmp_path / 'tensorboard').stat().st_mode) == 0o700
