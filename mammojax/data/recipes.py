"""What is done to a picture before the network sees it, as named steps.

    recipe = Recipe(('orient', 'fit'), image_size=128, mirror='R')
    recipe.check(frame)                       # every row has what steps need
    done = recipe.run(image, laterality='R')
    done.image                                # float32[128, 128, 1] in [0, 1]
    done.doubts                               # such as ('small',)
    recipe.record(), recipe.identity          # for the record of a run

Steps, of `steps`, run in the order in which they are named; one is `fit`. The
breast is looked for once, in the picture as it was read, so every step and
every region sees the same mask.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import breast, luts, preprocess, records, steps

# Changes whenever a step gives other pixels for the same options.
VERSION = 1
_SIDES = ('L', 'R')


class Recipe:
  """Steps and their options, checked.

  Attributes:
    names: of the steps, in order.
    options: `steps.Options`.
  """

  def __init__(self, names: Sequence[str], **options: Any):
    """Checks everything and does nothing yet.

    Args:
      names: keys of `steps.STEPS`.
      **options: fields of `steps.Options`.

    Raises:
      UsageError: an unknown or repeated step, no fit, or an option that does
        not exist or is out of its range.
    """
    for name in names:
      if name not in steps.STEPS:
        raise errors.unknown('step of data.steps', name, steps.STEPS)
    repeated = sorted({name for name in names if list(names).count(name) > 1})
    if repeated or 'fit' not in names:
      what = f'names {repeated} twice' if repeated else "lacks 'fit'"
      raise errors.UsageError(
        f"data.steps={tuple(names)!r} {what}; each step runs once, and 'fit',"
        ' which makes the square, is one of them.'
      )
    self.names = tuple(names)
    self.options = steps.Options(**options)
    _check_options(self.names, self.options)

  @property
  def needs_mask(self) -> bool:
    """Whether a step looks for the breast."""
    return any(steps.STEPS[name].needs_mask for name in self.names)

  def check(self, frame: pd.DataFrame) -> None:
    """Looks for rows that lack what a step goes by.

    Args:
      frame: of `table`, or of phantoms.

    Raises:
      DataError: listing them.
    """
    for name in self.names:
      column = steps.STEPS[name].column
      if not column:
        continue
      is_there = column in frame and bool((frame[column] != '').all())
      if is_there:
        continue
      lacking = frame[frame[column] == ''] if column in frame else frame
      rows = lacking.get('row', lacking.index)
      lines = [
        f'  row {row}: {item!r}'
        for row, item in zip(rows, lacking['item'], strict=True)
      ]
      raise errors.DataError(
        f'The step {name!r} of data.steps goes by the {column}, which'
        f' {len(lines)} of {len(frame)} images lack:\n'
        f'{records.shorten(lines)}\n'
        f'Fill in the column, or leave {name!r} out, for example'
        f' data.steps={tuple(n for n in self.names if n != name)!r}.'
      )

  def walk(
    self,
    image: np.ndarray,
    laterality: str = '',
    view: str = '',
    with_mask: bool = False,
  ) -> Iterator[tuple[str, steps.Picture]]:
    """The picture as it was read, then after each step.

    Args:
      image: float32[h, w, 1 or 3] in [0, 1].
      laterality: 'L', 'R' or ''.
      view: 'CC', 'MLO', ... or ''.
      with_mask: look for the breast even if no step needs it.

    Yields:
      ('read', Picture), then (name, Picture).
    """
    # Colour to grey first: it is a third of the work. Grey to colour last.
    if self.options.channels == 1:
      image = preprocess.to_channels(image, 1)
    picture = steps.Picture(
      image, laterality, view, steps_see_mask=self.needs_mask
    )
    if self.needs_mask or with_mask:
      mask, doubts = breast.find(image)
      doubts = doubts if self.needs_mask else ()
      picture = dataclasses.replace(picture, mask=mask, doubts=doubts)
    yield 'read', picture
    for name in self.names:
      picture = steps.STEPS[name].run(picture, self.options)
      yield name, picture

  def run(
    self,
    image: np.ndarray,
    laterality: str = '',
    view: str = '',
    with_mask: bool = False,
  ) -> steps.Picture:
    """The picture after the last step.

    Args:
      image: see `walk`.
      laterality: see `walk`.
      view: see `walk`.
      with_mask: see `walk`.

    Returns:
      Picture, float32[image_size, image_size, channels].
    """
    *_, (_, picture) = self.walk(image, laterality, view, with_mask)
    image, doubts = picture.image, picture.doubts
    if image.min() == image.max():
      doubts = (*doubts, 'constant')
    image = preprocess.to_channels(image, self.options.channels)
    return dataclasses.replace(picture, image=image, doubts=doubts)

  def record(self) -> list[dict[str, Any]]:
    """Every step with its options, as JSON holds them."""
    values = dataclasses.asdict(self.options)
    return [
      {'step': 'read', 'version': VERSION, 'voi': values['voi']},
      {'step': 'channels', 'channels': values['channels']},
      *(
        {'step': name}
        | {option: values[option] for option in steps.STEPS[name].options}
        for name in self.names
      ),
    ]

  @property
  def identity(self) -> str:
    """sha256 of the record: equal where the pixels are prepared alike."""
    text = json.dumps(self.record(), sort_keys=True, separators=(',', ':'))
    return hashlib.sha256(text.encode()).hexdigest()


def _check_options(names: tuple[str, ...], options: steps.Options) -> None:
  """Refuses what no step could work with."""
  choices = [
    ('data.voi', options.voi, luts.MODES),
    ('data.fit', options.fit, preprocess.MODES),
    ('data.preprocess.resample', options.resample, preprocess.RESAMPLES),
  ]
  if 'orient' in names:
    choices.append(('data.mirror', options.mirror, _SIDES))
  for field, value, known in choices:
    if value not in known:
      raise errors.unknown(field, value, known)
  ranges = [
    ('image_size', 'at least 1', options.image_size >= 1),
    ('channels', '1 or 3', options.channels in (1, 3)),
    ('margin', '0 to 1', 0 <= options.margin <= 1),
    ('window_low', '0 to 100', 0 <= options.window_low <= 100),
    (
      'window_high',
      'above window_low and at most 100',
      options.window_low < options.window_high <= 100,
    ),
    ('clahe_clip', 'above 0 and at most 256', 0 < options.clahe_clip <= 256),
    ('clahe_tiles', '1 to 64', 1 <= options.clahe_tiles <= 64),
    ('contrast_factor', '0 to 100', 0 <= options.contrast_factor <= 100),
  ]
  for name, wanted, is_fine in ranges:
    if not is_fine:
      value = getattr(options, name)
      raise errors.UsageError(f'{name} is {value}; it must be {wanted}.')
