"""The pectoral muscle on an oblique (MLO) mammogram.

muscle = find(image, mask)                       # bool[h, w]

On an MLO view the muscle is a bright triangle in the upper corner at the chest
wall. Its edge is searched for as the straight line, from the top to the chest
wall of the box around the breast, across which brightness falls most evenly.
"""

import cv2
import numpy as np

from mammojax.data import breast, preprocess

_WORK_SIDE = 128
# Where lines start on top and end on the chest wall, as shares of the box.
_STARTS = np.linspace(0.15, 0.95, 33)
_ENDS = np.linspace(0.2, 1.0, 33)
_SAMPLES = 48
# How far from the line brightness is compared, and the least mean fall that
# makes an edge, as shares of the working side and of the range of the breast.
_OFFSET = 0.035
_LEAST_FALL = 0.03
# A single bright spot must not outweigh the rest of a line.
_MOST_FALL = 0.2


def find(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """The muscle, as the part of the breast beyond a straight line.

  Takes 1,089 lines of 48 points on a copy of 128 pixels.

  Args:
    image: float32[h, w, c] in [0, 1], an MLO view of either side.
    mask: bool[h, w], the breast with its muscle, see `breast.find`.

  Returns:
    bool[h, w], part of the mask; all false when no line is an edge.
  """
  muscle = np.zeros(mask.shape, bool)
  if not mask.any():
    return muscle
  rows, columns = breast.box(mask)
  seen = mask[rows, columns]
  on_right = _chest_is_right(mask)
  grey = preprocess.to_channels(image, 1)[rows, columns, 0]
  if on_right:
    grey, seen = grey[:, ::-1], seen[:, ::-1]
  line = _edge(np.ascontiguousarray(grey), np.ascontiguousarray(seen))
  if line is None:
    return muscle
  height, width = seen.shape
  down, across = np.ogrid[:height, :width]
  start, end = line
  part = seen & (
    (across + 0.5) / (start * width) + (down + 0.5) / (end * height) < 1
  )
  muscle[rows, columns] = part[:, ::-1] if on_right else part
  return muscle


def _chest_is_right(mask: np.ndarray) -> bool:
  """Whether the straight, full side of the breast is the right one."""
  rows = np.flatnonzero(mask.any(axis=1))
  inside = mask[rows]
  left = inside.argmax(axis=1)
  right = inside[:, ::-1].argmax(axis=1)
  return bool(np.std(right) < np.std(left))


def _edge(grey: np.ndarray, seen: np.ndarray) -> tuple[float, float] | None:
  """(start on top, end on the left) of the best line, as shares; or None."""
  size = (_WORK_SIDE, _WORK_SIDE)
  small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
  small = cv2.GaussianBlur(small, (5, 5), 0)
  inside = cv2.resize(seen.astype(np.float32), size) >= 0.5
  low, high = np.percentile(small[inside], (1, 99)) if inside.any() else (0, 0)
  if not high > low:
    return None
  small = (small - low) / (high - low)
  starts, ends = (grid.ravel() for grid in np.meshgrid(_STARTS, _ENDS))
  along = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
  x = starts[:, None] * (1 - along) * _WORK_SIDE
  y = ends[:, None] * along * _WORK_SIDE
  # The normal of the line points away from the corner.
  normal = np.stack([1 / starts, 1 / ends]) * _OFFSET * _WORK_SIDE
  normal = normal / np.hypot(1 / starts, 1 / ends)
  dx, dy = normal[0][:, None], normal[1][:, None]
  bright = _at(small, x - dx, y - dy)
  dark = _at(small, x + dx, y + dy)
  is_breast = _at(inside.astype(np.float32), x + dx, y + dy) > 0.5
  fall = np.clip(bright - dark, -_MOST_FALL, _MOST_FALL)
  score = np.where(is_breast, fall, 0.0).mean(axis=1)
  best = int(np.argmax(score))
  if score[best] < _LEAST_FALL:
    return None
  return float(starts[best]), float(ends[best])


def _at(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """Values at places, bilinear; the border goes on beyond itself."""
  return cv2.remap(
    image.astype(np.float32),
    x.astype(np.float32) - 0.5,
    y.astype(np.float32) - 0.5,
    cv2.INTER_LINEAR,
    borderMode=cv2.BORDER_REPLICATE,
  )
