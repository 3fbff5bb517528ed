"""Which pictures might be one: low frequencies, turned, mirrored and cropped.

    found = candidates(pictures)     # uint8[n, s, s] -> pairs worth a look

A picture is described by the first 8 x 8 coefficients of its cosine transform
without the mean, on unit length, and so are nine windows of nine tenths of its
sides. Mirroring changes the signs of odd coefficients and a quarter turn also
transposes them, so all eight positions of a picture are had from one
transform. A crop lies close to one of the windows of what it was cut from.
"""

from typing import NamedTuple

import cv2
import numpy as np

ORDER = 8
_SIDE = 64
_SHARE = 0.9
# (top, left, share of the sides) of the whole and of its windows.
WINDOWS = (
  (0.0, 0.0, 1.0),
  *(
    (top, left, _SHARE) for top in (0.0, 0.05, 0.1) for left in (0.0, 0.05, 0.1)
  ),
)
TURNS = 8
# Samples a pixel when a cosine is integrated over pixels.
_FINE = 16
_BLOCK = 32


class Candidates(NamedTuple):
  """Pairs that look alike at low frequencies; each pair once.

  Attributes:
    whole: int64[c], the picture of which a window was taken.
    part: int64[c], the picture that was turned and is like that window.
    turn: int64[c], how, see `turned`.
    window: int64[c], index into WINDOWS.
    likeness: float32[c], cosine of the two descriptions.
  """

  whole: np.ndarray
  part: np.ndarray
  turn: np.ndarray
  window: np.ndarray
  likeness: np.ndarray


def turned(picture: np.ndarray, turn: int) -> np.ndarray:
  """One of the eight positions of a square picture.

  Args:
    picture: [s, s].
    turn: bit 4 transposes, then bit 2 flips up and down, then bit 1 left and
      right; 0 leaves it.

  Returns:
    [s, s], contiguous.
  """
  if turn & 4:
    picture = picture.T
  if turn & 2:
    picture = picture[::-1]
  if turn & 1:
    picture = picture[:, ::-1]
  return np.ascontiguousarray(picture)


def candidates(
  pictures: np.ndarray, *, nearest: int = 10, least: float = 0.85
) -> Candidates:
  """The nearest pictures of each, over all turns and windows.

  Time n^2 x 80 x 64 multiplications, 5 s of one core for 5,000 pictures;
  memory n x 2,560 numbers.

  Args:
    pictures: uint8[n, s, s].
    nearest: candidates of each picture.
    least: smallest cosine of a candidate.

  Returns:
    Candidates, in order of whole and part.
  """
  described = _describe(pictures)
  coefficients = described[0].reshape(-1, ORDER, ORDER)
  gallery = described.reshape(-1, ORDER * ORDER).T
  best: dict[tuple[int, int], tuple[float, int, int]] = {}
  count = len(pictures)
  nearest = min(nearest, count - 1)
  for start in range(0, count if nearest > 0 else 0, _BLOCK):
    rows = np.arange(start, min(start + _BLOCK, count))
    queries = _turns(coefficients[rows]).reshape(-1, ORDER * ORDER)
    ways = (queries @ gallery).reshape(len(rows), -1, count)
    top = ways.max(axis=1)
    top[np.arange(len(rows)), rows] = -1.0
    found = np.argpartition(-top, nearest - 1, axis=1)[:, :nearest]
    how = np.take_along_axis(ways, found[:, None], axis=2).argmax(axis=1)
    alike = np.take_along_axis(top, found, axis=1)
    for i, j in zip(*np.nonzero(alike >= least), strict=True):
      part, whole = int(rows[i]), int(found[i, j])
      pair = (min(part, whole), max(part, whole))
      entry = (float(alike[i, j]), whole, int(how[i, j]))
      best[pair] = max(best.get(pair, entry), entry)
  return _gather(best)


def _gather(best) -> Candidates:
  pairs = sorted(best)
  likeness = np.array([best[pair][0] for pair in pairs], np.float32)
  whole = np.array([best[pair][1] for pair in pairs], np.int64)
  how = np.array([best[pair][2] for pair in pairs], np.int64)
  both = np.array(pairs, np.int64).reshape(-1, 2).sum(axis=1)
  return Candidates(
    whole, both - whole, how // len(WINDOWS), how % len(WINDOWS), likeness
  )


def _describe(pictures: np.ndarray) -> np.ndarray:
  """float32[windows, n, 64] of unit length; zeros for a flat picture."""
  shares = sorted({(start, share) for start, _, share in WINDOWS})
  cosines = np.stack([_cosines(start, share) for start, share in shares])
  frequency = np.hypot(*np.mgrid[:ORDER, :ORDER]).astype(np.float32)
  weight = np.sqrt(frequency)  # the mean gets none
  described = np.empty((len(WINDOWS), len(pictures), ORDER * ORDER), np.float32)
  for start in range(0, len(pictures), 256):
    block = slice(start, start + 256)
    small = np.stack([_small(picture) for picture in pictures[block]])
    half = np.einsum('wks,nst->nwkt', cosines, small, optimize=True)
    for place, (top, left, share) in enumerate(WINDOWS):
      rows = half[:, shares.index((top, share))]
      columns = cosines[shares.index((left, share))]
      found = (rows @ columns.T) * weight
      described[place, block] = found.reshape(len(small), -1)
  length = np.linalg.norm(described, axis=2, keepdims=True)
  # Below this a picture of 255 grey levels has no shape, only rounding.
  return np.where(length > 0.1, described / np.maximum(length, 0.1), 0.0)


def _small(picture: np.ndarray) -> np.ndarray:
  small = cv2.resize(picture, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
  return small.astype(np.float32)


def _cosines(start: float, share: float) -> np.ndarray:
  """float32[8, 64]: cosines that span part of an axis, by pixel."""
  at = (np.arange(_SIDE * _FINE) + 0.5) / (_SIDE * _FINE)
  inside = (at >= start) & (at < start + share)
  phase = np.pi * (at - start) / share
  waves = np.cos(np.arange(ORDER)[:, None] * phase) * inside
  waves[1:] *= np.sqrt(2.0)
  pixels = waves.reshape(ORDER, _SIDE, _FINE).sum(axis=2)
  return (pixels / inside.sum()).astype(np.float32)


def _turns(coefficients: np.ndarray) -> np.ndarray:
  """[n, 8, 8] -> [n, turns, 8, 8], as of `turned`."""
  sign = (-1.0) ** np.arange(ORDER, dtype=np.float32)
  found = []
  for turn in range(TURNS):
    one = coefficients.swapaxes(1, 2) if turn & 4 else coefficients
    if turn & 2:
      one = one * sign[:, None]
    if turn & 1:
      one = one * sign
    found.append(one)
  return np.stack(found, axis=1)
