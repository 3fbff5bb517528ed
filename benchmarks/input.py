"""How fast images come: 16-bit PNG to float32, and prepared images.

Pictures are made by the program: smooth shapes under noise, as an X-ray has.
"""

from collections.abc import Callable, Mapping
import itertools
import pathlib
import tempfile
import time

import cv2
import numpy as np
import pandas as pd

from benchmarks import timing
from mammojax.data import imagefiles, pipeline, prepared, preparing, readers

# Side of the pictures that are decoded, and how many of them.
PNG_SIZE, PNG_COUNT = 256, 64
# Side of the prepared images, how many of them, and images of a batch.
SIZE, COUNT, BATCH = 128, 1024, 64
_NUM_BATCHES = 16


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
    return [*_decoding(pathlib.Path(folder)), *_prepared(pathlib.Path(folder))]


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
