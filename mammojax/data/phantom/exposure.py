"""What belongs to one exposure and tells nothing about the woman.

Position, rotation, compression, film, tube and label are drawn from a stream
of their own for every image.
"""

import dataclasses
import string

import cv2
import numpy as np

from mammojax.data.phantom import draws, projection
from mammojax.data.phantom import spec as specs

# No breast ever reaches the right edge or the right corners of a picture that
# points to the right; see `outside_reach`.
REACH = 0.84
CORNER_START = 0.68
CORNER_HEIGHT = 0.11
LETTERS = string.ascii_uppercase + string.digits + '-/'


@dataclasses.dataclass(frozen=True)
class Exposure:
  """One draw of everything that changes from picture to picture.

  Attributes:
    shift: float64[2], x and y in image widths.
    angle: radians.
    stretch: float64[2], factors along x and y.
    shear: x added for each y.
    bend: float32[2, 5, 5], smooth shift in image widths.
    gain: factor of the brightness.
    gamma: exponent of the brightness.
    tilt: float64[2], relative change of brightness across x and y.
    blur: standard deviation in image widths.
    noise: standard deviation.
    veil: brightness of the air.
    edges: float64[3], collimation at top, bottom and right, image widths.
    edge_value: brightness of the collimated border.
    label: text, or '' for a plain marker.
    label_look: float64[5], uniform numbers that place and shade the label.
  """

  shift: np.ndarray
  angle: float
  stretch: np.ndarray
  shear: float
  bend: np.ndarray
  gain: float
  gamma: float
  tilt: np.ndarray
  blur: float
  noise: float
  veil: float
  edges: np.ndarray
  edge_value: float
  label: str
  label_look: np.ndarray


def draw(spec: specs.PhantomSpec, rng: np.random.Generator) -> Exposure:
  """Draws an exposure; the woman's streams are never touched."""
  squeeze = rng.uniform(-1.0, 1.0) * spec.compression
  wobble = rng.uniform(-0.3, 0.3, size=2) * spec.compression
  # Flesh pressed less deep spreads wider.
  stretch = np.array([1.0 + squeeze, 1.0 - squeeze]) + wobble
  count = int(rng.integers(3, 7)) if rng.random() < 0.8 else 0
  letters = rng.integers(len(LETTERS), size=count)
  return Exposure(
    shift=rng.uniform(-1.0, 1.0, size=2)
    * spec.position_shift
    * np.array([0.8, 1.2]),
    angle=float(np.deg2rad(rng.uniform(-1, 1) * spec.rotation_degrees)),
    stretch=stretch,
    shear=float(rng.uniform(-0.6, 0.6) * spec.compression),
    bend=rng.normal(0.0, spec.warp, size=(2, 5, 5)).astype(np.float32),
    gain=float(np.exp(rng.uniform(-0.3, 0.25) * spec.contrast)),
    gamma=float(np.exp(rng.uniform(-0.3, 0.3) * spec.contrast)),
    tilt=rng.uniform(-0.2, 0.2, size=2) * spec.contrast,
    blur=float(rng.uniform(0.0, 0.005)),
    noise=float(rng.uniform(0.2, 1.0) * spec.noise),
    veil=float(rng.uniform(0.01, 0.07)),
    edges=rng.uniform(-0.04, 0.05, size=3),
    edge_value=float(rng.choice([0.0, 0.0, 0.9])),
    label=''.join(LETTERS[i] for i in letters),
    label_look=rng.random(5),
  )


def sample_points(
  spec: specs.PhantomSpec, shot: Exposure, size: float
) -> tuple[np.ndarray, np.ndarray]:
  """Where on the canvas each pixel of the image looks.

  Args:
    spec: the phantom women.
    shot: the exposure.
    size: relative size of the breast at the visit.

  Returns:
    (float32[h, w], float32[h, w]), x and y in canvas pixels for cv2.remap.
  """
  side = spec.image_size
  steps = (np.arange(side, dtype=np.float32) + 0.5) / side
  x, y = np.meshgrid(steps - shot.shift[0], steps - shot.shift[1] - 0.5)
  cos, sin = np.cos(shot.angle), np.sin(shot.angle)
  # Rotation is about the middle of the chest wall; then stretch and shear.
  turned_x = (cos * x + sin * y) / (shot.stretch[0] * size)
  turned_y = (cos * y - sin * x) / (shot.stretch[1] * size)
  bend = [
    cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC)
    for part in shot.bend
  ]
  source_x = turned_x + shot.shear * turned_y + bend[0]
  source_y = turned_y + 0.5 + bend[1]
  canvas = round(side * projection.FINENESS)
  offset = round(canvas * projection.MARGIN) - 0.5
  return (
    (source_x * canvas + offset).astype(np.float32),
    (source_y * canvas + offset).astype(np.float32),
  )


def cut(canvas: np.ndarray, points: tuple) -> np.ndarray:
  """Reads a float32[c, c] canvas at `sample_points` -> float32[h, w]."""
  return cv2.remap(
    canvas,
    points[0],
    points[1],
    cv2.INTER_LINEAR,
    borderMode=cv2.BORDER_REPLICATE,
  )


def outside_reach(size: int) -> np.ndarray:
  """Where no breast that points to the right can ever lie.

  The silhouette of a breast tells who she is, so setting only the breast to
  zero leaves her shape in the picture. This region is the same for every
  image: a strip along the right edge and the two right corners. It holds
  film labels, collimation and air.

  Args:
    size: height and width in pixels.

  Returns:
    bool[size, size], True outside the reach.
  """
  steps = (np.arange(size) + 0.5) / size
  corner = (steps < CORNER_HEIGHT) | (steps > 1.0 - CORNER_HEIGHT)
  strip = steps >= REACH
  return strip[None, :] | (corner[:, None] & (steps >= CORNER_START)[None, :])


def develop(
  spec: specs.PhantomSpec,
  shot: Exposure,
  bright: np.ndarray,
  breast: np.ndarray,
  rng: np.random.Generator,
) -> np.ndarray:
  """Turns brightness into a film: tone, blur, air, border, label, noise.

  Args:
    spec: the phantom women.
    shot: the exposure.
    bright: float32[h, w], tissue after the warp, 0 in air.
    breast: float32[h, w], 1 in the breast, 0 in air.
    rng: stream of this exposure, for the noise.

  Returns:
    uint16[h, w], black 0, white 65535.
  """
  side = spec.image_size
  steps = np.linspace(-0.5, 0.5, side, dtype=np.float32)
  slope = 1.0 + shot.tilt[0] * steps[None, :] + shot.tilt[1] * steps[:, None]
  film = np.float32(shot.gain) * bright * slope.astype(np.float32)
  film = np.power(np.maximum(film, 1e-4), np.float32(shot.gamma))
  sigma = shot.blur * side
  if sigma > 0.3:
    # Blurring the mask too keeps the glow of the skin out of the far air.
    film = cv2.GaussianBlur(film * breast, (5, 5), sigma)
  else:
    film = film * breast
  film += np.float32(shot.veil) * (1.0 - breast)
  _label(film, shot, side)
  _collimate(film, shot, breast, side)
  film += rng.standard_normal(film.shape, dtype=np.float32) * np.float32(
    shot.noise
  )
  return np.rint(np.clip(film, 0.0, 1.0) * 65535).astype(np.uint16)


def _label(film: np.ndarray, shot: Exposure, side: int) -> None:
  """Writes the label or marker outside the reach of any breast."""
  across, along, shade, turn, face = shot.label_look
  ink = np.zeros((max(side // 8, 8), max(side * 2 // 5, 24)), np.uint8)
  if shot.label:
    scale = side / 128 * 0.36
    cv2.putText(
      ink,
      shot.label,
      (1, ink.shape[0] - max(side // 32, 1)),
      cv2.FONT_HERSHEY_SIMPLEX,
      scale,
      255,
      max(side // 128, 1),
      cv2.LINE_AA,
    )
  else:
    ink[: side // 10, : side // 12] = 255
  ink = np.rot90(ink, 1 if turn < 0.5 else 3)
  # Films are scanned face up or face down, so mirrored text tells no side.
  if face < 0.5:
    ink = ink[:, ::-1]
  height, width = ink.shape
  room = side - int(np.ceil(REACH * side)) - width
  left = side - width - int(across * (max(room, 0) + 1))
  top = int(along * (side - height + 1))
  patch = film[top : top + height, left : left + width]
  bright = np.float32((0.5 + 0.5 * shade) / 255.0)
  np.maximum(patch, ink.astype(np.float32) * bright, out=patch)


def _collimate(
  film: np.ndarray, shot: Exposure, breast: np.ndarray, side: int
) -> None:
  """Shades the borders that the shutter hides, in air only."""
  top, bottom, right = np.maximum(np.rint(shot.edges * side), 0).astype(int)
  border = np.zeros(film.shape, bool)
  border[:top] = True
  border[side - bottom :] = True
  border[:, side - right :] = True
  film[border & (breast < 0.5)] = shot.edge_value


def generator(
  spec: specs.PhantomSpec, woman: int, side: str, view: str, months: float
) -> np.random.Generator:
  """The stream of one exposure, a function of which image it is."""
  return draws.generator(
    spec.seed,
    'exposure',
    woman,
    draws.SIDE_NUMBERS[side],
    draws.VIEW_NUMBERS[view],
    round(months * 1000),
  )
