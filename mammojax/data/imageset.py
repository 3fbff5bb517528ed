"""What training and evaluation ask of a set of images."""

from typing import Protocol

import numpy as np
import pandas as pd

REGIONS = ('all', 'breast', 'background')


class ImageSet(Protocol):
  """Images that lie in memory, in files or in a formula, by row of a table.

  Attributes:
    frame: one row an image, with the columns of `mammojax.data.table`.
    image_size: height and width of every image in pixels.
    channels: 1 for grey, 3 for colour.
  """

  frame: pd.DataFrame
  image_size: int
  channels: int

  def images(self, rows: np.ndarray, region: str = 'all') -> np.ndarray:
    """Reads images.

    Args:
      rows: int64[n], positions in `frame`.
      region: 'all'; 'breast' sets everything outside the breast to zero;
        'background' sets the breast to zero.

    Returns:
      float32[n, image_size, image_size, channels] in [0, 1].

    Raises:
      DataError: a file that cannot be read, or a region this set lacks.
    """
    ...
