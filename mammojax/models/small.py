"""Small networks for patches and pairs.

    model = small.PatchNet()
    variables = model.init(key, images, train=False)
    features = model.apply(variables, images, train=False)   # [b, 512]

Counts are those of the sources, running statistics included. In training,
dropout with a rate above 0 needs the random key 'dropout'.

Source: Acquavia and Mazzini, 2021, sections 4 and 6, for PatchNet.
Differs: its tables show no rectifiers, here one follows every hidden layer;
kernels start as in He et al., 2015, not as in Glorot and Bengio, 2010.
"""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax.models import convolution, norms, pooling
from mammojax.models import dropout as dropouts

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

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    numbers = range(1, len(self.widths) + 1)
    return *((f'conv{number}',) for number in numbers), ('dense',)

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
    frozen: patterns of parameters whose norms keep their statistics; see
      `norms`.

  Source: a lecture's branch of a Siamese network on Fashion-MNIST, known by
  its table of layers, which does not show the rectifier inside a pair.
  """

  widths: Sequence[int] = (8, 16, 32)
  hidden: int = 256
  dim: int = 32
  dropout: float = 0.0
  dtype: Any = jnp.float32
  axis_name: str | None = None
  frozen: Sequence[str] = ()

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    pairs = range(1, len(self.widths) + 1)
    convolutions = ((f'conv{n}?', f'norm{n}') for n in pairs)
    return *convolutions, ('dense1', 'norm_dense'), ('dense2',)

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
      drop = dropouts.Dropout(self.dropout, whole=(1, 2), name=f'drop{number}')
      x = drop(nn.relu(x), train)
    x = nn.Dense(self.hidden, name='dense1')(_flatten(x))
    x = nn.relu(self._norm(train, 'norm_dense', jnp.float32)(x))
    return nn.Dense(self.dim, name='dense2')(x)

  def _norm(self, train: bool, name: str, dtype: Any) -> nn.Module:
    norm = norms.maker(
      train, dtype=dtype, axis_name=self.axis_name, frozen=self.frozen
    )
    return norm(name=name, **_NORM)


def _check_images(x: jax.Array) -> None:
  if x.ndim != 4:
    raise ValueError(f'images must be [b, h, w, c], got {x.shape}.')


def _flatten(x: jax.Array) -> jax.Array:
  """Unrolls [b, h, w, c] to float32[b, h w c], rows first."""
  return x.reshape(x.shape[0], -1).astype(jnp.float32)
