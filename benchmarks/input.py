"""How fast images come: 16-bit PNG, prepared images, a table without copies.

Pictures are made by the program: smooth shapes under noise, as an X-ray has.
Where `MAMMOJAX_DATA` names a folder of real tables, they are searched too.
"""

from collections.abc import Callable, Mapping
import itertools
import os
import pathlib
import tempfile
import time

import cv2
import numpy as np
import pandas as pd

from benchmarks import timing
from mammojax.data import (
  imagefiles,
  leaks,
  pipeline,
  prepared,
  preparing,
  readers,
  survey,
  table,
)

# Side of the pictures that are decoded, and how many of them.
PNG_SIZE, PNG_COUNT = 256, 64
# Side of the prepared images, how many of them, and images of a batch.
SIZE, COUNT, BATCH = 128, 1024, 64
_NUM_BATCHES = 16
# Pictures of the table that is searched for copies, every tenth of them one.
TABLE_COUNT = 400
# Folder below MAMMOJAX_DATA, and the column of its subjects.
_REAL = {
  'HAM10000': ('ham10000_multi', 'subject_id'),
  'mini-MIAS': ('mini_mias', 'subject_id'),
}


class _Made:
  """An ImageSet of noise, in memory."""

  def __init__(self, channels):
    self.image_size, self.channels = SIZE, channels
    self.frame = pd.DataFrame({'row': np.arange(COUNT)})
    self.frame['subject'] = self.frame['item'] = self.frame['row'].map(str)

  def images(self, rows, region='all'):
    del region
    rng = np.random.default_rng(rows[0])
    return rng.random((len(rows), SIZE, SIZE, self.channels), np.float32)


class _Random:
  """A sampler of any images."""

  batch_size = BATCH

  def __getitem__(self, step):
    return np.random.default_rng(step).integers(0, COUNT, BATCH)


def sections() -> list[str]:
  """Lines of the page."""
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    return [*_decoding(folder), *_prepared(folder), *_leaks(folder)]


def _decoding(folder):
  names = [f'{number}.png' for number in range(PNG_COUNT)]
  rng = np.random.default_rng(0)
  for name in names:
    cv2.imwrite(str(folder / name), _radiograph(rng))
  files = imagefiles.ImageFiles(readers.open_store(folder))
  held = [(folder / name).read_bytes() for name in names]
  rates = _rates(
    {
      'bare decoder (`cv2.imdecode`, bytes in memory)': _each(
        lambda data: cv2.imdecode(
          np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED
        ),
        held,
      ),
      'checked and float32 (`readers.decode`, bytes in memory)': _each(
        lambda data: readers.decode(data, ''), held
      ),
      'checked and float32 from the file (`ImageFiles.image`)': _each(
        files.image, names
      ),
    },
    PNG_COUNT,
    clock=time.process_time,
  )
  bare = next(iter(rates.values()))
  size = sum(map(len, held)) / len(held) / 1024
  return [
    f'## Reading 16-bit PNG of {PNG_SIZE} px, {size:.0f} KiB',
    '| | images/s and core | of the bare decoder |',
    '|---|---|---|',
    *(
      f'| {name} | {rate:,.0f} | {rate / bare:.0%} |'
      for name, rate in rates.items()
    ),
    '',
  ]


def _each(function, values) -> Callable[[], None]:
  """One call a value; nothing is kept, as memory for it would take time."""

  def run():
    for value in values:
      function(value)

  return run


def _radiograph(rng):
  """uint16[h, w]: a bright smooth shape and the noise of a detector."""
  smooth = cv2.GaussianBlur(rng.random((PNG_SIZE, PNG_SIZE)), (0, 0), 12)
  smooth = (smooth - smooth.min()) / np.ptp(smooth)
  noise = rng.normal(scale=100, size=smooth.shape)
  return np.uint16(np.clip(60_000 * smooth + noise, 0, 65_535))


def _prepared(folder):
  lines = [
    f'## Prepared images of {SIZE} px, random batches of {BATCH}',
    'float32 out; the file lies in the memory of the system. *Pipeline*: '
    'through `pipeline.batches` with two threads.',
    '',
    '| stored as | channels | MiB a 1,000 | images/s and core | images/s | '
    'pipeline, images/s |',
    '|---|---|---|---|---|---|',
  ]
  for depth, channels in itertools.product(('uint16', 'uint8'), (1, 3)):
    place = folder / f'{depth}-{channels}'
    images = prepared.make(
      place, {}, _Made(channels), depth=depth, regions=('all',)
    )
    size = (place / preparing.FILE).stat().st_size / COUNT * 1000 / 2**20
    sides, count = _sides(images), BATCH * _NUM_BATCHES
    alone, piped = _rates(sides, count).values()
    sides = {'alone': sides['alone']}
    core = _rates(sides, count, time.process_time)['alone']
    lines.append(
      f'| {depth} | {channels} | {size:.0f} | {core:,.0f} | {alone:,.0f} | '
      f'{piped:,.0f} |'
    )
  return [*lines, '']


def _sides(images) -> Mapping[str, Callable[[], object]]:
  sampler, rows = _Random(), np.arange(COUNT)
  source = pipeline.BatchSource(images, rows, sampler, _NUM_BATCHES)

  def alone():
    for step in range(_NUM_BATCHES):
      images.images(sampler[step])

  def piped():
    for _ in pipeline.batches(source):
      pass

  return {'alone': alone, 'pipeline': piped}


def _rates(sides, count, clock=time.perf_counter) -> dict[str, float]:
  """Images a second of each side."""
  took = timing.interleaved(sides, 7, clock)
  return {name: count / seconds for name, seconds in took.items()}


def _leaks(folder):
  tables = {'made by the program': (_table(folder / 'copies'), 'subject')}
  root = os.environ.get('MAMMOJAX_DATA', '')
  for name, (place, subject) in _REAL.items() if root else ():
    tables[name] = (pathlib.Path(root) / place / 'manifest.csv', subject)
  return [
    '## Leaks over a table',
    'Every image decoded and compared with every other, two threads.',
    '',
    '| table | images | pairs found | s | s of one core |',
    '|---|---|---|---|---|',
    *(_search(name, *where) for name, where in tables.items()),
    '',
  ]


def _table(folder) -> pathlib.Path:
  """A table of 16-bit PNG, some of them mirrored copies of others."""
  folder.mkdir()
  rng = np.random.default_rng(1)
  names = [f'{number}.png' for number in range(TABLE_COUNT)]
  pictures = [_radiograph(rng) for _ in names]
  pictures[9::10] = [picture[:, ::-1] for picture in pictures[::10]]
  for name, picture in zip(names, pictures, strict=True):
    cv2.imwrite(str(folder / name), picture)
  path = folder / 'table.csv'
  pd.DataFrame({'path': names, 'subject': names}).to_csv(path, index=False)
  return path


def _search(name, path, subject) -> str:
  wall, core = time.perf_counter(), time.process_time()
  frame, store, _ = table.examine(path, columns={'subject': subject})
  seen = survey.look(frame, store, counts_levels=False)
  pairs = leaks.find(frame, seen)
  wall, core = time.perf_counter() - wall, time.process_time() - core
  return f'| {name} | {len(frame):,} | {len(pairs)} | {wall:.1f} | {core:.1f} |'
