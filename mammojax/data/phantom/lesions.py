"""Masses and clusters of microcalcifications that appear and grow.

A breast has at most one lesion. It is placed in the same coordinates as the
rest of the anatomy (see anatomy.py), so both views show it where they should.
"""

import dataclasses

import cv2
import numpy as np

from mammojax.data.phantom import draws

DIAGNOSES = (
  'benign_mass',
  'malignant_mass',
  'benign_calcification',
  'malignant_calcification',
)


@dataclasses.dataclass(frozen=True)
class Lesion:
  """One lesion of one breast.

  Attributes:
    diagnosis: one of DIAGNOSES.
    onset_months: first month at which it can be seen.
    position: depth in [0, 1], lateral and cranial offset in [-1, 1].
    radius: at onset, in image widths.
    growth: relative growth of the radius in a year.
    pattern: seed of the spicules or of the calcifications.
  """

  diagnosis: str
  onset_months: float
  position: tuple[float, float, float]
  radius: float
  growth: float
  pattern: int


def plan(seed: int, rate: float, woman: int, side: str) -> Lesion | None:
  """The lesion that a breast will have, or None.

  Args:
    seed: seed of the phantom.
    rate: share of breasts with a lesion.
    woman: number of the woman.
    side: 'L' or 'R'.

  Returns:
    Lesion or None.
  """
  rng = draws.generator(seed, 'lesion', woman, draws.SIDE_NUMBERS[side])
  if rng.random() >= rate:
    return None
  kind = DIAGNOSES[rng.integers(len(DIAGNOSES))]
  malignant = kind.startswith('malignant')
  mass = kind.endswith('mass')
  lateral = rng.uniform(-0.5, 0.5)
  return Lesion(
    diagnosis=kind,
    onset_months=float(rng.uniform(-12.0, 84.0)),
    position=(
      float(rng.uniform(0.35, 0.75)),
      float(lateral),
      float(0.7 * lateral + rng.uniform(-0.2, 0.2)),
    ),
    radius=float(rng.uniform(0.024, 0.036) if mass else 0.045),
    growth=float(rng.uniform(0.1, 0.2) if malignant else 0.03),
    pattern=int(rng.integers(2**31)),
  )


def diagnosis(lesion: Lesion | None, months: float) -> str:
  """What an image at this visit shows: a name of DIAGNOSES or ''."""
  if lesion is None or months < lesion.onset_months:
    return ''
  return lesion.diagnosis


def draw(
  lesion: Lesion, months: float, centre: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Draws a lesion on the canvas of a view.

  Args:
    lesion: what to draw.
    months: visit.
    centre: float64[2], x and y in image widths.
    grid: float32[2, h, w], x and y of the canvas in image widths.

  Returns:
    (float32[h, w] brightness to add, float32[h, w] mask in [0, 1]).
  """
  years = max(months - lesion.onset_months, 0.0) / 12.0
  radius = lesion.radius * min((1.0 + lesion.growth) ** years, 2.0)
  rng = np.random.default_rng(lesion.pattern)
  dx = grid[0] - np.float32(centre[0])
  dy = grid[1] - np.float32(centre[1])
  distance = np.sqrt(dx * dx + dy * dy)
  pixel = float(grid[0, 0, 1] - grid[0, 0, 0])
  if lesion.diagnosis.endswith('calcification'):
    malignant = lesion.diagnosis.startswith('malignant')
    return _cluster(malignant, rng, distance, centre, radius, grid, pixel)
  if lesion.diagnosis == 'malignant_mass':
    edge = radius * _spicules(rng, np.arctan2(dy, dx))
  else:
    edge = np.float32(radius)
  inside = np.clip((edge - distance) / (1.5 * pixel) + 0.5, 0.0, 1.0)
  return 0.28 * inside, inside


def _spicules(rng: np.random.Generator, angle: np.ndarray) -> np.ndarray:
  """Relative radius by direction: a core with pointed rays."""
  edge = np.full_like(angle, 0.75)
  for phase in rng.uniform(-np.pi, np.pi, size=9):
    width, length = rng.uniform(0.08, 0.16), rng.uniform(0.6, 1.2)
    turn = np.abs(np.remainder(angle - phase + np.pi, 2 * np.pi) - np.pi)
    edge += np.float32(length) * np.maximum(1.0 - turn / np.float32(width), 0)
  return edge


def _cluster(
  malignant: bool,
  rng: np.random.Generator,
  distance: np.ndarray,
  centre: np.ndarray,
  radius: float,
  grid: np.ndarray,
  pixel: float,
) -> tuple[np.ndarray, np.ndarray]:
  """Fine and many when malignant, coarse and few when benign."""
  count, size = (14, 0.0042) if malignant else (5, 0.009)
  turn = rng.uniform(-np.pi, np.pi, size=count)
  reach = 0.85 * radius * np.sqrt(rng.random(count))
  x = centre[0] + reach * np.cos(turn) - grid[0, 0, 0]
  y = centre[1] + reach * np.sin(turn) - grid[1, 0, 0]
  canvas = np.zeros(distance.shape, np.uint8)
  for column, row in zip(x / pixel * 16, y / pixel * 16, strict=True):
    spot = (round(float(column)), round(float(row)))
    spot_size = max(round(size / pixel * 16), 12)
    cv2.circle(canvas, spot, spot_size, 255, -1, cv2.LINE_AA, 4)
  bright = canvas.astype(np.float32) * np.float32(0.5 / 255.0)
  mask = np.clip((radius - distance) / pixel + 0.5, 0.0, 1.0)
  return bright, mask
