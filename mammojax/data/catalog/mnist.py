"""MNIST: 70,000 handwritten digits of 28 x 28 pixels in ten classes.

Layout: the four idx files `train-images-idx3-ubyte.gz`,
`train-labels-idx1-ubyte.gz`, `t10k-images-idx3-ubyte.gz` and
`t10k-labels-idx1-ubyte.gz`, packed or not, in one folder.

The published split; validation is taken out of training as `idx` says.

Source: http://yann.lecun.com/exdb/mnist.
"""

from collections.abc import Mapping
import pathlib

from mammojax.data.catalog import entry, idx

OPTIONS: Mapping[str, entry.Option] = {'identity': idx.IDENTITY}
TERMS = 'CC BY-SA 3.0; cite LeCun, Bottou, Bengio and Haffner (1998).'
_CLASSES = tuple('0123456789')


def read(root: pathlib.Path, *, identity: str = 'image') -> entry.Entry:
  """The digits of a folder; see the module, `idx` and `entry`.

  Args:
    root: folder of the four files.
    identity: 'image' or 'class'.

  Returns:
    Entry; `diagnosis` is the digit.

  Raises:
    UsageError: another `identity`.
    DataError: files missing, damaged or not fitting together.
  """
  OPTIONS['identity'].check('identity', identity)
  frame, notes = idx.read(root, _CLASSES, identity)
  return entry.make(frame, notes, TERMS)
