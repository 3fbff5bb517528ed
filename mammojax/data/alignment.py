"""Are two pictures one, when laid over each other? Local correlation says.

    aligner = Aligner(pictures)                  # uint8[n, s, s]
    score, overlap, covered = aligner.compare(whole, part, turn, window)

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

# Sides in pixels of the quick look and the first alignment, and of the
# judgement of that one.
_COARSE, _MIDDLE = 32, 64
# Frequencies that they see, as the radii of two blurs.
_QUICK_BAND, _COARSE_BAND, _FINE_BAND = (0.8, 3.0), (0.7, 3.0), (0.7, 4.0)
# Deviation below which nothing but rounding is left.
_NO_SHAPE = 1e-3
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
# From the shares of the part to those of the whole, by window.
_STARTS = tuple(
  np.array([[share, 0.0, left], [0.0, share, top]])
  for top, left, share in fingerprints.WINDOWS
)


class Aligner:
  """Compares pictures two at a time; safe to use from threads."""

  def __init__(self, pictures: np.ndarray):
    """Works out what every comparison of a picture begins with.

    Memory 12 KiB a picture.

    Args:
      pictures: uint8[n, s, s].
    """
    self._pictures = pictures
    shape = (len(pictures), _COARSE, _COARSE)
    self._small, self._quick, self._coarse = np.empty((3, *shape), np.float32)
    for place, picture in enumerate(pictures):
      small = _resized(picture.astype(np.float32), _COARSE)
      self._small[place] = small
      self._quick[place] = _band(small, *_QUICK_BAND)
      self._coarse[place] = _band(small, *_COARSE_BAND)
    inner = self._quick[:, _SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
    self._is_flat = inner.std(axis=(1, 2)) < _NO_SHAPE

  def compare(
    self, whole: int, part: int, turn: int, window: int
  ) -> Comparison:
    """Lays one picture over another and compares their texture.

    Args:
      whole: place of a picture.
      part: place of a picture that is like a window of the whole when turned.
      turn: of `fingerprints.turned`, applied to the part.
      window: index into `fingerprints.WINDOWS`, where to begin.

    Returns:
      Comparison; NONE as soon as it cannot be a match.
    """
    if self._likeness(whole, part, turn, window) < _QUICK_LEAST:
      return NONE
    source = self._coarse[whole]
    target = fingerprints.turned(self._coarse[part], turn)
    found = _align(source, target, _STARTS[window], 15)
    if found is None or not _is_sane(found):
      return NONE
    first = self._pictures[whole].astype(np.float32)
    second = fingerprints.turned(self._pictures[part], turn)
    second = second.astype(np.float32)
    middle = _resized(first, _MIDDLE), _resized(second, _MIDDLE)
    if _judge(middle[0], middle[1], found).score < _COARSE_LEAST:
      return NONE
    best = _judge(first, second, found)
    found = _align(
      _band(first, *_FINE_BAND), _band(second, *_FINE_BAND), found, 10
    )
    if found is None or not _is_sane(found):
      return best
    return max(best, _judge(first, second, found))

  def _likeness(self, whole: int, part: int, turn: int, window: int) -> float:
    """Largest correlation of middle frequencies over a few pixels of shift."""
    if self._is_flat[part]:
      return 0.0
    seen = _band(_warp(self._small[whole], _STARTS[window]), *_QUICK_BAND)
    if cv2.meanStdDev(seen)[1].item() < _NO_SHAPE:
      return 0.0
    other = fingerprints.turned(self._quick[part], turn)
    inner = other[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
    return float(cv2.matchTemplate(seen, inner, cv2.TM_CCOEFF_NORMED).max())


def _align(source, target, start, steps) -> np.ndarray | None:
  """The affine map from target to source that correlates best, or None."""
  size = len(target)
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
  laid = _warp(first, found)
  inside = _warp(np.ones_like(first), found) > 0.99
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


def _warp(image: np.ndarray, shares: np.ndarray) -> np.ndarray:
  """float32, of the same size: seen through an affine map, 0 outside."""
  size = len(image)
  return cv2.warpAffine(
    image,
    _to_pixels(shares, size),
    (size, size),
    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
  )


def _to_pixels(shares: np.ndarray, size: int) -> np.ndarray:
  """A map of shares of the side as one of pixels, whose centres are half."""
  pixels = shares.astype(np.float64)
  half = (shares[:, 0] + shares[:, 1]) * 0.5
  pixels[:, 2] = half + shares[:, 2] * size - 0.5
  return pixels.astype(np.float32)


def _to_shares(pixels: np.ndarray, size: int) -> np.ndarray:
  shares = pixels.astype(np.float64)
  half = (shares[:, 0] + shares[:, 1]) * 0.5
  shares[:, 2] = (shares[:, 2] + 0.5 - half) / size
  return shares
