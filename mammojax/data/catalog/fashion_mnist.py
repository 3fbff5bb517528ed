"""Fashion-MNIST: 70,000 articles of clothing of 28 x 28 pixels, ten classes.

Layout: the four idx files of MNIST, under the same names.

The published split; validation is taken out of training as `idx` says.

Source: https://github.com/zalandoresearch/fashion-mnist, section Labels.
"""

from collections.abc import Mapping
import pathlib

from mammojax.data.catalog import entry, idx

OPTIONS: Mapping[str, entry.Option] = {'identity': idx.IDENTITY}
TERMS = 'MIT; cite Xiao, Rasul and Vollgraf (2017), arXiv:1708.07747.'
_CLASSES = (
  'T-shirt/top',
  'Trouser',
  'Pullover',
  'Dress',
  'Coat',
  'Sandal',
  'Shirt',
  'Sneaker',
  'Bag',
  'Ankle boot',
)


def read(root: pathlib.Path, *, identity: str = 'image') -> entry.Entry:
  """The articles of a folder; see the module, `idx` and `entry`.

  Args:
    root: folder of the four files.
    identity: 'image' or 'class'.

  Returns:
    Entry; `diagnosis` is the name of the class.

  Raises:
    UsageError: another `identity`.
    DataError: files missing, damaged or not fitting together.
  """
  OPTIONS['identity'].check('identity', identity)
  frame, notes = idx.read(root, _CLASSES, identity)
  return entry.make(frame, notes, TERMS)
