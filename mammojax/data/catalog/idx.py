"""Images and labels in four idx files, as MNIST and its likes come.

frame, note = read(root, classes=('zero', 'one'), identity='image')

The files may be packed by gzip, and `-idx` may be spelt `.idx`, as some copies
do. Rows are in the order of the files, training first.
"""

import pathlib

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import stacks
from mammojax.data.catalog import entry, published

IDENTITY = entry.Option(
  'image',
  ('image', 'class'),
  'Whether every image is its own subject, or a class of a split is one.',
)
_PARTS = {'train': 'train', 't10k': 'test'}


def read(
  root: pathlib.Path, classes: tuple[str, ...], identity: str
) -> tuple[pd.DataFrame, list[str]]:
  """The table of four idx files.

  Args:
    root: folder of the files.
    classes: name of each label.
    identity: 'image' or 'class'.

  Returns:
    (frame for `entry.make`; notes).

  Raises:
    DataError: a file missing or damaged, other counts of labels than of
      images, or a label beyond the classes.
  """
  parts = [_part(root, prefix, classes) for prefix in _PARTS]
  frame = pd.concat(parts, ignore_index=True)
  # By image, so that both identities validate on the same images.
  frame, _ = entry.with_validation(frame.assign(subject=frame['item']))
  counts = frame['split'].value_counts()
  notes = [
    f'No validation split is published: {counts["validation"]} of'
    f' {counts["validation"] + counts["train"]} training images were taken for'
    ' it, by a hash of the image.'
  ]
  if identity == 'class':
    frame['subject'] = frame['split'] + ' ' + frame['diagnosis']
    notes.append(
      'A subject is a class within its split: what is matched are images of'
      ' one class, and no subject is in two splits.'
    )
  return frame, notes


def _part(
  root: pathlib.Path, prefix: str, classes: tuple[str, ...]
) -> pd.DataFrame:
  """The rows of one pair of files."""
  images = _find(root, prefix, 'images', 3)
  labels = _find(root, prefix, 'labels', 1)
  count = len(stacks.open_idx(images.read_bytes(), images.name))
  values = stacks.open_idx(labels.read_bytes(), labels.name, (1,))
  if len(values) != count:
    raise errors.DataError(
      f'{images.name!r} holds {count} images, {labels.name!r} {len(values)}'
      ' labels; they do not belong together.'
    )
  if values.max(initial=0) >= len(classes):
    row = int(np.argmax(values))
    raise errors.DataError(
      f'{labels.name!r}: label {row} is {values[row]}, beyond the'
      f' {len(classes)} classes.'
    )
  return pd.DataFrame(
    {
      'path': [f'{images.name}#{index}' for index in range(count)],
      'item': [f'{_PARTS[prefix]}-{index}' for index in range(count)],
      'diagnosis': [classes[value] for value in values],
      'split': _PARTS[prefix],
    }
  )


def _find(
  root: pathlib.Path, prefix: str, kind: str, axes: int
) -> pathlib.Path:
  names = [
    f'{prefix}-{kind}{mark}idx{axes}-ubyte{packed}'
    for mark in '-.'
    for packed in ('.gz', '')
  ]
  return published.find(root, names)
