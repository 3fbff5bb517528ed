"""Two images of a subject as one: for networks that judge pairs.

    pairs = Pairs(images)
    pairs.images(np.array([0]))     # float32[1, h, w, 2 c]

The first and second image of a subject, in the order of the table, are a pair,
so are the third and fourth, and so on. One row is one pair: its channels are
those of the first image, then those of the second.
"""

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import imageset

_SHOWN = 5
# What both images of a pair must say alike.
_COMMON = ('split', 'diagnosis')


class Pairs:
  """An ImageSet of the pairs of another one.

  Attributes:
    frame: one row a pair: that of its second image.
    image_size: of the set beneath.
    channels: twice those of the set beneath.
  """

  def __init__(self, images: imageset.ImageSet):
    """Finds the pairs; reads no image.

    Args:
      images: the set beneath.

    Raises:
      DataError: a subject with an odd number of images, or a pair whose images
        differ in split or diagnosis.
    """
    self._images = images
    self._first, self._second = _pairs(images.frame)
    self.frame = images.frame.iloc[self._second].reset_index(drop=True)
    self.image_size = images.image_size
    self.channels = 2 * images.channels

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """See `ImageSet.images`; float32[n, h, w, 2 c]."""
    rows = np.asarray(rows, np.int64)
    halves = [
      self._images.images(side[rows], region)
      for side in (self._first, self._second)
    ]
    return np.concatenate(halves, axis=-1)


def _pairs(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
  """Rows of the first and of the second images, int64[n] each."""
  place = frame.groupby('subject', sort=False).cumcount()
  counts = frame['subject'].map(frame['subject'].value_counts())
  odd = frame.loc[counts % 2 == 1, 'subject'].unique().tolist()
  if odd:
    raise errors.DataError(
      f'{len(odd)} subjects have an odd number of images (such as '
      f'{", ".join(map(repr, odd[:_SHOWN]))}), and pairs are wanted: the first '
      'and second image of a subject, the third and fourth. See model.head.'
    )
  order = np.lexsort((place.to_numpy(), pd.factorize(frame['subject'])[0]))
  first, second = order[0::2], order[1::2]
  for name in _COMMON:
    values = frame[name].to_numpy()
    torn = np.flatnonzero(values[first] != values[second])
    if len(torn):
      items = frame['item'].iloc[first[torn[:_SHOWN]]].tolist()
      raise errors.DataError(
        f'{len(torn)} pairs have images that differ in {name} (items {items} '
        'and those behind them); both images of a pair need the same.'
      )
  return first, second
