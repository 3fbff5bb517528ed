"""Small pictures of a table's images for a page.

pictures = Thumbnails(store)
uri = pictures.uri('a/1.png')     # data:image/png;base64,...
"""

import numpy as np

from mammojax import errors
from mammojax.data import imagefiles, preprocess, readers
from mammojax.report import examples


class Thumbnails:
  """Reads an image again and shows it small; a broken one is no picture."""

  def __init__(self, store: readers.Store, side: int = 128, voi: str = 'none'):
    """Reads nothing yet.

    Args:
      store: where the paths lead.
      side: height and width in pixels; the picture keeps its shape.
      voi: how DICOM files are read, a mode of `data.luts`.
    """
    self._files = imagefiles.ImageFiles(store, voi)
    self._side = side

  def uri(self, path: str) -> str:
    """A data URI of a PNG.

    Args:
      path: as in a table.

    Returns:
      '' for an image that cannot be read.
    """
    try:
      image = self._files.image(path)
    except errors.DataError:
      return ''
    image = _stretched(preprocess.fit(image, self._side, 'pad'))
    return examples.data_uri(np.rint(image * 255.0).astype(np.uint8))


def _stretched(image: np.ndarray) -> np.ndarray:
  """A dim image up to full brightness: 12 bit in 16 would look black."""
  top = float(image.max())
  return image / top if top > 0 else image
