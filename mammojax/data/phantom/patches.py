"""Patches of phantoms in pairs: the arrays that cbis_npy of the catalog reads.

    found = patches.arrays(patches.Spec(train=400, test=100))
    found['train_tensor.npy']       # uint16[800, 150, 150]

Even places hold healthy tissue, label 0, the odd place after it the lesion of
the same breast: 1 benign mass, 2 malignant mass, 3 benign calcification, 4
malignant calcification. A breast makes one pair; no woman is in both sets.

Source: the layout of `mammojax.data.catalog.cbis_npy`.
"""

import dataclasses

import cv2
import numpy as np

from mammojax import errors
from mammojax.data.phantom import draws, lesions, rendering
from mammojax.data.phantom import spec as specs

NAMES = ('train', 'public_test')
FILES = tuple(
  f'{name}_{what}.npy' for name in NAMES for what in ('tensor', 'labels')
)
CODES = {name: code for code, name in enumerate(lesions.DIAGNOSES, start=1)}
# A patch shows this share of the width of a mammogram.
_SHARE = 150 / 512
# Every lesion can be seen by then.
_MONTHS = 96
# Places tried for healthy tissue; the best of them is taken.
_TRIES = 200
# Lesions that the outline of the breast cuts off; almost none.
_LEAST_PIXELS = 4
MAX_SIZE = 512


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which patches.

  Attributes:
    train: pairs to train on.
    test: pairs to test on.
    size: height and width of a patch in pixels.
    seed: another seed draws other women.

  Raises:
    UsageError: a number out of its range.
  """

  train: int = 400
  test: int = 100
  size: int = 150
  seed: int = 0

  def __post_init__(self):
    for field, least, most in (
      ('train', 1, 10**5),
      ('test', 1, 10**5),
      ('size', 16, MAX_SIZE),
      ('seed', 0, 2**31),
    ):
      value = getattr(self, field)
      if not least <= value <= most:
        raise errors.UsageError(
          f'{field} must be {least} to {most}, got {value}.'
        )


def arrays(spec: Spec) -> dict[str, np.ndarray]:
  """Draws the patches.

  Args:
    spec: which.

  Returns:
    File name -> array: `<name>_tensor.npy` uint16[2 n, size, size] and
    `<name>_labels.npy` uint8[2 n] for the NAMES. The same spec gives the same
    bits. A pair takes 0.4 s at 150 pixels.
  """
  # Women of the test come first, each with two breasts.
  women = [(spec.test + 1) // 2, (spec.train + 1) // 2]
  drawn = specs.PhantomSpec(
    train_women=women[1],
    validation_women=0,
    test_women=women[0],
    image_size=round(spec.size / _SHARE),
    visits_months=(0, _MONTHS),
    lesion_rate=1.0,
    seed=spec.seed,
  )
  breasts = [
    (woman, side) for woman in range(drawn.women) for side in specs.SIDES
  ]
  parts = {
    'public_test': breasts[: spec.test],
    'train': breasts[2 * women[0] :][: spec.train],
  }
  found = {}
  threads = cv2.getNumThreads()
  cv2.setNumThreads(1)
  try:
    for name in NAMES:
      pairs = [_pair(drawn, spec.size, *breast) for breast in parts[name]]
      images = [
        image for healthy, lesion, _ in pairs for image in (healthy, lesion)
      ]
      labels = [label for _, _, code in pairs for label in (0, code)]
      found[f'{name}_tensor.npy'] = np.stack(images)
      found[f'{name}_labels.npy'] = np.array(labels, np.uint8)
  finally:
    cv2.setNumThreads(threads)
  return found


def _pair(
  drawn: specs.PhantomSpec, size: int, woman: int, side: str
) -> tuple[np.ndarray, np.ndarray, int]:
  """(healthy patch, patch of the lesion, label) of a breast."""
  views = list(specs.VIEWS)
  if (woman + specs.SIDES.index(side)) % 2:
    views.reverse()
  for view in views:
    shot = rendering.render(drawn, woman, side, view, _MONTHS)
    if shot.lesion_mask.sum() >= _LEAST_PIXELS:
      break
  else:
    raise errors.DataError(
      f'The lesion of woman {woman}, side {side}, lies outside both views; '
      'choose another seed.'
    )
  rng = draws.generator(drawn.seed, 'patch', woman, draws.SIDE_NUMBERS[side])
  rows, columns = np.nonzero(shot.lesion_mask)
  # The lesion lies somewhere near the middle, as where a box was drawn.
  offset = rng.uniform(-0.1, 0.1, 2) * size
  corner = _corner(
    (rows.mean() + offset[0], columns.mean() + offset[1]), size, shot.image
  )
  healthy = _healthy(shot, corner, size, rng)
  return (
    _cut(shot.image, healthy, size),
    _cut(shot.image, corner, size),
    CODES[shot.diagnosis],
  )


def _healthy(shot, lesion_corner, size: int, rng) -> tuple[int, int]:
  """Corner of a patch without lesion, with as much breast in it as its like."""
  wanted = _cut(shot.breast_mask, lesion_corner, size).mean()
  rows, columns = np.nonzero(shot.breast_mask)
  best, least = None, np.inf
  for place in rng.integers(len(rows), size=_TRIES):
    corner = _corner((rows[place], columns[place]), size, shot.image)
    if _cut(shot.lesion_mask, corner, size).any():
      continue
    miss = abs(_cut(shot.breast_mask, corner, size).mean() - wanted)
    if miss < least:
      best, least = corner, miss
  if best is None:
    raise errors.DataError(
      'A phantom breast has no room for a healthy patch; choose another seed.'
    )
  return best


def _corner(centre, size: int, image: np.ndarray) -> tuple[int, int]:
  """Upper left corner of a patch around a place, inside the image."""
  row, column = (
    int(np.clip(round(float(at) - size / 2), 0, length - size))
    for at, length in zip(centre, image.shape, strict=True)
  )
  return row, column


def _cut(image: np.ndarray, corner: tuple[int, int], size: int) -> np.ndarray:
  row, column = corner
  return image[row : row + size, column : column + size]
