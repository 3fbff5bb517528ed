"""Every image of a table decoded once: what it is, and a small picture of it.

    frame, store, problems = table.examine('manifest.csv')
    seen = look(frame, store)
    seen.facts['problem']        # '' or why the image cannot be read

Nothing stops at a broken image: it is told among the facts.
"""

from concurrent import futures
import hashlib
from typing import NamedTuple

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import imagefiles, preprocess, readers

# Side of the small pictures in pixels.
SIDE = 128
_LEVELS = 65536
BINS = 256


class Survey(NamedTuple):
  """What was seen, by row of the frame.

  Attributes:
    facts: one row an image; `problem` is '' for those that could be read, and
      the rest is then 'width', 'height', 'channels', 'bits' (as stored),
      'levels' (different values, at most 65,536), 'minimum', 'maximum',
      'mean', 'deviation' (of the values in [0, 1]), 'black' (share of pixels
      at 0) and 'pixels' (hexadecimal SHA-256 of the decoded image: equal for
      equal pictures, however they are stored).
    pictures: uint8[n, 128, 128], grey, stretched to a square and from its
      darkest to its brightest value; zeros for a broken or constant image.
    histogram: int64[256], pixels of all images by value in [0, 1].
  """

  facts: pd.DataFrame
  pictures: np.ndarray
  histogram: np.ndarray


def look(
  frame: pd.DataFrame,
  store: readers.Store,
  *,
  threads: int = 2,
  voi: str = 'none',
  counts_levels: bool = True,
) -> Survey:
  """Decodes every image of a table; one that several rows name only once.

  Args:
    frame: column `path`.
    store: where the paths lead.
    threads: images decoded at once.
    voi: how DICOM files are read, a mode of `luts`.
    counts_levels: False leaves out 'levels', 'mean', 'deviation', 'black' and
      the histogram, which take two thirds of the time and which the search for
      copies does not need.

  Returns:
    Survey.
  """
  files = imagefiles.ImageFiles(store, voi)
  codes, paths = pd.factorize(frame['path'])
  pictures = np.zeros((len(paths), SIDE, SIDE), np.uint8)
  with futures.ThreadPoolExecutor(threads) as pool:
    seen = list(
      pool.map(lambda path: _image(files, path, counts_levels), paths)
    )
  histogram = np.zeros(BINS, np.int64)
  for place, (_, picture, counts) in enumerate(seen):
    if picture is not None:
      pictures[place] = picture
    if counts is not None:
      histogram += counts
  facts = pd.DataFrame([found for found, _, _ in seen])
  return Survey(
    facts.iloc[codes].reset_index(drop=True), pictures[codes], histogram
  )


def is_constant(facts: pd.DataFrame) -> np.ndarray:
  """bool[n]: the images that could be read and are of one value."""
  same = facts['minimum'] == facts['maximum']
  return ((facts['problem'] == '') & same).to_numpy()


def _image(files: imagefiles.ImageFiles, path: str, counts_levels: bool):
  """(facts, picture or None, histogram or None) of one image."""
  try:
    image, bits = files.described(path)
  except errors.DataError as error:
    levels = _NO_LEVELS if counts_levels else {}
    return _NOTHING | levels | {'problem': str(error)}, None, None
  if _is_grey(image):
    image = image[:, :, :1]
  height, width, channels = image.shape
  pixels = hashlib.sha256(f'{width}x{height}x{channels}:'.encode())
  pixels.update(np.ascontiguousarray(image))
  facts = {
    'width': width,
    'height': height,
    'channels': channels,
    'bits': bits,
    'minimum': float(image.min()),
    'maximum': float(image.max()),
    'pixels': pixels.hexdigest(),
    'problem': '',
  }
  if not counts_levels:
    return facts, _picture(image), None
  levels, histogram = _levels(image)
  return facts | levels, _picture(image), histogram


def _is_grey(image: np.ndarray) -> bool:
  """Whether it is grey that was stored as colour."""
  if image.shape[2] != 3:
    return False
  red, green, blue = (image[:, :, channel] for channel in range(3))
  return np.array_equal(red, green) and np.array_equal(green, blue)


def _levels(image: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
  """Facts on the values of an image, and its histogram."""
  levels = np.rint(image * np.float32(_LEVELS - 1)).astype(np.int32)
  counts = np.bincount(levels.ravel(), minlength=_LEVELS)
  facts = {
    'levels': int(np.count_nonzero(counts)),
    'mean': float(image.mean(dtype=np.float64)),
    'deviation': float(image.std(dtype=np.float64)),
    'black': float(counts[0] / levels.size),
  }
  # Integer division puts value v / 65535 in bin v // 256.
  return facts, counts.reshape(BINS, -1).sum(axis=1)


_NOTHING = {
  'width': 0,
  'height': 0,
  'channels': 0,
  'bits': 0,
  'minimum': np.nan,
  'maximum': np.nan,
  'pixels': '',
}
_NO_LEVELS = {
  'levels': 0,
  'mean': np.nan,
  'deviation': np.nan,
  'black': np.nan,
}


def _picture(image: np.ndarray) -> np.ndarray:
  grey = preprocess.fit(preprocess.to_channels(image, 1), SIDE, 'stretch')
  low, high = float(grey.min()), float(grey.max())
  if high <= low:
    return np.zeros((SIDE, SIDE), np.uint8)
  stretched = (grey[:, :, 0] - low) * (255.0 / (high - low))
  return np.rint(stretched).astype(np.uint8)
