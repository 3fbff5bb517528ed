"""VGG16 in flax linen, without its dense top, cut at any layer.

    model = vgg.VGG16(cut='block4_pool')
    variables = model.init(key, images, train=False)
    pooled = model.apply(variables, images, train=False)        # [b, 512]
    maps = model.apply(variables, images, False, method='features')

The layers have the names and the arithmetic of Keras: 3x3 convolutions with
bias and one row of zeros on every side, 2x2 maxima of stride 2 that drop an
odd last row. No layer of it depends on `train`.

Source: Simonyan and Zisserman, 2015, arXiv:1409.1556, table 1, column D.
Differs: kernels start as in He et al., 2015, not from a shallower network.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import convolution, pooling

# Convolutions of each block and their channels, in units of the width.
_BLOCKS = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))


def _layers() -> dict[str, int]:
  """Layers in order: their channels in units of the width, 0 for a pool."""
  layers = {}
  for block, (number, factor) in enumerate(_BLOCKS, start=1):
    for conv in range(1, number + 1):
      layers[f'block{block}_conv{conv}'] = factor
    layers[f'block{block}_pool'] = 0
  return layers


_LAYERS = _layers()
CUTS = tuple(_LAYERS)


class VGG16(nn.Module):
  """The convolutions of VGG16 up to and with one layer.

  Attributes:
    cut: the last layer, one of CUTS; later layers have no parameters.
    width: channels of the first block; 64 as published.
    dtype: of the convolutions; parameters and results are float32.
  """

  cut: str = CUTS[-1]
  width: int = 64
  dtype: Any = jnp.float32

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    names = CUTS[: CUTS.index(self.cut) + 1]
    return tuple((name,) for name in names if _LAYERS[name])

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Mean of the map of features over its places.

    Args:
      x: float32[b, h, w, c].
      train: has no effect.

    Returns:
      float32[b, f].
    """
    return jnp.mean(self.features(x, train), axis=(1, 2))

  @nn.compact
  def features(self, x: jax.Array, train: bool) -> jax.Array:
    """Map of features at the cut.

    Args:
      x: float32[b, h, w, c].
      train: has no effect.

    Returns:
      float32[b, h / 2^n, w / 2^n, f], n pools before the cut; at the end of
      the network n = 5 and f = 8 width.

    Raises:
      UsageError: at trace time, if the cut is unknown.
      ValueError: at trace time, if x does not have four axes or a map is
        smaller than a pool's window; 32 pixels a side always suffice.
    """
    if self.cut not in _LAYERS:
      raise errors.unknown('cut', self.cut, CUTS)
    if x.ndim != 4:
      raise ValueError(f'images must be [b, h, w, c], got {x.shape}.')
    for name in CUTS[: CUTS.index(self.cut) + 1]:
      x = self._conv(name, x) if _LAYERS[name] else pooling.max_pool(x)
    return x.astype(jnp.float32)

  def _conv(self, name: str, x: jax.Array) -> jax.Array:
    """A convolution with bias, and its rectifier."""
    channels = self.width * _LAYERS[name]
    conv = convolution.Conv(
      channels, 3, dtype=self.dtype, use_bias=True, name=name
    )
    return nn.relu(conv(x))
