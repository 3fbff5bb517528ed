"""CBIS-DDSM patches as NumPy arrays: healthy and abnormal tissue by turns.

Layout: `train_tensor.npy` [n, h, w] with `train_labels.npy` [n], and
`public_test_tensor.npy` with `public_test_labels.npy`; other names are given
as options. Even places hold healthy tissue, label 0, the odd place after it an
abnormality of the same case: 1 benign mass, 2 malignant mass, 3 benign
calcification, 4 malignant calcification.

Three tasks: `mass_calcification` and `benign_malignant` take the abnormal
patches; `pairs` takes both, joined by the column `pair`, each with the
diagnosis of its pair. The arrays stay where they are and are mapped into
memory: a path is `train_tensor.npy#17`.

Source: A. Acquavia, M. Mazzini (2021), Convolutional neural network for medical
imaging analysis, section 3; https://github.com/leoll2/MedicalCNN.
"""

from collections.abc import Mapping
import pathlib

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import records, stacks
from mammojax.data.catalog import entry, published

OPTIONS: Mapping[str, entry.Option] = {
  'task': entry.Option(
    'mass_calcification',
    ('mass_calcification', 'benign_malignant', 'pairs'),
    'Which of the three data sets to make.',
  ),
  'train_images': entry.Option('train_tensor.npy', (), 'Patches to train on.'),
  'train_labels': entry.Option('train_labels.npy', (), 'Their labels.'),
  'test_images': entry.Option(
    'public_test_tensor.npy', (), 'Patches to test on; empty for none.'
  ),
  'test_labels': entry.Option('public_test_labels.npy', (), 'Their labels.'),
}
TERMS = (
  'Made of CBIS-DDSM, CC BY 3.0: cite R. Sawyer-Lee et al. (2016), doi:'
  '10.7937/K9/TCIA.2016.7O02S9CY; identifying participants is forbidden.'
)
_KIND = {1: 'mass', 2: 'mass', 3: 'calcification', 4: 'calcification'}
_PATHOLOGY = {1: 'benign', 2: 'malignant', 3: 'benign', 4: 'malignant'}
# The source takes a fifth of the training patches to choose by.
_ONE_IN = 5


def read(
  root: pathlib.Path,
  *,
  task: str = 'mass_calcification',
  train_images: str = 'train_tensor.npy',
  train_labels: str = 'train_labels.npy',
  test_images: str = 'public_test_tensor.npy',
  test_labels: str = 'public_test_labels.npy',
) -> entry.Entry:
  """The patches of a folder; see the module and `entry`.

  Args:
    root: folder of the arrays.
    task: 'mass_calcification', 'benign_malignant' or 'pairs'.
    train_images: file of the patches to train on.
    train_labels: file of their labels.
    test_images: file of the patches to test on; '' leaves them out.
    test_labels: file of their labels.

  Returns:
    Entry; extra columns pair, patch ('baseline' or 'abnormality'), label.

  Raises:
    UsageError: another `task`.
    DataError: a missing or damaged file, arrays that do not fit, an odd
      length, or labels at places where they cannot be.

  Differs: the source draws the fifth for validation at random; here it falls by
    a hash of the pair.
  """
  OPTIONS['task'].check('task', task)
  parts = [_pairs(root, 'train', train_images, train_labels)]
  if test_images:
    parts.append(_pairs(root, 'test', test_images, test_labels))
  frame = pd.concat(parts, ignore_index=True)
  codes = frame['code']
  names = _PATHOLOGY if task == 'benign_malignant' else _KIND
  frame['diagnosis'] = codes.map(names)
  total = len(frame)
  if task != 'pairs':
    frame = frame[frame['patch'] == 'abnormality']
  frame, validation = entry.with_validation(frame.drop(columns='code'), _ONE_IN)
  left = total - len(frame)
  notes = [
    f'{left} healthy patches were left out.'
    if left
    else f'{total // 2} pairs of a healthy patch and an abnormality.',
    'The arrays carry no patient: the subject is the pair. Patches of one woman'
    ' may be in training and in test, so scores are no better than that.',
    *([] if test_images else ['No test patches were given.']),
    validation,
  ]
  return entry.make(frame, notes, TERMS)


def _pairs(
  root: pathlib.Path, split: str, images: str, labels: str
) -> pd.DataFrame:
  """Every patch of one file; `code` is the label of its pair."""
  published.require(root, [images, labels])
  patches = stacks.open_npy(images, root / images)
  numbers = stacks.open_npy(labels, root / labels)
  stacks.ArrayStack(patches, images).image(0)  # refuses what is no image
  codes = _checked(numbers, len(patches), images, labels)
  count = len(codes) // 2
  width = len(str(count - 1))
  pair = np.repeat([f'{split}-{i:0{width}}' for i in range(count)], 2)
  return pd.DataFrame(
    {
      'path': [f'{images}#{place}' for place in range(len(codes))],
      'subject': pair,
      'split': split,
      'pair': pair,
      'patch': ['baseline', 'abnormality'] * count,
      'label': [str(code) for code in codes],
      'code': np.repeat(codes[1::2], 2),
    }
  )


def _checked(
  numbers: np.ndarray, count: int, images: str, labels: str
) -> np.ndarray:
  """The labels as int64; refuses those that break the order of pairs."""
  if numbers.ndim == 2 and numbers.shape[1] == 1:
    numbers = numbers[:, 0]
  if numbers.ndim != 1 or len(numbers) != count:
    raise errors.DataError(
      f'{labels!r} of shape {numbers.shape} does not fit the {count} patches of'
      f' {images!r}: one label a patch is needed.'
    )
  if numbers.dtype.kind not in 'iuf':
    raise errors.DataError(
      f'{labels!r}: labels of type {numbers.dtype}; 0 to 4 are wanted.'
    )
  if count % 2:
    raise errors.DataError(
      f'{images!r} holds {count} patches, an odd number: the last has no'
      ' partner. Fetch it again.'
    )
  places = np.arange(count)
  is_known = np.isin(numbers, np.arange(5))
  is_wrong = ~is_known | ((places % 2 == 0) != (numbers == 0))
  if is_wrong.any():
    lines = [
      f'  index {place} ({"odd" if place % 2 else "even"}): label'
      f' {numbers[place]}'
      for place in places[is_wrong]
    ]
    raise errors.DataError(
      f'{labels!r}: {len(lines)} labels at the wrong place; even ones are 0,'
      f' odd ones 1 to 4:\n{records.shorten(lines)}'
    )
  return np.asarray(numbers).astype(np.int64)
