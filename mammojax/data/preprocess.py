"""From an image of any shape to a square, in float.

image = to_channels(image, 1)                    # float32[h, w, 1]
image = fit(image, 128, mode='pad')              # float32[128, 128, 1]
"""

import cv2
import numpy as np
from PIL import Image

from mammojax import errors

MODES = ('pad', 'crop', 'stretch')
RESAMPLES = ('area', 'lanczos')
# ITU-R BT.601, as JPEG and OpenCV use for grey.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
  """Grey to colour by repetition, colour to grey by luma.

      grey = 0.299 R + 0.587 G + 0.114 B

  Args:
    image: float32[h, w, 1 or 3].
    channels: 1 or 3.

  Returns:
    float32[h, w, channels].

  Raises:
    UsageError: another number of channels.

  Source: ITU-R BT.601-7, section 2.5.1.
  """
  if channels not in (1, 3):
    raise errors.UsageError(f'channels is {channels}; it must be 1 or 3.')
  if image.shape[-1] == channels:
    return image
  if channels == 3:
    return np.repeat(image, 3, axis=-1)
  return (image @ _LUMA)[:, :, None]


def fit(
  image: np.ndarray,
  size: int,
  mode: str = 'pad',
  pad_value: float = 0.0,
  resample: str = 'area',
) -> np.ndarray:
  """Brings an image to size x size, in float, antialiased.

  Args:
    image: float32[h, w, c].
    size: height and width of the result in pixels.
    mode: 'pad' keeps the shape and centres it between bars of `pad_value`;
      'crop' keeps the shape and takes the central square; 'stretch' does not
      keep the shape.
    pad_value: grey of the bars.
    resample: 'area' shrinks by the mean over the area of a target pixel and
      enlarges bilinearly; 'lanczos' is sharper, and clipped to [0, 1], beyond
      which it swings.

  Returns:
    float32[size, size, c]; the image itself where nothing is to be done.

  Raises:
    UsageError: an unknown mode or resample.
  """
  if mode not in MODES:
    raise errors.unknown('data.fit', mode, MODES)
  if resample not in RESAMPLES:
    raise errors.unknown('resample', resample, RESAMPLES)
  height, width = image.shape[:2]
  if mode == 'stretch':
    return _resize(image, size, size, resample)
  longest = max if mode == 'pad' else min
  scale = size / longest(height, width)
  height = max(1, round(height * scale))
  width = max(1, round(width * scale))
  image = _resize(image, height, width, resample)
  if height == width == size:
    return image
  top, left = abs(size - height) // 2, abs(size - width) // 2
  if mode == 'crop':
    return np.ascontiguousarray(image[top : top + size, left : left + size])
  square = np.full((size, size, image.shape[2]), pad_value, np.float32)
  square[top : top + height, left : left + width] = image
  return square


def _resize(
  image: np.ndarray, height: int, width: int, resample: str
) -> np.ndarray:
  old_height, old_width, channels = image.shape
  if (old_height, old_width) == (height, width):
    return image
  if resample == 'lanczos':
    parts = [
      Image.fromarray(np.ascontiguousarray(image[:, :, channel])).resize(
        (width, height), Image.Resampling.LANCZOS
      )
      for channel in range(channels)
    ]
    return np.stack([np.asarray(part) for part in parts], -1).clip(0.0, 1.0)
  # By area where an axis shrinks, then bilinearly where one grows.
  small = (min(width, old_width), min(height, old_height))
  if small != (old_width, old_height):
    image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
  if small != (width, height):
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
  return image.reshape(height, width, channels)
