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
  frame: pd.DataFrame, store: readers.Store, *, threads: int = 2
) -> Survey:
  """Decodes every image of a table; one that several rows name only once.

  Args:
    frame: column `path`.
    store: where the paths lead.
    threads: images decoded at once.

  Returns:
    Survey.
  """
  files = imagefiles.ImageFiles(store)
  codes, paths = pd.factorize(frame['path'])
  pictures = np.zeros((len(paths), SIDE, SIDE), np.uint8)
  with futures.ThreadPoolExecutor(threads) as pool:
    seen = list(pool.map(lambda path: _image(files, path), paths))
  histogram = np.zeros(BINS, np.int64)
  for place, (_, picture, counts) in enumerate(seen):
    if picture is not None:
      pictures[place] = picture
      histogram += counts
  facts = pd.DataFrame([found for found, _, _ in seen])
  return Survey(
    facts.iloc[codes].reset_index(drop=True), pictures[codes], histogram
  )


def is_constant(facts: pd.DataFrame) -> np.ndarray:
  """bool[n]: the images that could be read and are of one value."""
  same = facts['minimum'] == facts['maximum']
  return ((facts['problem'] == '') & same).to_numpy()


def _image(files: imagefiles.ImageFiles, path: str):
  """(facts, picture or None, histogram or None) of one image."""
  try:
    image, bits = files.described(path)
  except errors.DataError as error:
    return dict(_NOTHING, problem=str(error)), None, None
  if image.shape[2] == 3 and not np.ptp(image, axis=2).any():
    image = image[:, :, :1]  # grey that was stored as colour
  height, width, channels = image.shape
  levels = np.rint(image * np.float32(_LEVELS - 1)).astype(np.int32)
  counts = np.bincount(levels.ravel(), minlength=_LEVELS)
  text = f'{width}x{height}x{channels}:'.encode()
  facts = {
    'width': width,
    'height': height,
    'channels': channels,
    'bits': bits,
    'levels': int(np.count_nonzero(counts)),
    'minimum': float(image.min()),
    'maximum': float(image.max()),
    'mean': float(image.mean(dtype=np.float64)),
    'deviation': float(image.std(dtype=np.float64)),
    'black': float(counts[0] / levels.size),
    'pixels': hashlib.sha256(text + image.tobytes()).hexdigest(),
    'problem': '',
  }
  # Integer division puts value v / 65535 in bin v // 256.
  return facts, _picture(image), counts.reshape(BINS, -1).sum(axis=1)


_NOTHING = {
  'width': 0,
  'height': 0,
  'channels': 0,
  'bits': 0,
  'levels': 0,
  'minimum': np.nan,
  'maximum': np.nan,
  'mean': np.nan,
  'deviation': np.nan,
  'black': np.nan,
  'pixels': '',
}


def _picture(image: np.ndarray) -> np.ndarray:
  grey = preprocess.fit(preprocess.to_channels(image, 1), SIDE, 'stretch')
  low, high = float(grey.min()), float(grey.max())
  if high <= low:
    return np.zeros((SIDE, SIDE), np.uint8)
  stretched = (grey[:, :, 0] - low) * (255.0 / (high - low))
  return np.rint(stretched).astype(np.uint8)
