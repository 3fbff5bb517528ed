"""What a network expects of its input, by name.

    scaling = conventions.scaling('keras_caffe', channels=3)
    x = conventions.apply(images, scaling)           # images in [0, 1], RGB

Published weights work with the input they were trained on and with no other:

  keras_caffe  VGG16, ResNet50 of Keras: blue first, on the scale 0..255, minus
               103.939, 116.779, 123.68; not divided
  keras_tf     InceptionV3 of Keras: -1..1
  torchvision  all of torchvision: minus mean, divided by spread of ImageNet
  learned      mean and spread of each channel over one's own training images,
               for networks that start at random

All are (x[..., order] - mean) / std, so a network keeps three tuples and no
name.

Source: keras.applications.imagenet_utils.preprocess_input, modes 'caffe' and
'tf'; torchvision.transforms.Normalize with the numbers of its model zoo.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import errors


class Scaling(NamedTuple):
  """Input = (images[..., order] - mean) / std, images in [0, 1] and RGB.

  Attributes:
    mean: one value a channel, in the order of the network.
    std: likewise; above 0.
    order: channels of the image in the order of the network; () leaves them.
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  order: tuple[int, ...] = ()


PUBLISHED: Mapping[str, Scaling] = {
  'keras_caffe': Scaling(
    (103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3, (2, 1, 0)
  ),
  'keras_tf': Scaling((0.5,) * 3, (0.5,) * 3),
  'torchvision': Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
NAMES = ('learned', *PUBLISHED)


def check(name: str, channels: int) -> None:
  """Refuses a name that does not exist or does not fit.

  Args:
    name: one of NAMES.
    channels: of the images.

  Raises:
    UsageError: an unknown name; a published one for grey images.
  """
  if name not in NAMES:
    raise errors.unknown('data.input', name, NAMES)
  if name in PUBLISHED and channels != 3:
    raise errors.UsageError(
      f'data.input={name!r} is of networks that see 3 channels, and '
      f'data.channels is {channels}. Set data.channels=3, which repeats grey '
      "images, or data.input='learned'."
    )


def scaling(name: str, channels: int) -> Scaling:
  """The scaling of a published name.

  Args:
    name: a key of PUBLISHED.
    channels: of the images; must be 3.

  Returns:
    Scaling.

  Raises:
    UsageError: see `check`; 'learned', which only training images tell.
  """
  check(name, channels)
  if name not in PUBLISHED:
    raise errors.UsageError(
      f'data.input={name!r} is measured on training images; known without: '
      f'{", ".join(PUBLISHED)}.'
    )
  return PUBLISHED[name]


def apply(images: jax.Array, scaling: Scaling) -> jax.Array:
  """Images as the network expects them.

  Args:
    images: float[b, h, w, c] in [0, 1], red first where c is 3.
    scaling: c values each.

  Returns:
    The same shape and dtype.

  Raises:
    ValueError: at trace time, if the channels do not fit.
  """
  if images.ndim != 4 or images.shape[-1] != len(scaling.mean):
    raise ValueError(
      f'images must be [b, h, w, {len(scaling.mean)}], got {images.shape}.'
    )
  if scaling.order:
    images = images[..., jnp.asarray(scaling.order)]
  mean = jnp.asarray(scaling.mean, images.dtype)
  std = jnp.asarray(scaling.std, images.dtype)
  return (images - mean[None, None, None]) / std[None, None, None]
