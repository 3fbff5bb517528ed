"""What lasts in a breast: its shape and the features inside it.

Coordinates of a feature are (depth, lateral, cranial): depth is 0 at the chest
wall and 1 at the nipple; lateral and cranial are offsets from the axis through
the nipple, in half-widths of the breast at that depth, in [-1, 1]. A CC view
shows depth and lateral; an MLO view shows depth and the oblique sum of lateral
and cranial. Depth is therefore common to both views, and so are number, size,
brightness and calibre of everything.
"""

import dataclasses
import functools

import numpy as np

from mammojax.data.phantom import draws
from mammojax.data.phantom import spec as specs

LOBULE_COUNTS = (40, 140, 420)


@dataclasses.dataclass(frozen=True)
class Shape:
  """Numbers of one breast; lengths in image widths.

  Attributes:
    depth: chest wall to nipple.
    half_width: half the width of the breast at the chest wall, CC view.
    roundness: exponent of the outline, 2 being an ellipse.
    nipple: radius of the nipple.
    pectoral: width at the top and height of the pectoral muscle, MLO view.
    density: gland against fat, in [0, 1].
    involution: gland lost in a year.
    texture: float64[3], weights of coarse, middle and fine lobules.
    lobule: size of the lobules, 1 being ordinary.
    weight: trend in a year, amplitude, period in years and phase of the size.
    gland: centre depth, half depth and half width of the gland disc.
  """

  depth: float
  half_width: float
  roundness: float
  nipple: float
  pectoral: tuple[float, float]
  density: float
  involution: float
  texture: np.ndarray
  lobule: float
  weight: tuple[float, float, float, float]
  gland: tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class Anatomy:
  """A breast that lasts.

  Attributes:
    shape: its numbers.
    lobules: three arrays float64[n, 4]: position and brightness.
    nodules: float64[n, 5]: position, radius, brightness.
    stones: float64[n, 5]: coarse calcifications, same columns.
    ducts: polylines float64[m, 3], with calibre and brightness each.
    vessels: as ducts.
    ligaments: as ducts.
  """

  shape: Shape
  lobules: tuple[np.ndarray, ...]
  nodules: np.ndarray
  stones: np.ndarray
  ducts: list
  vessels: list
  ligaments: list


def size_at(shape: Shape, months: float) -> float:
  """Relative size of the breast at a visit: weight comes and goes."""
  trend, amplitude, period, phase = shape.weight
  years = months / 12.0
  swing = np.sin(2 * np.pi * years / period + phase) - np.sin(phase)
  return float(np.clip(1.0 + trend * years + amplitude * swing, 0.88, 1.12))


@functools.lru_cache(maxsize=16)
def breast(spec: specs.PhantomSpec, woman: int, side: str) -> Anatomy:
  """The anatomy of one breast; a function of the arguments.

  Args:
    spec: the phantom women; only seed, involution, view_agreement and
      side_similarity matter here.
    woman: number of the woman.
    side: 'L' or 'R'.

  Returns:
    Anatomy.
  """
  common = draws.generator(spec.seed, 'woman', woman)
  own = draws.generator(spec.seed, 'breast', woman, draws.SIDE_NUMBERS[side])
  rho = spec.view_agreement
  lobules = []
  for count in LOBULE_COUNTS:
    shared = round(spec.side_similarity * count)
    mirrored = _points(common, count, rho)[:shared]
    lobules.append(
      np.concatenate([mirrored, _points(own, count - shared, rho)])
    )
  calibre = common.uniform(0.006, 0.014) * own.uniform(0.8, 1.2)
  wiggle = common.uniform(0.02, 0.12) * own.uniform(0.6, 1.4)
  return Anatomy(
    shape=_shape(common, own, spec.involution),
    lobules=tuple(lobules),
    nodules=_spots(
      own, int(own.integers(2, 12)), rho, (0.014, 0.045), (0.12, 0.3)
    ),
    stones=_spots(own, own.poisson(2.0), rho, (0.006, 0.013), (0.35, 0.6)),
    ducts=_ducts(own, rho),
    vessels=_vessels(own, rho, calibre, wiggle),
    ligaments=_ligaments(own, rho),
  )


def _shape(
  common: np.random.Generator, own: np.random.Generator, involution: float
) -> Shape:
  """Numbers of the woman, each with a small deviation of the side."""

  def both(low, high, share=0.3):
    value = common.uniform(low, high)
    return float(value + share * (high - low) * own.uniform(-1, 1))

  texture = np.exp(common.normal(0.0, 0.6, size=3))
  texture = texture * np.exp(own.normal(0.0, 0.3, size=3))
  return Shape(
    depth=both(0.47, 0.61),
    half_width=both(0.33, 0.41),
    roundness=both(1.8, 2.5),
    nipple=both(0.016, 0.03),
    pectoral=(both(0.18, 0.32), both(0.4, 0.7)),
    density=both(0.1, 0.95),
    involution=involution * both(0.03, 0.08),
    texture=texture / np.linalg.norm(texture),
    lobule=both(0.75, 1.4),
    weight=(
      float(common.normal(0.0, 0.008)),
      float(common.uniform(0.0, 0.02)),
      float(common.uniform(3.0, 12.0)),
      float(common.uniform(0.0, 2 * np.pi)),
    ),
    gland=(both(0.52, 0.66, 0.45), both(0.3, 0.5, 0.45), both(0.55, 0.9, 0.45)),
  )


def _offsets(rng, count: int, rho: float, spread: float) -> np.ndarray:
  """float64[count, 2], lateral and cranial with correlation rho."""
  lateral, other = rng.uniform(-1.0, 1.0, size=(2, count))
  cranial = rho * lateral + np.sqrt(1.0 - rho * rho) * other
  return spread * np.stack([lateral, cranial], axis=1)


def _points(rng, count: int, rho: float) -> np.ndarray:
  """float64[count, 4], positions and signed brightness of lobules."""
  depth = rng.uniform(-0.1, 1.0, size=(count, 1))
  offsets = _offsets(rng, count, rho, 1.0)
  return np.hstack([depth, offsets, rng.normal(size=(count, 1))])


def _spots(rng, count: int, rho: float, radii, bright) -> np.ndarray:
  """float64[count, 5], positions, radii and brightness of round things."""
  depth = rng.uniform(0.2, 0.92, size=(count, 1))
  offsets = _offsets(rng, count, rho, 0.75)
  radius = rng.uniform(*radii, size=(count, 1))
  return np.hstack([depth, offsets, radius, rng.uniform(*bright, (count, 1))])


def _ducts(rng, rho: float) -> list:
  """Trees that open at the nipple and branch towards the chest wall."""
  ducts = []
  t = np.linspace(0.0, 1.0, 12)[:, None]
  for _ in range(rng.integers(3, 12)):
    end = np.hstack([rng.uniform(0.2, 0.6, (1, 1)), _offsets(rng, 1, rho, 0.8)])
    bend = rng.normal(0.0, 0.1, size=(1, 3)) * np.array([0.3, 1.0, 1.0])
    path = (1 - t) * np.array([[1.0, 0.0, 0.0]]) + t * end
    path = path + np.sin(np.pi * t) * bend
    calibre = rng.uniform(0.005, 0.011)
    bright = rng.uniform(0.5, 1.0)
    ducts.append((path, calibre, bright))
    turn = rng.normal(0.0, 0.25, size=(1, 3)) * np.array([0.3, 1.0, 1.0])
    fork = int(rng.integers(4, 9))
    branch = path[fork:] + (t[fork:] - t[fork]) * turn
    ducts.append((branch, 0.7 * calibre, 0.8 * bright))
  return ducts


def _vessels(rng, rho: float, calibre: float, wiggle: float) -> list:
  """Winding lines from the chest wall towards the nipple, with a branch."""
  vessels = []
  t = np.linspace(0.0, 1.0, 24)[:, None]
  for _ in range(rng.integers(2, 6)):
    start, end = _offsets(rng, 2, rho, 0.85)
    reach = rng.uniform(0.5, 0.95)
    waves = rng.uniform(1.0, 4.0)
    sway = wiggle * np.sin(2 * np.pi * waves * t + rng.uniform(0, 2 * np.pi))
    depth = -0.3 + t * (reach + 0.3)
    path = np.hstack([depth, (1 - t) * start + t * end + sway])
    width = calibre * rng.uniform(0.7, 1.2)
    vessels.append((path, width, rng.uniform(0.6, 1.0)))
    fork = int(rng.integers(8, 16))
    drift = (t[fork:] - t[fork]) * rng.uniform(-0.8, 0.8)
    branch = path[fork:] + drift * np.array([[0.0, 1.0, rho]])
    vessels.append((branch, 0.6 * width, 0.6))
  return vessels


def _ligaments(rng, rho: float) -> list:
  """Thin bows between gland and skin."""
  ligaments = []
  t = np.linspace(0.0, 1.0, 8)[:, None]
  for depth in rng.uniform(0.0, 0.85, size=14):
    start = _offsets(rng, 1, rho, 0.6)
    end = np.sign(start) * rng.uniform(0.85, 1.0)
    bow = np.sin(np.pi * t) * rng.normal(0.0, 0.06)
    along = depth + 0.2 * t * rng.uniform(-1, 1) + bow
    path = np.hstack([along, (1 - t) * start + t * end])
    ligaments.append((path, 0.004, rng.uniform(0.4, 0.9)))
  return ligaments
