"""Pictures as their files hold them, and after each step of a config."""

from typing import Any

import ml_collections

from mammojax.data import phantom, steps
from mammojax.training import inputs


class Originals:
  """Rows of a table, or of phantoms, step by step."""

  def __init__(self, config: ml_collections.ConfigDict, preload: bool = False):
    """Checks config and table.

    Args:
      config: of a run.
      preload: go through all images, so that `in_doubt` knows them.

    Raises:
      UsageError, DataError, IntegrityError: see `inputs.image_set`.
    """
    self._recipe = inputs.recipe(config)
    config = ml_collections.ConfigDict(config)
    # Nothing is trained on or tested, so no fold need be named.
    config.data.num_folds = 0
    # Prepared images have passed all steps.
    config.data.prepared, config.data.prepared_depth = '', 'uint16'
    if config.data.source == 'phantom':
      # Phantoms take their only step when they are read.
      config.data.steps = ('fit',)
    self._images: Any = inputs.image_set(config, preload=preload)
    self._frame = self._images.frame
    self._recipe.check(self._frame)

  def __len__(self) -> int:
    return len(self._frame)

  def numbers(self) -> list[int]:
    """The number of each row, as messages count them."""
    return self._frame.get('row', self._frame.index.to_series()).tolist()

  def in_doubt(self) -> list[int]:
    """Positions of the images in doubt among those read so far."""
    if isinstance(self._images, phantom.PhantomImages):
      return []
    return sorted(self._images.doubts)

  def walk(
    self, row: int
  ) -> tuple[list[tuple[str, steps.Picture]], tuple[str, ...], str]:
    """One image, step by step.

    Args:
      row: position in the table.

    Returns:
      ((step, picture) from 'read' on, keys of `steps.DOUBTS`, repr of the
      item).

    Raises:
      DataError: it cannot be read.
    """
    if isinstance(self._images, phantom.PhantomImages):
      image = self._images.images([row])[0]
    else:
      image = self._images.file(row)
    about = self._frame.iloc[row]
    given = image, about.get('laterality', ''), about.get('view', '')
    pictures = list(self._recipe.walk(*given))
    doubts = self._recipe.run(*given).doubts
    return pictures, doubts, repr(str(about['item']))
