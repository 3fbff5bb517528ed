"""Writers of metrics, with the method names of clu.metric_writers.

    writer = writers.create(workdir, resume_step=0)
    writer.write_scalars(50, {'split': 'train', 'loss': 0.31})
    writer.flush()

metrics.jsonl holds one object a line, metrics.csv one value a line
(step,split,name,value), tensorboard/ the events. A run that resumes at step s
drops what was written after s, so each step occurs once.
"""

from collections.abc import Mapping, Sequence
import csv
import io
import json
import os
import pathlib
from typing import Any, Protocol

import tensorboardX

from mammojax.training import workdir as workdirs

_COLUMNS = ('step', 'split', 'name', 'value')


class Writer(Protocol):
  """What the training loop asks of a writer."""

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Records numbers of a step; 'split' in scalars is a text."""

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Records texts of a step."""

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Records the config of the run."""

  def flush(self) -> None:
    """Returns when what was written is on the disk."""

  def close(self) -> None:
    """Flushes and lets go."""


def _open_private(path: pathlib.Path):
  handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
  return os.fdopen(handle, 'w', encoding='utf-8', newline='')


def _flush(file) -> None:
  file.flush()
  os.fsync(file.fileno())


def _plain(scalars: Mapping[str, Any]) -> dict[str, Any]:
  return workdirs.finite(dict(scalars))


def _kept_lines(path: pathlib.Path, step_of, resume_step: int) -> None:
  """Rewrites a file with its whole lines up to a step.

  Args:
    path: may be missing.
    step_of: line -> its step; None for a line that stays whatever the step.
      Raises ValueError for a line that was cut.
    resume_step: last step that stays.
  """
  if not path.exists():
    return
  old = path.read_bytes()
  kept = []
  for line in old.decode(errors='replace').splitlines(keepends=True):
    try:
      step = step_of(line)
    except ValueError:
      continue
    if line.endswith('\n') and (step is None or step <= resume_step):
      kept.append(line)
  new = ''.join(kept).encode()
  if new != old:
    workdirs.atomic_write_bytes(path, new)


def _jsonl_step(line: str) -> int:
  record = json.loads(line)
  if not isinstance(record, dict) or 'step' not in record:
    raise ValueError(line)
  return int(record['step'])


def _csv_step(line: str) -> int | None:
  row = next(csv.reader([line]), [])
  if len(row) != len(_COLUMNS):
    raise ValueError(line)
  return None if tuple(row) == _COLUMNS else int(row[0])


class JsonlWriter:
  """metrics.jsonl: {"step": 50, "split": "train", "loss": 0.31} a line.

  Args:
    path: file of mode 0600; one that exists is continued.
    resume_step: records of later steps are dropped, and cut lines too.
  """

  def __init__(self, path, resume_step: int = 0):
    self._path = pathlib.Path(path)
    _kept_lines(self._path, _jsonl_step, resume_step)
    self._file = _open_private(self._path)

  def _write(self, record: Mapping[str, Any]) -> None:
    self._file.write(json.dumps(record, allow_nan=False) + '\n')

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """One line; NaN and infinities become null, which JSON can say."""
    self._write({'step': int(step), **_plain(scalars)})

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """One line with the texts under 'texts'."""
    self._write({'step': int(step), 'texts': _plain(texts)})

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Nothing: config.json holds them."""

  def flush(self) -> None:
    """Puts the lines on the disk."""
    _flush(self._file)

  def close(self) -> None:
    """Flushes and closes the file."""
    if not self._file.closed:
      self.flush()
      self._file.close()


class CsvWriter:
  """metrics.csv in long form, so that new names need no new columns.

  Args:
    path: file of mode 0600; one that exists is continued.
    resume_step: rows of later steps are dropped, and cut rows too.
  """

  def __init__(self, path, resume_step: int = 0):
    self._path = pathlib.Path(path)
    _kept_lines(self._path, _csv_step, resume_step)
    self._file = _open_private(self._path)
    if self._path.stat().st_size == 0:
      self._row(_COLUMNS)

  def _row(self, values: Sequence[Any]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator='\n').writerow(values)
    self._file.write(text.getvalue())

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """One row a number; the value of NaN is empty."""
    values = _plain(scalars)
    split = values.pop('split', '')
    for name, value in values.items():
      self._row((int(step), split, name, '' if value is None else value))

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Nothing: the file holds numbers."""

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Nothing: config.json holds them."""

  def flush(self) -> None:
    """Puts the rows on the disk."""
    _flush(self._file)

  def close(self) -> None:
    """Flushes and closes the file."""
    if not self._file.closed:
      self.flush()
      self._file.close()


class TensorboardWriter:
  """Events for TensorBoard, named <split>/<name>.

  Args:
    directory: made with mode 0700.
    resume_step: events of later steps are hidden by TensorBoard.
  """

  def __init__(self, directory, resume_step: int = 0):
    self._directory = pathlib.Path(directory)
    self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    purge = {'purge_step': resume_step + 1} if resume_step else {}
    self._writer = tensorboardX.SummaryWriter(str(self._directory), **purge)

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """One event a number; missing values and texts are left out."""
    values = _plain(scalars)
    split = values.pop('split', '')
    for name, value in values.items():
      if isinstance(value, int | float):
        tag = f'{split}/{name}' if split else name
        self._writer.add_scalar(tag, value, step)

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """One event a text."""
    for name, text in texts.items():
      self._writer.add_text(name, str(text), step)

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """The config as a text at step 0, indented as Markdown code."""
    text = json.dumps(_plain(hparams), indent=2)
    lines = '\n'.join('    ' + line for line in text.splitlines())
    self._writer.add_text('config', lines, 0)

  def flush(self) -> None:
    """Hands the events to the system."""
    self._writer.flush()

  def close(self) -> None:
    """Closes the event file and makes it private."""
    self._writer.close()
    for path in self._directory.iterdir():
      path.chmod(0o600)


class MultiWriter:
  """Hands everything on to several writers; to none when there are none."""

  def __init__(self, writers: Sequence[Writer] = ()):
    self._writers = tuple(writers)

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Records numbers of a step in each writer."""
    for writer in self._writers:
      writer.write_scalars(step, scalars)

  def write_texts(self, step: int, texts: Mapping[str, str]) -> None:
    """Records texts of a step in each writer."""
    for writer in self._writers:
      writer.write_texts(step, texts)

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Records the config in each writer."""
    for writer in self._writers:
      writer.write_hparams(hparams)

  def flush(self) -> None:
    """Flushes each writer."""
    for writer in self._writers:
      writer.flush()

  def close(self) -> None:
    """Closes each writer."""
    for writer in self._writers:
      writer.close()

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    self.close()


def create(
  workdir,
  resume_step: int = 0,
  process_index: int = 0,
  *,
  tensorboard: bool = True,
) -> MultiWriter:
  """The writers of a run.

  Args:
    workdir: existing folder of the run.
    resume_step: the step training continues from; 0 drops all older records.
    process_index: processes above 0 get a writer that writes nothing.
    tensorboard: whether to write events too.

  Returns:
    A MultiWriter over metrics.jsonl, metrics.csv and tensorboard/.
  """
  if process_index != 0:
    return MultiWriter()
  workdir = pathlib.Path(workdir)
  made: list[Writer] = [
    JsonlWriter(workdir / 'metrics.jsonl', resume_step),
    CsvWriter(workdir / 'metrics.csv', resume_step),
  ]
  if tensorboard:
    made.append(TensorboardWriter(workdir / 'tensorboard', resume_step))
  return MultiWriter(made)
