"""Phantom mammograms as an ImageSet: made once, kept in memory or in files."""

from collections.abc import Iterator
from concurrent import futures
from concurrent.futures import process
import functools
import logging
import multiprocessing
import os
import pathlib

import cv2
import numpy as np

from mammojax import errors
from mammojax.data import imageset
from mammojax.data.phantom import cache, exposure, rendering
from mammojax.data.phantom import spec as specs

_log = logging.getLogger(__name__)
MIRRORS = ('', 'L', 'R')


class PhantomImages:
  """All images of a spec, by row of its frame.

  The first use renders everything, women spread over worker processes, and
  every later one maps the files. `images` reads the breast with its true
  outline for region 'breast'. For region 'background' it keeps only what no
  breast of any woman can reach (`exposure.outside_reach`), because the
  silhouette of a breast tells who she is: with that region a matcher must
  fall to chance. The two regions therefore do not add up to 'all'.

  With mirror '' left and right breasts point to different sides, which
  anyone can see even in the background region; mirror one for matching.

  Attributes:
    frame: DataFrame of `phantom.frame`.
    image_size: height and width in pixels.
    channels: 1.
    mirror: laterality that is mirrored when read: '', 'L' or 'R'.
    spec: the PhantomSpec.
  """

  channels = 1

  def __init__(
    self,
    spec: specs.PhantomSpec,
    cache_dir: str | os.PathLike | None = None,
    mirror: str = 'R',
    workers: int = 2,
  ):
    """Renders the images or maps those of an earlier run.

    Args:
      spec: the phantom women.
      cache_dir: folder for the files, made when missing; None keeps the
        images in memory.
      mirror: laterality to mirror on reading.
      workers: rendering processes; 1 or less renders in this process.

    Raises:
      UsageError: an unknown mirror.
      ResourceError: too little disk for the cache, or one not writable.
    """
    if mirror not in MIRRORS:
      raise errors.unknown('phantom mirror', mirror, MIRRORS)
    self.spec = spec
    self.mirror = mirror
    self.frame = specs.frame(spec)
    self.image_size = spec.image_size
    shapes = _shapes(spec, len(self.frame))
    fill = functools.partial(_fill, spec, workers)
    if cache_dir is None:
      self._images = np.zeros(shapes[0], np.uint16)
      self._masks = np.zeros(shapes[1], np.uint8)
      fill(self._images, self._masks)
    else:
      self._images, self._masks = cache.open_or_make(
        spec, pathlib.Path(cache_dir), shapes, fill
      )
    flip = (self.frame['laterality'] == mirror).to_numpy()
    self._flip = flip & (mirror != '')

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """Reads images; see `mammojax.data.imageset.ImageSet`.

    Args:
      rows: int64[n], positions in `frame`.
      region: 'all'; 'breast' sets everything outside the breast to zero;
        'background' keeps only what lies beyond the reach of any breast.

    Returns:
      float32[n, image_size, image_size, 1] in [0, 1].

    Raises:
      DataError: a region or a row that does not exist.
    """
    rows = self._rows(rows)
    if region not in imageset.REGIONS:
      raise errors.DataError(
        f'Phantom images have no region {region!r}; '
        f'known: {", ".join(imageset.REGIONS)}.'
      )
    pictures = self._images[rows].astype(np.float32) / np.float32(65535)
    if region == 'breast':
      pictures *= self._unpack(rows)[:, 0]
    elif region == 'background':
      away = exposure.outside_reach(self.image_size)
      left = (self.frame['laterality'].to_numpy()[rows] == 'L')[:, None, None]
      pictures *= np.where(left, away, away[:, ::-1])
    return self._mirrored(pictures, rows)[..., None]

  def masks(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reads masks, mirrored as the images are.

    Args:
      rows: int64[n], positions in `frame`.

    Returns:
      (bool[n, image_size, image_size] breast, the same for the lesion).

    Raises:
      DataError: a row that does not exist.
    """
    rows = self._rows(rows)
    both = self._unpack(rows)
    return (
      self._mirrored(both[:, 0], rows),
      self._mirrored(both[:, 1], rows),
    )

  def _rows(self, rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.int64)
    if rows.size and not 0 <= rows.min() <= rows.max() < len(self.frame):
      raise errors.DataError(
        f'Phantom rows must be 0 to {len(self.frame) - 1}, '
        f'got {rows.min()} to {rows.max()}.'
      )
    return rows

  def _unpack(self, rows: np.ndarray) -> np.ndarray:
    side = self.image_size
    bits = np.unpackbits(self._masks[rows], axis=-1, count=side * side)
    return bits.reshape(len(rows), 2, side, side).astype(bool)

  def _mirrored(self, pictures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    flip = self._flip[rows]
    pictures[flip] = pictures[flip][:, :, ::-1]
    return pictures


def _shapes(spec: specs.PhantomSpec, count: int) -> tuple:
  """Shapes of the images and of the two masks, a bit a pixel."""
  side = spec.image_size
  return (count, side, side), (count, 2, (side * side + 7) // 8)


def _render_woman(spec: specs.PhantomSpec, woman: int) -> tuple:
  """All images of one woman, in the order of the frame."""
  cv2.setNumThreads(1)
  shots = [
    rendering.render(spec, woman, side, view, months)
    for side in spec.sides
    for view in spec.views
    for months in spec.visits_months
  ]
  masks = [
    np.packbits([shot.breast_mask.ravel(), shot.lesion_mask.ravel()], axis=1)
    for shot in shots
  ]
  return np.stack([shot.image for shot in shots]), np.stack(masks)


def _women(spec: specs.PhantomSpec, workers: int) -> Iterator[tuple]:
  """Rendered women in order, from worker processes where that works.

  New processes are spawned, never forked: a fork of a process in which JAX
  runs threads may hang.
  """
  done = 0
  if workers > 1 and spec.women > 1:
    context = multiprocessing.get_context('spawn')
    try:
      with futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        repeated = [spec] * spec.women
        for rendered in pool.map(
          _render_woman, repeated, range(spec.women), chunksize=2
        ):
          yield rendered
          done += 1
    except process.BrokenProcessPool as error:
      _log.warning('Phantom workers died (%s): going on without them.', error)
  for woman in range(done, spec.women):
    yield _render_woman(spec, woman)


def _fill(
  spec: specs.PhantomSpec, workers: int, images: np.ndarray, masks: np.ndarray
) -> None:
  """Renders every image into the arrays."""
  threads = cv2.getNumThreads()
  start = 0
  try:
    for shots, bits in _women(spec, workers):
      images[start : start + len(shots)] = shots
      masks[start : start + len(shots)] = bits
      start += len(shots)
  finally:
    cv2.setNumThreads(threads)
