"""Made-up pictures, and what is done to copies of them."""

import cv2
import numpy as np

SIDE = 160


def texture(rng, side=SIDE):
  """uint8[side, side]: noise of many scales, as tissue has."""
  image = np.zeros((side, side), np.float64)
  for scale in (2, 5, 10, 20, 40):
    noise = rng.normal(size=(side, side))
    smooth = cv2.GaussianBlur(noise, (0, 0), scale / 2)
    image += smooth / smooth.std() * scale**0.5
  low, high = np.quantile(image, [0.01, 0.99])
  return np.clip((image - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def breast(rng, side=SIDE):
  """A texture inside an outline that all share, black outside of it."""
  down, right = np.mgrid[:side, :side] / side
  inside = ((right / 0.75) ** 2 + ((down - 0.5) / 0.48) ** 2) < 1
  inner = cv2.GaussianBlur(inside.astype(np.float64), (0, 0), 3)
  grey = inner * (90 + 0.45 * texture(rng, side))
  return np.clip(grey, 0, 255).astype(np.uint8)


def cropped(image, share, rng):
  """A window that lacks `share` of both sides, at a random place."""
  height = round(image.shape[0] * (1 - share))
  width = round(image.shape[1] * (1 - share))
  top = rng.integers(0, image.shape[0] - height + 1)
  left = rng.integers(0, image.shape[1] - width + 1)
  return image[top : top + height, left : left + width]


def jpeg(image, quality=60):
  """The bytes of a JPEG."""
  return cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]


def recoded(image, quality=60):
  """What a JPEG leaves of an image."""
  return cv2.imdecode(jpeg(image, quality), cv2.IMREAD_UNCHANGED)


def brighter(image):
  """More contrast and more light, cut off at white."""
  return np.clip(image * 1.2 + 10.0, 0, 255).astype(np.uint8)


CHANGES = {
  'mirrored': lambda image, rng: image[:, ::-1],
  'upside_down': lambda image, rng: image[::-1],
  'turned_90': lambda image, rng: np.rot90(image),
  'turned_180': lambda image, rng: np.rot90(image, 2),
  'turned_270': lambda image, rng: np.rot90(image, 3),
  'cropped_5': lambda image, rng: cropped(image, 0.05, rng),
  'cropped_10': lambda image, rng: cropped(image, 0.10, rng),
  'cropped_15': lambda image, rng: cropped(image, 0.15, rng),
  'jpeg_60': lambda image, rng: recoded(image),
  'brighter': lambda image, rng: brighter(image),
  'smaller': lambda image, rng: cv2.resize(
    image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA
  ),
  'all_of_it': lambda image, rng: recoded(
    brighter(np.rot90(cropped(image, 0.1, rng))[:, ::-1])
  ),
}


def write(path, image):
  """A PNG of an array, red first; a folder is made when missing."""
  path.parent.mkdir(parents=True, exist_ok=True)
  array = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
  path.write_bytes(cv2.imencode('.png', array)[1].tobytes())
