"""Which phantom women exist, and how hard their images are to match.

A woman's number fixes her anatomy. Numbers start with the test women, then
the validation women, then the training women, so that asking for more
training women leaves every test image as it was.
"""

import dataclasses
import numbers

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data.phantom import lesions

PHANTOM_VERSION = 2
IDENTITIES = ('woman_side', 'woman')
SIDES = ('L', 'R')
VIEWS = ('CC', 'MLO')
MIN_IMAGE_SIZE = 32
MAX_IMAGE_SIZE = 2048


@dataclasses.dataclass(frozen=True)
class PhantomSpec:
  """Everything a phantom image depends on, besides its row.

  Attributes:
    train_women: number of women in the training split.
    validation_women: number of women in the validation split.
    test_women: number of women in the test split.
    image_size: height and width in pixels.
    sides: sides imaged, from 'L' and 'R'.
    views: projections imaged, from 'CC' and 'MLO'.
    visits_months: months since the first visit, ascending.
    identity: 'woman_side' (each breast is a subject) or 'woman'.
    lesion_rate: share of breasts that grow a lesion at some visit.
    seed: non-negative; another seed draws other women.
    position_shift: largest shift of an exposure, in image widths.
    rotation_degrees: largest rotation of an exposure.
    compression: largest relative stretch of an exposure.
    warp: standard deviation of the smooth non-rigid shift, in image widths.
    contrast: how far gain and gamma of an exposure vary; 0 keeps both at 1.
    noise: largest standard deviation of the noise, white being 1.
    involution: speed at which gland turns to fat, 1 being ordinary.
    view_agreement: correlation of the offsets of one feature from the nipple
      axis towards lateral and towards cranial, in [0, 1]. At 1 the two views
      differ by outline, muscle and exposure alone.
    side_similarity: share of gland lobules mirrored from one side to the
      other, in [0, 1].

  Raises:
    UsageError: for a value outside the ranges above.
  """

  train_women: int = 240
  validation_women: int = 24
  test_women: int = 100
  image_size: int = 128
  sides: tuple[str, ...] = SIDES
  views: tuple[str, ...] = VIEWS
  visits_months: tuple[float, ...] = (0, 12, 24, 36, 48, 72, 96)
  identity: str = 'woman_side'
  lesion_rate: float = 0.3
  seed: int = 0
  position_shift: float = 0.03
  rotation_degrees: float = 8.0
  compression: float = 0.06
  warp: float = 0.007
  contrast: float = 0.6
  noise: float = 0.025
  involution: float = 1.0
  view_agreement: float = 0.9
  side_similarity: float = 0.25

  def __post_init__(self):
    for field in ('sides', 'views', 'visits_months'):
      object.__setattr__(self, field, tuple(getattr(self, field)))
    _check_counts(self)
    _check_choices(self)
    _check_visits(self.visits_months)
    _check_ranges(self)

  @property
  def women(self) -> int:
    """Number of women in all splits."""
    return self.test_women + self.validation_women + self.train_women


def _check_counts(spec: PhantomSpec) -> None:
  """Refuses counts that are not whole numbers in range."""
  bounds = {
    'train_women': (0, 10**6),
    'validation_women': (0, 10**6),
    'test_women': (0, 10**6),
    'image_size': (MIN_IMAGE_SIZE, MAX_IMAGE_SIZE),
    'seed': (0, 2**63 - 1),
  }
  for field, (low, high) in bounds.items():
    value = getattr(spec, field)
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not low <= value <= high:
      raise errors.UsageError(
        f'Phantom {field} must be a whole number from {low} to {high}, '
        f'got {value!r}.'
      )
  if spec.women == 0:
    raise errors.UsageError(
      'Phantom train_women, validation_women and test_women are all 0.'
    )


def _check_choices(spec: PhantomSpec) -> None:
  """Refuses unknown, missing and repeated names."""
  if spec.identity not in IDENTITIES:
    raise errors.unknown('phantom identity', spec.identity, IDENTITIES)
  for field, known in (('sides', SIDES), ('views', VIEWS)):
    values = getattr(spec, field)
    for value in values:
      if value not in known:
        raise errors.unknown(f'phantom {field}', value, known)
    if not values or len(set(values)) < len(values):
      raise errors.UsageError(
        f'Phantom {field} must be distinct and at least one, got {values}.'
      )


def _check_visits(visits: tuple) -> None:
  """Refuses visits that are not ascending months."""
  real = all(isinstance(month, numbers.Real) for month in visits)
  if not visits or not real or not np.all(np.isfinite(visits)):
    raise errors.UsageError(
      f'Phantom visits_months must be numbers, at least one, got {visits}.'
    )
  if visits[0] < 0 or visits[-1] > 600 or np.any(np.diff(visits) <= 0):
    raise errors.UsageError(
      f'Phantom visits_months must ascend within 0 to 600 months, got {visits}.'
    )


def _check_ranges(spec: PhantomSpec) -> None:
  """Refuses difficulty settings for which the geometry breaks down."""
  bounds = {
    'lesion_rate': 1.0,
    'position_shift': 0.1,
    'rotation_degrees': 15.0,
    'compression': 0.2,
    'warp': 0.03,
    'contrast': 2.0,
    'noise': 0.5,
    'involution': 4.0,
    'view_agreement': 1.0,
    'side_similarity': 1.0,
  }
  for field, high in bounds.items():
    value = getattr(spec, field)
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0.0 <= value <= high:
      raise errors.UsageError(
        f'Phantom {field} must lie in [0, {high}], got {value!r}.'
      )


def split_of(spec: PhantomSpec, woman: int) -> str:
  """The split of a woman, by her number alone."""
  if woman < spec.test_women:
    return 'test'
  if woman < spec.test_women + spec.validation_women:
    return 'validation'
  return 'train'


def frame(spec: PhantomSpec) -> pd.DataFrame:
  """The table of all images, one row each.

  Args:
    spec: the phantom women.

  Returns:
    DataFrame with subject, item, visit_months, laterality, view, diagnosis,
    split and woman (the number); ordered by woman, side, view, visit.
  """
  columns: dict[str, list] = {
    'subject': [],
    'item': [],
    'visit_months': [],
    'laterality': [],
    'view': [],
    'diagnosis': [],
    'split': [],
    'woman': [],
  }
  for woman in range(spec.women):
    for side in spec.sides:
      lesion = lesions.plan(spec.seed, spec.lesion_rate, woman, side)
      for view in spec.views:
        for months in spec.visits_months:
          breast = f'woman{woman:04d}-{side}'
          whole = spec.identity == 'woman'
          columns['subject'].append(breast[:-2] if whole else breast)
          columns['item'].append(f'{breast}-{view}-{months:03g}')
          columns['visit_months'].append(float(months))
          columns['laterality'].append(side)
          columns['view'].append(view)
          columns['diagnosis'].append(lesions.diagnosis(lesion, months))
          columns['split'].append(split_of(spec, woman))
          columns['woman'].append(woman)
  return pd.DataFrame(columns)
