"""Images and labels in the four idx files of MNIST, made up."""

import gzip
import struct

import numpy as np


def packed(array):
  """The bytes of an idx file."""
  head = struct.pack(f'>BBBB{array.ndim}I', 0, 0, 8, array.ndim, *array.shape)
  return head + array.tobytes()


def write(root, rng, *, counts=(40, 20), shape=(4, 5), gz=True, mark='-'):
  """Random images of random classes; returns all pixels and labels.

  With images of 28 px or more a bright spot tells the class.
  """
  pixels, labels = [], []
  for prefix, count in zip(('train', 't10k'), counts, strict=True):
    images = rng.integers(0, 256, (count, *shape), np.uint8)
    classes = rng.integers(0, 10, count, np.uint8)
    if min(shape) >= 28:
      images //= 4
      for image, name in zip(images, classes, strict=True):
        row, column = divmod(int(name), 4)
        image[7 * row + 2 : 7 * row + 7, 7 * column : 7 * column + 5] = 255
    for kind, array in (('images', images), ('labels', classes)):
      data = packed(array)
      name = f'{prefix}-{kind}{mark}idx{array.ndim}-ubyte'
      path = root / (name + '.gz' * gz)
      path.write_bytes(gzip.compress(data) if gz else data)
    pixels.extend(images)
    labels.extend(classes.tolist())
  return pixels, labels
