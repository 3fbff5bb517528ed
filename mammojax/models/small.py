"""Small networks for patches and pairs, and classifiers on a backbone.

    model = small.Classifier(small.PatchNet(), hidden=())    # 3,452,545
    variables = model.init(key, images, train=False)
    logits = model.apply(variables, images, train=False)     # [b, 1]

    grey = small.Classifier(
      vgg.VGG16(), learned_colour=True, flatten=True, frozen=True)
    pair = small.Siamese(small.PatchNet(), dropout=0.4)

Counts are those of the sources, running statistics included. In training,
dropout with a rate above 0 needs the random key 'dropout'.

Source: Acquavia and Mazzini, 2021, sections 4 to 6, for PatchNet, Classifier
and Siamese.
Differs: the last layer gives logits, the source their sigmoid; augmentation is
no part of a network; its tables show no rectifiers, here one follows every
hidden layer; kernels start as in He et al., 2015, not as in Glorot and
Bengio, 2010.
"""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax.models import convolution, pooling, resnet

# Of the batch norms of Keras, where these networks come from.
_NORM = {'momentum': 0.99, 'epsilon': 1e-3}


class PatchNet(nn.Module):
  """Four unpadded 3x3 convolutions, each with a 2x2 maximum, and a layer.

  With images of [150, 150, 1]: maps of 74, 36, 17 and 7 pixels a side, 6,272
  features, 3,452,032 parameters. It has no batch norm.

  Attributes:
    widths: channels of each convolution.
    dim: length of the result.
    dtype: of the convolutions; the rest is float32.
  """

  widths: Sequence[int] = (32, 64, 128, 128)
  dim: int = 512
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Features after the rectifier of the last layer.

    Args:
      x: float32[b, h, w, c], h and w at least 46 with four widths; the size
        is part of the parameters.
      train: has no effect.

    Returns:
      float32[b, dim].

    Raises:
      ValueError: at trace time, if x does not have four axes or is too small.
    """
    _check_images(x)
    for number, width in enumerate(self.widths, start=1):
      conv = convolution.Conv(
        width, 3, dtype=self.dtype, use_bias=True, name=f'conv{number}'
      )
      # A convolution without padding is the inside of one with it.
      x = pooling.max_pool(nn.relu(conv(x)[:, 1:-1, 1:-1]))
    return nn.relu(nn.Dense(self.dim, name='dense')(_flatten(x)))


class DoubleConvNet(nn.Module):
  """Three pairs of 3x3 convolutions as in VGG, and two dense layers.

  In a pair is a rectifier, after it come batch norm, a rectifier, dropout of
  whole channels and, except for the last, a 2x2 maximum. Between the dense
  layers are batch norm and a rectifier. With images of [28, 28, 1]: 1,568
  features, 429,176 parameters and statistics, 428,552 of them trainable.

  Attributes:
    widths: channels of each pair.
    hidden: width of the first dense layer.
    dim: length of the result, which is linear.
    dropout: share of channels set to zero in training; the source does not
      state its rate.
    dtype: of the convolutions; the rest is float32.
    axis_name: device axis over which batch statistics are averaged in
      training; None on one device.

  Source: a lecture's branch of a Siamese network on Fashion-MNIST, known by
  its table of layers, which does not show the rectifier inside a pair.
  """

  widths: Sequence[int] = (8, 16, 32)
  hidden: int = 256
  dim: int = 32
  dropout: float = 0.0
  dtype: Any = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Embeddings, not normalised.

    Args:
      x: float32[b, h, w, c], h and w at least 4 with three widths; the size
        is part of the parameters.
      train: drop channels, use and update batch statistics, as in ResNet.

    Returns:
      float32[b, dim].

    Raises:
      ValueError: at trace time, if x does not have four axes or is too small.
    """
    _check_images(x)
    for number, width in enumerate(self.widths, start=1):
      x = pooling.max_pool(x) if number > 1 else x
      conv = functools.partial(
        convolution.Conv, width, 3, dtype=self.dtype, use_bias=True
      )
      x = nn.relu(conv(name=f'conv{number}a')(x))
      x = conv(name=f'conv{number}b')(x)
      x = self._norm(train, f'norm{number}', self.dtype)(x)
      drop = nn.Dropout(self.dropout, broadcast_dims=(1, 2))
      x = drop(nn.relu(x), deterministic=not train)
    x = nn.Dense(self.hidden, name='dense1')(_flatten(x))
    x = nn.relu(self._norm(train, 'norm_dense', jnp.float32)(x))
    return nn.Dense(self.dim, name='dense2')(x)

  def _norm(self, train: bool, name: str, dtype: Any) -> nn.Module:
    norm = resnet.norm(train, dtype=dtype, axis_name=self.axis_name)
    return norm(name=name, **_NORM)


class Mlp(nn.Module):
  """Dense layers with rectifiers, then a linear one.

  Attributes:
    hidden: widths of the layers in front of the last; none is allowed.
    dim: length of the result.
    dropout: share of the input set to zero in training.
  """

  hidden: Sequence[int] = (512,)
  dim: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps float32[b, f] to float32[b, dim]."""
    x = nn.Dropout(self.dropout)(x, deterministic=not train)
    for number, width in enumerate(self.hidden, start=1):
      x = nn.relu(nn.Dense(width, name=f'dense{number}')(x))
    return nn.Dense(self.dim, name='dense_out')(x)


class Colour(nn.Module):
  """Three learned mixtures of the channels of each pixel, with bias.

  For grey images six parameters, which start as copies of the image: what a
  network for colour images is fed otherwise.
  """

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps float32[b, h, w, c] to float32[b, h, w, 3]."""
    # A mean over the channels: of a single one, the image itself.
    start = nn.initializers.constant(1 / x.shape[-1])
    return nn.Dense(3, kernel_init=start, name='mix')(x)


class Classifier(nn.Module):
  """mlp(backbone(images)), the maps of the backbone unrolled or averaged.

  Over images of [150, 150, 1] with learned_colour: VGG16 18,910,023
  parameters, 4,195,335 of them outside the backbone; InceptionV3 31,240,999
  and 9,438,215; InceptionV3 cut at mixed8, with hidden (512, 256), 16,705,191
  and 6,030,343.

  Attributes:
    backbone: maps float32[b, h, w, c] and `train` to float32[b, f]; if it has
      a method `features` that gives a map, see `flatten`.
    hidden: widths of the dense layers in front of the logits.
    dim: number of logits.
    dropout: share of the features set to zero in training.
    learned_colour: put Colour in front of the backbone.
    flatten: unroll the map that `backbone.features` gives, which makes the
      image size part of the parameters; else take what the backbone gives.
    frozen: never let the backbone use or change batch statistics. Its
      parameters are kept by `freezing.freeze(..., ['backbone'])`.
  """

  backbone: nn.Module
  hidden: Sequence[int] = (512,)
  dim: int = 1
  dropout: float = 0.0
  learned_colour: bool = False
  flatten: bool = False
  frozen: bool = False

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    """Logits of a batch of images.

    Args:
      images: float32[b, h, w, c].
      train: drop features and, unless frozen, use batch statistics.

    Returns:
      float32[b, dim].

    Raises:
      ValueError: at trace time, if the images do not have four axes.
    """
    _check_images(images)
    x = Colour(name='colour')(images) if self.learned_colour else images
    inside = train and not self.frozen
    if self.flatten:
      x = _flatten(self.backbone.features(x, inside))
    else:
      x = self.backbone(x, inside)
    return Mlp(self.hidden, self.dim, self.dropout, name='mlp')(x, train)


class Siamese(nn.Module):
  """One branch over both images, then an mlp over both results, in order.

  With PatchNet and images of [150, 150, 1]: 3,977,345 parameters. The order
  matters: mlp(f(a), f(b)) is not mlp(f(b), f(a)).

  Attributes:
    branch: maps float32[b, h, w, c] and `train` to float32[b, f].
    hidden: widths of the dense layers in front of the logits.
    dim: number of logits.
    dropout: share of the joined features set to zero in training; the source
      has 0.4.
  """

  branch: nn.Module
  hidden: Sequence[int] = (512,)
  dim: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self, first: jax.Array, second: jax.Array, train: bool
  ) -> jax.Array:
    """Logits of a batch of pairs.

    Args:
      first: float32[b, h, w, c].
      second: of the same shape.
      train: drop features; a branch with batch norm takes the statistics of
        all 2 b images.

    Returns:
      float32[b, dim].

    Raises:
      ValueError: at trace time, if the shapes differ or are not of images.
    """
    _check_images(first)
    if first.shape != second.shape:
      raise ValueError(
        f'the images of pairs differ: {first.shape} and {second.shape}.'
      )
    both = self.branch(jnp.concatenate([first, second]), train)
    x = jnp.concatenate(jnp.split(both, 2), axis=-1)
    return Mlp(self.hidden, self.dim, self.dropout, name='mlp')(x, train)


def _check_images(x: jax.Array) -> None:
  if x.ndim != 4:
    raise ValueError(f'images must be [b, h, w, c], got {x.shape}.')


def _flatten(x: jax.Array) -> jax.Array:
  """Unrolls [b, h, w, c] to float32[b, h w c], rows first."""
  return x.reshape(x.shape[0], -1).astype(jnp.float32)
