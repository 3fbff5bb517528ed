"""Masses and calcifications, benign and malignant, on patches of CBIS-DDSM.

Source: A. Acquavia, M. Mazzini (2021), Convolutional neural network for medical
imaging analysis. docs/cbis.md has its tables beside ours and what differs.
"""

# 2,676 pairs, four fifths of them to train on, 32 in a batch.
STEPS_PER_EPOCH = 67


def epochs(number: int, batch_size: int = 32) -> int:
  """Steps of so many epochs of the source."""
  return number * STEPS_PER_EPOCH * 32 // batch_size


# What the source calls data augmentation.
NO_AUGMENTATION = {
  'augment.horizontal_flip': False,
  'augment.rotate90': False,
}
FLIP = {**NO_AUGMENTATION, 'augment.horizontal_flip': True}
ROTATION = {**NO_AUGMENTATION, 'augment.rotate90': True}
BOTH = {'augment.horizontal_flip': True, 'augment.rotate90': True}

ADAM, RMSPROP = {'optim.name': 'adam'}, {'optim.name': 'rmsprop'}
NO_CONTRAST = {'data.steps': ('fit',)}
