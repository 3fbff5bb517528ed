"""One phantom mammogram, as a pure function of which one it is."""

import dataclasses
import functools

import cv2
import numpy as np

from mammojax import errors
from mammojax.data.phantom import anatomy, exposure, lesions, projection
from mammojax.data.phantom import spec as specs


@dataclasses.dataclass(frozen=True)
class Mammogram:
  """One image and what is known about it.

  Attributes:
    image: uint16[h, w].
    breast_mask: bool[h, w], breast and pectoral muscle.
    lesion_mask: bool[h, w], inside the breast; empty without a lesion.
    diagnosis: '' or one of lesions.DIAGNOSES.
  """

  image: np.ndarray
  breast_mask: np.ndarray
  lesion_mask: np.ndarray
  diagnosis: str


def render(
  spec: specs.PhantomSpec,
  woman: int,
  side: str,
  view: str,
  visit_months: float,
) -> Mammogram:
  """Renders one exposure. Right breasts point to the left, as on film.

  Args:
    spec: the phantom women.
    woman: number of the woman, 0 to spec.women - 1.
    side: 'L' or 'R'.
    view: 'CC' or 'MLO'.
    visit_months: months since the first visit.

  Returns:
    Mammogram; the same bits for the same arguments, in any order and process.

  Raises:
    UsageError: a woman, side, view or visit that does not exist.
  """
  _check(spec, woman, side, view, visit_months)
  lasting = projection.maps(spec, woman, side, view)
  shape = anatomy.breast(spec, woman, side).shape
  bright = projection.tissue(spec, woman, side, view, visit_months)
  glow, mark, name = _lesion(spec, woman, side, view, visit_months)
  bright = bright + glow * lasting.breast
  rng = exposure.generator(spec, woman, side, view, visit_months)
  shot = exposure.draw(spec, rng)
  size = anatomy.size_at(shape, visit_months)
  points = exposure.sample_points(spec, shot, size)
  # Outside its reach a breast is cut off, so that the background region
  # never holds a trace of it; this almost never happens.
  breast = exposure.cut(lasting.breast, points) * _room(spec.image_size)
  bright = exposure.cut(bright, points)
  image = exposure.develop(spec, shot, bright, breast, rng)
  breast_mask = breast > 0.5
  lesion_mask = (exposure.cut(mark, points) > 0.5) & breast_mask
  if side == 'R':
    image, breast_mask, lesion_mask = (
      np.ascontiguousarray(part[:, ::-1])
      for part in (image, breast_mask, lesion_mask)
    )
  return Mammogram(image, breast_mask, lesion_mask, name)


def _lesion(
  spec: specs.PhantomSpec, woman: int, side: str, view: str, months: float
) -> tuple[np.ndarray, np.ndarray, str]:
  """Brightness and mask of the lesion on the canvas, and its diagnosis."""
  lesion = lesions.plan(spec.seed, spec.lesion_rate, woman, side)
  name = lesions.diagnosis(lesion, months)
  grid = projection.maps(spec, woman, side, view).grid
  if lesion is None or not name:
    nothing = np.zeros(grid.shape[1:], np.float32)
    return nothing, nothing, ''
  shape = anatomy.breast(spec, woman, side).shape
  place = projection.Frame(spec, shape, view).place(
    np.array([lesion.position])
  )[0]
  glow, mark = lesions.draw(lesion, months, place, grid)
  return glow.astype(np.float32), mark.astype(np.float32), name


@functools.lru_cache(maxsize=4)
def _room(size: int) -> np.ndarray:
  """float32[size, size]: 1 within reach, less the width of the blur."""
  away = exposure.outside_reach(size).astype(np.uint8)
  return 1.0 - cv2.dilate(away, np.ones((5, 5), np.uint8)).astype(np.float32)


def _check(spec, woman, side, view, visit_months) -> None:
  """Refuses images that the spec does not have."""
  if woman not in range(spec.women):
    raise errors.UsageError(
      f'Phantom woman must be 0 to {spec.women - 1}, got {woman!r}.'
    )
  if side not in spec.sides:
    raise errors.unknown('phantom side', side, spec.sides)
  if view not in spec.views:
    raise errors.unknown('phantom view', view, spec.views)
  if visit_months not in spec.visits_months:
    raise errors.UsageError(
      f'Phantom visit_months must be one of {spec.visits_months}, '
      f'got {visit_months!r}.'
    )
