"""Are two pictures one, when laid over each other? Local correlation says.

    score, overlap = compare(whole, part, turn, window)

Breasts and moles look alike at large, and their outlines alone correlate. So
the part is first laid over the whole by an affine map (enhanced correlation
coefficient), and then correlated in small neighbourhoods without their wider
shade, of which flat ones do not count: the mean over all neighbourhoods is
high only where the texture agrees too.
"""

from typing import NamedTuple

import cv2
import numpy as np

from mammojax.data import fingerprints

# Sides in pixels of the quick look, the first alignment and its judgement.
_QUICK, _COARSE, _MIDDLE = 32, 32, 64
_SHIFT = 4
# Least correlation of the quick look, and of the first alignment.
_QUICK_LEAST = 0.84
_COARSE_LEAST = 0.6
# Radius of a neighbourhood, and grey levels of 255 below which it is flat.
_SIGMA = 2.0
# Wider shades than this are taken out first: the vignettes of two lenses agree.
_SHADE = 4.0
_FLAT = 2.0
# Neighbourhoods that must be left to judge by, as a share of the picture.
_LEAST_AREA = 0.05


class Comparison(NamedTuple):
  """How well two pictures agree.

  Attributes:
    score: mean local correlation where they overlap; 0.0 when they could not
      be laid over each other.
    overlap: share of the part that lies inside the whole.
    covered: share of the whole that the part covers; 1.0 is no crop.
  """

  score: float
  overlap: float
  covered: float


NONE = Comparison(0.0, 0.0, 0.0)


def compare(
  whole: np.ndarray, part: np.ndarray, turn: int, window: int
) -> Comparison:
  """Lays one picture over another and compares their texture.

  Args:
    whole: uint8[s, s].
    part: uint8[s, s], like a window of the whole when turned.
    turn: of `fingerprints.turned`, applied to the part.
    window: index into `fingerprints.WINDOWS`, where to begin.

  Returns:
    Comparison; NONE as soon as it cannot be a match.
  """
  first = whole.astype(np.float32)
  second = fingerprints.turned(part, turn).astype(np.float32)
  top, left, share = fingerprints.WINDOWS[window]
  start = np.array([[share, 0.0, left], [0.0, share, top]])
  if _quick(first, second, start) < _QUICK_LEAST:
    return NONE
  found = _align(first, second, start, _COARSE, 3.0, 15)
  if found is None or not _is_sane(found):
    return NONE
  middle = _resized(first, _MIDDLE), _resized(second, _MIDDLE)
  if _judge(middle[0], middle[1], found).score < _COARSE_LEAST:
    return NONE
  side = len(whole)
  best = _judge(first, second, found)
  found = _align(first, second, found, side, 4.0, 10)
  if found is None or not _is_sane(found):
    return best
  return max(best, _judge(first, second, found))


def _quick(first: np.ndarray, second: np.ndarray, start: np.ndarray) -> float:
  """Largest correlation of middle frequencies over a few pixels of shift."""
  window = _band(_warp(first, start, _QUICK), 0.8, 3.0)
  whole = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
  other = _band(_warp(second, whole, _QUICK), 0.8, 3.0)
  inner = np.ascontiguousarray(other[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT])
  if inner.std() < 1e-3 or window.std() < 1e-3:
    return 0.0
  return float(cv2.matchTemplate(window, inner, cv2.TM_CCOEFF_NORMED).max())


def _align(first, second, start, size, sigma, steps) -> np.ndarray | None:
  """The affine map from second to first that correlates best, or None."""
  target = _band(_resized(second, size), 0.7, sigma)
  source = _band(_resized(first, size), 0.7, sigma)
  criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-3)
  everywhere = np.full((size, size), 255, np.uint8)
  try:
    _, found = cv2.findTransformECC(
      target,
      source,
      _to_pixels(start, size),
      cv2.MOTION_AFFINE,
      criteria,
      everywhere,
      1,
    )
  except cv2.error:  # it does not converge: not one picture
    return None
  return _to_shares(found, size)


def _is_sane(found: np.ndarray) -> bool:
  """Whether the map may be that of a crop: no mirror, shear or wide zoom."""
  matrix = found[:, :2]
  scales = np.diag(matrix)
  skew = max(abs(matrix[0, 1]), abs(matrix[1, 0]))
  return bool(scales.min() > 0.6 and scales.max() < 1.15 and skew < 0.15)


def _judge(first, second, found) -> Comparison:
  size = len(first)
  laid = _warp(first, found, size)
  inside = _warp(np.ones_like(first), found, size) > 0.99
  one, two = _band(laid, 0.8, _SHADE), _band(second, 0.8, _SHADE)
  mean_one, mean_two = _near(one), _near(two)
  var_one = _near(one * one) - mean_one**2
  var_two = _near(two * two) - mean_two**2
  both = _near(one * two) - mean_one * mean_two
  # What lies outside the whole is black, and its edge is no texture.
  reach = 2 * int(_SHADE) + 1
  inner = cv2.erode(
    inside.astype(np.uint8), np.ones((reach, reach), np.uint8), borderValue=1
  )
  counts = (inner > 0) & (np.maximum(var_one, var_two) > _FLAT**2)
  if counts.mean() < _LEAST_AREA:
    return NONE
  # A neighbourhood that is flat in one picture only agrees with nothing.
  floor = (_FLAT / 2) ** 2
  local = both / np.sqrt(
    np.maximum(var_one, floor) * np.maximum(var_two, floor)
  )
  area = abs(np.linalg.det(found[:, :2]))
  overlap = float(inside.mean())
  return Comparison(float(local[counts].mean()), overlap, area * overlap)


def _near(image: np.ndarray) -> np.ndarray:
  return cv2.GaussianBlur(image, (0, 0), _SIGMA)


def _band(image: np.ndarray, fine: float, coarse: float) -> np.ndarray:
  smooth = cv2.GaussianBlur(image, (0, 0), fine)
  return smooth - cv2.GaussianBlur(image, (0, 0), coarse)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
  if len(image) == size:
    return image
  return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _warp(image: np.ndarray, shares: np.ndarray, size: int) -> np.ndarray:
  """float32[size, size]: the image seen through an affine map, 0 outside."""
  if size < len(image):
    image = _resized(image, size)
  return cv2.warpAffine(
    image,
    _to_pixels(shares, size),
    (size, size),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
  )


def _to_pixels(shares: np.ndarray, size: int) -> np.ndarray:
  """A map of shares of the side as one of pixels, whose centres are half."""
  shift = shares[:, :2] @ [0.5, 0.5] + shares[:, 2] * size - 0.5
  return np.column_stack([shares[:, :2], shift]).astype(np.float32)


def _to_shares(pixels: np.ndarray, size: int) -> np.ndarray:
  pixels = pixels.astype(np.float64)
  shift = (pixels[:, 2] + 0.5 - pixels[:, :2] @ [0.5, 0.5]) / size
  return np.column_stack([pixels[:, :2], shift])
