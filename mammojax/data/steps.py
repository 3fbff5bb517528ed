"""The steps that a recipe is made of, each from a picture to a picture.

orient       flips images of one laterality left to right
pectoral     blacks out the pectoral muscle of MLO views
breast_crop  blacks out all but the breast (labels, tape) and crops to it
window       stretches percentiles, of the breast where a step looks for it
clahe        evens out contrast part by part
contrast     moves values away from the mean
fit          brings the picture to a square
"""

from collections.abc import Callable
import dataclasses
from typing import Any, NamedTuple

import numpy as np

from mammojax.data import breast, contrast, pectoral, preprocess

_LARGE_MUSCLE = 0.4
DOUBTS = breast.DOUBTS | {
  'no_muscle': 'no edge of a pectoral muscle was found',
  'large_muscle': f'the muscle covers over {_LARGE_MUSCLE:.0%} of the breast',
  'constant': 'all pixels have one value',
}


@dataclasses.dataclass(frozen=True)
class Options:
  """What steps are told.

  Attributes:
    image_size: of fit; height and width in pixels.
    channels: of the result, 1 or 3.
    voi: how DICOM files are read, a mode of `luts`.
    mirror: of orient; the laterality that is flipped, 'L' or 'R'.
    fit: of fit, a mode of `preprocess.fit`.
    resample: of fit, 'area' or 'lanczos'.
    margin: of breast_crop, around the breast, as a share of its longer side.
    window_low: of window, percentile that becomes 0.
    window_high: of window, percentile that becomes 1.
    clahe_clip: of clahe, see `contrast.clahe`.
    clahe_tiles: of clahe, parts an axis.
    contrast_factor: of contrast.
  """

  image_size: int
  channels: int = 1
  voi: str = 'none'
  mirror: str = 'R'
  fit: str = 'pad'
  resample: str = 'area'
  margin: float = 0.02
  window_low: float = 0.5
  window_high: float = 99.5
  clahe_clip: float = 2.0
  clahe_tiles: int = 8
  contrast_factor: float = 1.5


@dataclasses.dataclass(frozen=True)
class Picture:
  """A picture between two steps.

  Attributes:
    image: float32[h, w, c] in [0, 1].
    laterality: 'L', 'R' or ''.
    view: 'CC', 'MLO', ... or ''.
    mask: bool[h, w], the breast; None when nobody asked for it.
    steps_see_mask: whether a step of the recipe asked for it. Somebody else
      who wants a region must not change the pixels.
    doubts: keys of DOUBTS.
  """

  image: np.ndarray
  laterality: str = ''
  view: str = ''
  mask: Any = None
  steps_see_mask: bool = False
  doubts: tuple[str, ...] = ()


class Step(NamedTuple):
  """A step.

  Attributes:
    run: (picture, options) -> picture.
    options: names of the options it reads.
    column: of the table, which no row may leave empty; ''.
    needs_mask: whether the breast must be known.
  """

  run: Callable[[Picture, Options], Picture]
  options: tuple[str, ...] = ()
  column: str = ''
  needs_mask: bool = False


def _orient(picture: Picture, options: Options) -> Picture:
  if picture.laterality != options.mirror:
    return picture
  mask = None if picture.mask is None else picture.mask[:, ::-1]
  # OpenCV takes no array that runs backwards.
  image = np.ascontiguousarray(picture.image[:, ::-1])
  return dataclasses.replace(picture, image=image, mask=mask)


def _pectoral(picture: Picture, options: Options) -> Picture:
  del options
  if picture.view.upper() != 'MLO':
    return picture
  muscle = pectoral.find(picture.image, picture.mask)
  doubts = picture.doubts
  if not muscle.any():
    return dataclasses.replace(picture, doubts=(*doubts, 'no_muscle'))
  if muscle.sum() > _LARGE_MUSCLE * picture.mask.sum():
    doubts = (*doubts, 'large_muscle')
  return dataclasses.replace(
    picture,
    image=np.where(muscle[:, :, None], np.float32(0), picture.image),
    mask=picture.mask & ~muscle,
    doubts=doubts,
  )


def _breast_crop(picture: Picture, options: Options) -> Picture:
  if not picture.mask.any():
    return picture  # The doubt 'empty' says so.
  rows, columns = breast.box(picture.mask, options.margin)
  mask = picture.mask[rows, columns]
  image = picture.image[rows, columns] * mask[:, :, None]
  return dataclasses.replace(picture, image=image, mask=mask)


def _window(picture: Picture, options: Options) -> Picture:
  mask = picture.mask if picture.steps_see_mask else None
  image = contrast.window(
    picture.image, options.window_low, options.window_high, mask
  )
  return dataclasses.replace(picture, image=image)


def _clahe(picture: Picture, options: Options) -> Picture:
  image = contrast.clahe(picture.image, options.clahe_clip, options.clahe_tiles)
  return dataclasses.replace(picture, image=image)


def _contrast(picture: Picture, options: Options) -> Picture:
  image = contrast.scale(picture.image, options.contrast_factor)
  return dataclasses.replace(picture, image=image)


def _fit(picture: Picture, options: Options) -> Picture:
  size, mode = options.image_size, options.fit
  image = preprocess.fit(picture.image, size, mode, resample=options.resample)
  mask = picture.mask
  if mask is not None:
    share = mask.astype(np.float32)[:, :, None]
    mask = preprocess.fit(share, size, mode)[:, :, 0] >= 0.5
  return dataclasses.replace(picture, image=image, mask=mask)


STEPS = {
  'orient': Step(_orient, ('mirror',), column='laterality'),
  'pectoral': Step(_pectoral, column='view', needs_mask=True),
  'breast_crop': Step(_breast_crop, ('margin',), needs_mask=True),
  'window': Step(_window, ('window_low', 'window_high')),
  'clahe': Step(_clahe, ('clahe_clip', 'clahe_tiles')),
  'contrast': Step(_contrast, ('contrast_factor',)),
  'fit': Step(_fit, ('image_size', 'fit', 'resample')),
}
