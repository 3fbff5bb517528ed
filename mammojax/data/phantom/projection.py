"""One breast in one view: the lasting maps, and the tissue at a visit.

The canvas is a square from -MARGIN to 1 + MARGIN image widths, finer than the
image, in which the chest wall is x = 0, the nipple points to larger x, and y
grows downwards (lateral and cranial are up). An exposure cuts its image out of
the canvas. Everything here belongs to the woman and to the visit; nothing
belongs to the exposure.
"""

import dataclasses
import functools

import cv2
import numpy as np

from mammojax.data.phantom import anatomy
from mammojax.data.phantom import spec as specs

MARGIN = 0.2
FINENESS = 1.25
LOBULE_SIZES = (0.05, 0.024, 0.011)
FAT = 0.24
# Height of the nipple, and how far the breast reaches up and down from it, in
# half-widths. In an MLO view the breast goes on into the armpit.
LAYOUT = {'CC': (0.5, 1.0, 1.0), 'MLO': (0.56, 1.6, 1.0)}


@dataclasses.dataclass(frozen=True)
class Maps:
  """Lasting maps of one view, float32[c, c] unless said otherwise.

  Attributes:
    grid: float32[2, c, c], x and y in image widths.
    breast: 1 inside the breast and the pectoral muscle, 0 outside.
    muscle: the pectoral muscle, 0 to 1 (zero in a CC view).
    thickness: falls to 0 towards the skin.
    gland: logit of the share of gland at the first visit.
    grain: fine texture inside the gland.
    lines: brightness of ducts, only where there is gland.
    rest: skin, vessels, ligaments, nodules, stones and the texture of fat.
  """

  grid: np.ndarray
  breast: np.ndarray
  muscle: np.ndarray
  thickness: np.ndarray
  gland: np.ndarray
  grain: np.ndarray
  lines: np.ndarray
  rest: np.ndarray


class Frame:
  """Places anatomical coordinates on the canvas of one view."""

  def __init__(self, spec: specs.PhantomSpec, shape: anatomy.Shape, view: str):
    size = round(spec.image_size * FINENESS)
    pad = round(size * MARGIN)
    steps = (np.arange(-pad, size + pad, dtype=np.float32) + 0.5) / size
    self.scale = size
    self.pad = pad
    self.view = view
    self.shape = shape
    self.rho = spec.view_agreement
    self.middle, self.up, self.down = LAYOUT[view]
    self.grid = np.stack(np.meshgrid(steps, steps))

  def half_width(self, depth: np.ndarray) -> np.ndarray:
    """Half-width in image widths at a depth (0 chest wall, 1 nipple)."""
    power = self.shape.roundness
    inner = np.maximum(1.0 - np.clip(depth, 0.0, 1.0) ** power, 0.0)
    return self.shape.half_width * inner ** (1.0 / power)

  def place(self, points: np.ndarray) -> np.ndarray:
    """float64[n, 3] of (depth, lateral, cranial) -> float64[n, 2] of (x, y).

    In an MLO view the oblique sum is divided by its standard deviation over
    that of one offset, so the picture is as wide as that of a CC view.
    """
    depth, lateral, cranial = points[:, 0], points[:, 1], points[:, 2]
    offset = lateral
    if self.view == 'MLO':
      offset = (lateral + cranial) / np.sqrt(2.0 + 2.0 * self.rho)
    x = depth * self.shape.depth
    y = self.middle - np.clip(offset, -1, 1) * self.half_width(depth)
    return np.stack([x, y], axis=1)

  def pixels(self, places: np.ndarray) -> np.ndarray:
    """float64[n, 2] in image widths -> the same in canvas pixels."""
    return places * self.scale + (self.pad - 0.5)

  def outline(self) -> np.ndarray:
    """float32[c, c]: 1 inside the breast, 0 outside, soft over one pixel."""
    y = self.grid[1, :, 0]
    width = self.shape.half_width
    reach = np.where(y < self.middle, self.up, self.down) * width
    power = self.shape.roundness
    inner = 1.0 - (np.abs(y - self.middle) / reach) ** power
    edge = self.shape.depth * np.maximum(inner, 0.0) ** (1.0 / power)
    edge = np.where(inner > 0.0, edge, -1.0)[:, None]
    breast = np.clip((edge - self.grid[0]) * self.scale + 0.5, 0.0, 1.0)
    breast = breast.astype(np.float32)
    # A nipple in profile stands out of the skin line.
    tip = self.pixels(np.array([[self.shape.depth, self.middle]]))[0]
    blob = np.zeros(breast.shape, np.uint8)
    _disc(blob, tip, self.shape.nipple * self.scale, 255)
    return np.maximum(breast, blob.astype(np.float32) / 255)


@functools.lru_cache(maxsize=8)
def maps(spec: specs.PhantomSpec, woman: int, side: str, view: str) -> Maps:
  """Draws the lasting maps of one breast in one view.

  Args:
    spec: the phantom women.
    woman: number of the woman.
    side: 'L' or 'R'; both are drawn pointing to the right.
    view: 'CC' or 'MLO'.

  Returns:
    Maps.
  """
  body = anatomy.breast(spec, woman, side)
  frame = Frame(spec, body.shape, view)
  outline = frame.outline()
  inside = (outline > 0.5).astype(np.uint8)
  depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3) / frame.scale
  thickness = 1.0 - np.exp(-depth / np.float32(0.035))
  skin = np.exp(-(((depth - 0.006) / 0.006) ** 2)) * inside
  coarse, middle, fine = (
    weight * _lobules(frame, points, size * body.shape.lobule)
    for weight, points, size in zip(
      body.shape.texture, body.lobules, LOBULE_SIZES, strict=True
    )
  )
  gland = 1.4 * _gland_disc(frame, body.shape)
  gland = gland + 1.25 * (coarse + middle + fine)
  gland = gland + 3.2 * (body.shape.density - 0.5)
  # Fat lies under the skin: gland never reaches it.
  gland = gland - 6.0 * np.exp(-depth / np.float32(0.02))
  rest = 0.16 * skin + 0.04 * (middle + fine) + _things(frame, body)
  return Maps(
    grid=frame.grid,
    breast=outline,
    muscle=_pectoral(frame, body.shape).astype(np.float32),
    thickness=thickness.astype(np.float32),
    gland=gland.astype(np.float32),
    grain=(0.09 * (middle + fine)).astype(np.float32),
    lines=(0.2 * _polylines(frame, body.ducts)).astype(np.float32),
    rest=(rest * outline).astype(np.float32),
  )


def _things(frame: Frame, body: anatomy.Anatomy) -> np.ndarray:
  """Brightness of vessels, ligaments, nodules and coarse calcifications."""
  return (
    0.26 * _polylines(frame, body.vessels)
    + 0.1 * _polylines(frame, body.ligaments)
    + _discs(frame, body.nodules, 0.35)
    + _discs(frame, body.stones, 0.1)
  )


def gland_share(
  spec: specs.PhantomSpec, woman: int, side: str, view: str, months: float
) -> np.ndarray:
  """Share of gland against fat at a visit: involution.

      g(x, m) = sigmoid(1.5 (logit(x) - 4 rate m / 12))

  Args:
    spec: the phantom women.
    woman: number of the woman.
    side: 'L' or 'R'.
    view: 'CC' or 'MLO'.
    months: since the first visit.

  Returns:
    float32[c, c] in [0, 1].
  """
  lasting = maps(spec, woman, side, view)
  rate = anatomy.breast(spec, woman, side).shape.involution
  lost = np.float32(4.0 * rate * months / 12.0)
  return _sigmoid(np.float32(1.5) * (lasting.gland - lost))


def tissue(
  spec: specs.PhantomSpec, woman: int, side: str, view: str, months: float
) -> np.ndarray:
  """Brightness of one breast in one view at a visit, before exposure.

  Args:
    spec: the phantom women.
    woman: number of the woman.
    side: 'L' or 'R'.
    view: 'CC' or 'MLO'.
    months: since the first visit.

  Returns:
    float32[c, c], 0 outside the breast.
  """
  lasting = maps(spec, woman, side, view)
  gland = gland_share(spec, woman, side, view, months)
  bright = gland * (np.float32(0.24) + lasting.grain)
  bright += lasting.lines * (np.float32(0.35) + gland)
  bright += np.float32(FAT)
  bright *= lasting.thickness
  bright += lasting.rest
  bright += lasting.muscle * (np.float32(0.52) - np.float32(0.7) * bright)
  return bright * lasting.breast


def _sigmoid(x: np.ndarray) -> np.ndarray:
  """1 / (1 + exp(-x)) without overflow."""
  return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1.0))


def _gland_disc(frame: Frame, shape: anatomy.Shape) -> np.ndarray:
  """Logit of where gland lies: high behind the nipple, low at the rim."""
  centre, half_depth, half_width = shape.gland
  along = (frame.grid[0] / shape.depth - centre) / half_depth
  across = (frame.grid[1] - frame.middle) / (half_width * shape.half_width)
  return 1.2 - along * along - across * across


def _lobules(frame: Frame, points: np.ndarray, size: float) -> np.ndarray:
  """Sum of Gaussian lobules on the canvas, with standard deviation about 1.

  Lobules are longer towards the nipple than across, as the ducts draw them.
  """
  spots = np.rint(frame.pixels(frame.place(points[:, :3]))).astype(np.int64)
  side = frame.grid.shape[1]
  kept = np.all((spots >= 0) & (spots < side), axis=1)
  flat = spots[kept, 1] * side + spots[kept, 0]
  canvas = np.bincount(flat, points[kept, 3], minlength=side * side)
  dots = canvas.astype(np.float32).reshape(side, side)
  sigma = size * frame.scale
  smooth = cv2.GaussianBlur(dots, (0, 0), 1.4 * sigma, sigmaY=0.72 * sigma)
  # Points lie on an area of about the breast: depth x width, in pixels.
  area = 1.6 * frame.shape.depth * frame.shape.half_width * frame.scale**2
  spread = np.sqrt(len(points) / area / (4.0 * np.pi)) / sigma
  return smooth / spread


def _disc(canvas: np.ndarray, centre, radius: float, value: float) -> None:
  """Draws one smooth disc; centre and radius in pixels."""
  spot = (round(float(centre[0]) * 16), round(float(centre[1]) * 16))
  radius = max(round(radius * 16), 10)
  cv2.circle(canvas, spot, radius, value, -1, cv2.LINE_AA, 4)


def _discs(frame: Frame, things: np.ndarray, softness: float) -> np.ndarray:
  """Round things of [n, 5] (position, radius, brightness), soft at the rim."""
  bright = np.zeros(frame.grid.shape[1:], np.float32)
  places = frame.place(things[:, :3])
  for place, (radius, value) in zip(places, things[:, 3:], strict=True):
    dx = frame.grid[0, 0] - np.float32(place[0])
    dy = frame.grid[1, :, 0] - np.float32(place[1])
    reach = 1.6 * radius + 2.0 / frame.scale
    columns = np.flatnonzero(np.abs(dx) < reach)
    rows = np.flatnonzero(np.abs(dy) < reach)
    if not columns.size or not rows.size:
      continue
    box = np.ix_(rows, columns)
    distance = np.hypot(dy[rows][:, None], dx[columns][None, :])
    soft = softness * radius + 1.0 / frame.scale
    bright[box] += np.clip((radius - distance) / soft + 0.5, 0, 1) * value
  return bright


def _polylines(frame: Frame, lines: list) -> np.ndarray:
  """Lines with calibre and brightness, float32 in [0, 1]."""
  canvas = np.zeros(frame.grid.shape[1:], np.uint8)
  for path, calibre, bright in lines:
    pixels = np.rint(frame.pixels(frame.place(path)) * 16).astype(np.int32)
    width = calibre * frame.scale
    # A line thinner than one pixel is drawn one pixel wide and fainter.
    value = 255 * bright * min(width, 1.0)
    thickness = max(round(width), 1)
    cv2.polylines(
      canvas, [pixels], False, float(value), thickness, cv2.LINE_AA, 4
    )
  smooth = cv2.GaussianBlur(canvas, (0, 0), 0.6)
  return smooth.astype(np.float32) / 255


def _pectoral(frame: Frame, shape: anatomy.Shape) -> np.ndarray:
  """The triangle at the top of the chest wall in an MLO view."""
  if frame.view != 'MLO':
    return np.zeros(frame.grid.shape[1:], np.float32)
  width, height = shape.pectoral
  bulge = 0.04 * np.sin(np.pi * np.clip(frame.grid[1] / height, 0, 1))
  line = 1.0 - (frame.grid[0] - bulge) / width - frame.grid[1] / height
  return _sigmoid(line * np.float32(40.0))
