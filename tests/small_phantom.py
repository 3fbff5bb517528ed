"""Two small phantoms that several tests share."""

import functools

from mammojax.data import phantom

SMALL = phantom.PhantomSpec(
  train_women=3,
  validation_women=1,
  test_women=2,
  image_size=64,
  visits_months=(0, 48, 96),
  lesion_rate=1.0,
)
TINY = phantom.PhantomSpec(
  train_women=1,
  validation_women=0,
  test_women=1,
  image_size=32,
  visits_months=(0, 12),
)


@functools.cache
def images():
  """The images of SMALL, rendered once."""
  return phantom.PhantomImages(SMALL, workers=1)


def keys(spec):
  """(woman, side, view, months) of every image of the first two women."""
  return [
    (woman, side, view, months)
    for woman in range(2)
    for side in spec.sides
    for view in spec.views
    for months in spec.visits_months
  ]
