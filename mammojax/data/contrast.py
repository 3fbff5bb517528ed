"""Contrast of images in float: percentile windows, CLAHE, a plain factor.

All map [0, 1] to [0, 1] and never pass through 8 bit.
"""

import numpy as np
from scipy import ndimage

from mammojax.data import preprocess

# Grey values that CLAHE counts; between them its curves are straight.
BINS = 256


def window(
  image: np.ndarray,
  low: float,
  high: float,
  mask: np.ndarray | None = None,
) -> np.ndarray:
  """Stretches what lies between two percentiles to [0, 1], and clips the rest.

      (x - p_low) / (p_high - p_low)

  All channels share the percentiles, so colours keep their hue.

  Args:
    image: float32[h, w, c].
    low: percentile that becomes 0, from 0 to 100.
    high: percentile that becomes 1.
    mask: bool[h, w], the pixels that are counted; None, or none: all.

  Returns:
    float32[h, w, c]; the image itself where both percentiles are one value.
  """
  counted = image if mask is None or not mask.any() else image[mask]
  bottom, top = np.percentile(counted, (low, high))
  if not top > bottom:
    return image
  stretched = (image - np.float32(bottom)) / np.float32(top - bottom)
  return np.clip(stretched, 0.0, 1.0, out=stretched)


def scale(image: np.ndarray, factor: float) -> np.ndarray:
  """Moves every value away from the mean of its channel.

      clip((x - mean) * factor + mean, 0, 1)

  Args:
    image: float32[h, w, c].
    factor: 1 changes nothing, 0 leaves the mean.

  Returns:
    float32[h, w, c].

  Source: tf.image.adjust_contrast.
  Differs: clips to [0, 1], which that function leaves to its caller for
    floats.
  """
  mean = image.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
  moved = (image - mean) * np.float32(factor) + mean
  return np.clip(moved, 0.0, 1.0, out=moved)


def clahe(image: np.ndarray, clip: float, tiles: int) -> np.ndarray:
  """Contrast-limited adaptive histogram equalisation of a float image.

  Each of tiles x tiles parts has a curve, the cumulative histogram of its 256
  bins after no bin may hold more than `clip` times an even share; curves are
  blended bilinearly between the centres of the parts, and are straight between
  bins. Colour images are changed in their luma alone: each channel moves by as
  much, and is clipped.

  Args:
    image: float32[h, w, 1 or 3] in [0, 1].
    clip: limit of a bin, 1 being an even share; above 0.
    tiles: parts an axis.

  Returns:
    float32[h, w, c] in [0, 1].

  Source: Zuiderveld, 1994, Graphics Gems IV, VIII.5; at 256 levels and in large
    parts the result is that of cv2.createCLAHE to within two levels.
  Differs: OpenCV's 16 bit form counts 65,536 bins. The same limit then means
    another contrast for every bit depth, and none in small parts, whose bins
    hold a pixel at most. What was cut is shared equally; OpenCV deals out whole
    pixels from the lowest bin on, which brightens small parts.
  """
  grey = preprocess.to_channels(image, 1)
  moved = _equalize(grey[:, :, 0], clip, tiles)[:, :, None]
  if image.shape[2] == 1:
    return moved
  return np.clip(image + (moved - grey), 0.0, 1.0)


def _equalize(grey: np.ndarray, clip: float, tiles: int) -> np.ndarray:
  height, width = grey.shape
  padding = [(0, -length % tiles) for length in grey.shape]
  whole = np.pad(
    grey, padding, mode='reflect' if min(grey.shape) > 1 else 'edge'
  )
  curves = _curves(whole, clip, tiles)
  down = np.arange(height) * tiles / whole.shape[0] - 0.5
  across = np.arange(width) * tiles / whole.shape[1] - 0.5
  places = np.stack(
    [
      np.broadcast_to(down[:, None], grey.shape),
      np.broadcast_to(across, grey.shape),
      grey * (BINS - 1),
    ]
  )
  # 'nearest' holds the outermost curves beyond the centres of their parts.
  return ndimage.map_coordinates(
    curves, places, np.float32, order=1, mode='nearest'
  )


def _curves(whole: np.ndarray, clip: float, tiles: int) -> np.ndarray:
  """float64[tiles, tiles, BINS], values in [0, 1]."""
  levels = np.rint(whole * (BINS - 1)).astype(np.int64)
  height, width = (length // tiles for length in whole.shape)
  parts = levels.reshape(tiles, height, tiles, width).swapaxes(1, 2)
  parts = parts.reshape(tiles * tiles, -1)
  offsets = np.arange(tiles * tiles)[:, None] * BINS
  counts = np.bincount((parts + offsets).ravel(), minlength=offsets.size * BINS)
  counts = counts.reshape(-1, BINS).astype(np.float64)
  area = height * width
  limit = max(int(clip * area / BINS), 1)
  excess = np.maximum(counts - limit, 0).sum(axis=1, keepdims=True)
  counts = np.minimum(counts, limit) + excess / BINS
  return (counts.cumsum(axis=1) / area).clip(0, 1).reshape(tiles, tiles, BINS)
