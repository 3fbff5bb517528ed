"""ConvNeXt in flax linen, with the arithmetic and the names of timm.

    model = convnext.ConvNeXt((2, 2, 6, 2), 40)             # ConvNeXt Atto
    variables = model.init(key, images, train=False)
    pooled = model.apply(variables, images, train=False)    # [b, 320]
    maps = model.apply(variables, images, False, method='features')

timm's name of an array is its path here after three rules: a number joins
the word before it by '_', other dots become '/', and 'weight' is the 'kernel'
of a layer and the 'scale' of a norm. Kernels are transposed.

    stem.0.weight            [f, c, 4, 4]  stem_0/kernel         [4, 4, c, f]
    stem.1.weight            [f]           stem_1/scale
    stages.1.downsample.1.weight           stages_1/downsample_1/kernel
    stages.0.blocks.1.conv_dw.weight       stages_0/blocks_1/conv_dw/kernel
                             [c, 1, 7, 7]                        [7, 7, 1, c]
    stages.0.blocks.1.mlp.fc1.weight       stages_0/blocks_1/mlp/fc1/kernel
                             [f, c, 1, 1]                        [c, f]
    stages.0.blocks.1.gamma                stages_0/blocks_1/gamma
    head.norm.bias                         head/norm/bias

Source: Liu et al., 2022, arXiv:2201.03545; timm 1.0, convnext_atto to
convnext_nano (patch stem, 1x1 convolutions with bias, layer scale).
Differs: no stochastic depth.
"""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import depthwise

CUTS = ('stem', 'stage1', 'stage2', 'stage3', 'stage4')
SMALLEST_SIDE = 32

# What timm calls truncated_normal(std=0.02), cut at two absolute units: as
# good as a normal distribution.
normal = nn.initializers.normal(0.02)
layer_norm = functools.partial(
  nn.LayerNorm, epsilon=1e-6, use_fast_variance=False
)
gelu = functools.partial(nn.gelu, approximate=False)


class Patches(nn.Module):
  """A convolution whose stride is its size, with bias: a matrix product.

  Attributes:
    features: output channels.
    size: side of a patch; rows and columns beyond the last are dropped.
    dtype: to compute in; the parameters are float32.
  """

  features: int
  size: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h // size, w // size, features]."""
    batch, height, width, channels = x.shape
    n, rows, columns = self.size, height // self.size, width // self.size
    kernel = self.param('kernel', normal, (n, n, channels, self.features))
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    x = x[:, : rows * n, : columns * n].astype(self.dtype)
    x = x.reshape(batch, rows, n, columns, n, channels)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows, columns, -1)
    kernel = kernel.reshape(-1, self.features).astype(self.dtype)
    return x @ kernel + bias.astype(self.dtype)


class Mlp(nn.Module):
  """Two dense layers with an exact GELU between them.

  Attributes:
    hidden: width between them.
    dtype: to compute in; the parameters are float32.
  """

  hidden: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [..., f] to [..., f]."""
    dense = functools.partial(nn.Dense, dtype=self.dtype, kernel_init=normal)
    y = gelu(dense(self.hidden, name='fc1')(x))
    return dense(x.shape[-1], name='fc2')(y)


class Depthwise(nn.Module):
  """A 7x7 convolution of each channel on its own, with bias.

  Attributes:
    dtype: to compute in; the parameters are float32.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h, w, c]."""
    kernel = self.param('kernel', normal, (7, 7, 1, x.shape[-1]))
    bias = self.param('bias', nn.initializers.zeros, (x.shape[-1],))
    y = depthwise.convolve(x.astype(self.dtype), kernel.astype(self.dtype))
    return y + bias.astype(self.dtype)


class Block(nn.Module):
  """x + gamma * mlp(norm(depthwise(x))).

  Attributes:
    scale_init: gamma at the start.
    dtype: of the convolutions.
  """

  scale_init: float = 1e-6
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h, w, c]."""
    channels = x.shape[-1]
    start = nn.initializers.constant(self.scale_init)
    gamma = self.param('gamma', start, (channels,))
    y = Depthwise(self.dtype, name='conv_dw')(x)
    y = layer_norm(dtype=self.dtype, name='norm')(y)
    y = Mlp(4 * channels, self.dtype, name='mlp')(y)
    return x + y * gamma.astype(self.dtype)


class Stage(nn.Module):
  """Blocks, after the first stage behind a norm and a halving of the sides.

  Attributes:
    blocks: their number.
    features: channels.
    halve: begin with a norm and 2x2 patches.
    scale_init: gamma of the blocks at the start.
    dtype: of the convolutions.
  """

  blocks: int
  features: int
  halve: bool
  scale_init: float = 1e-6
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h, w, f], or half the sides."""
    if self.halve:
      x = layer_norm(dtype=self.dtype, name='downsample_0')(x)
      x = Patches(self.features, 2, self.dtype, name='downsample_1')(x)
    for number in range(self.blocks):
      x = Block(self.scale_init, self.dtype, name=f'blocks_{number}')(x)
    return x


class Head(nn.Module):
  """The layer norm of what the pool gives."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps float32[b, f] to float32[b, f]."""
    return layer_norm(name='norm')(x)


class ConvNeXt(nn.Module):
  """ConvNeXt up to its global average pool and norm, or cut before.

  Attributes:
    depths: blocks of each stage.
    width: channels of the first stage; they double from stage to stage.
    cut: the last level, one of CUTS; later ones have no parameters, nor has
      the norm behind the pool, which belongs to the whole network.
    scale_init: layer scale at the start.
    dtype: of the convolutions; parameters and results are float32.
  """

  depths: Sequence[int] = (2, 2, 6, 2)
  width: int = 40
  cut: str = CUTS[-1]
  scale_init: float = 1e-6
  dtype: Any = jnp.float32

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    blocks: list[tuple[str, ...]] = []
    for stage, depth in enumerate(self._depths()):
      blocks.append(
        (f'stages_{stage}/downsample_*', f'stages_{stage}/blocks_0')
      )
      blocks += [(f'stages_{stage}/blocks_{n}',) for n in range(1, depth)]
    return ('stem_*',), *blocks, ('head',)

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Mean over the places of the map, and its norm; see `features`.

    Args:
      x: float32[b, h, w, c].
      train: has no effect.

    Returns:
      float32[b, f].
    """
    return self._run(x, is_pooled=True)

  def features(self, x: jax.Array, train: bool) -> jax.Array:
    """Map of features at the cut.

    Args:
      x: float32[b, h, w, c], h and w at least 32.
      train: has no effect.

    Returns:
      float32[b, h', w', f]: a quarter of the sides and the width at 'stem' and
      'stage1'; from there half the sides and twice the channels a stage.

    Raises:
      UsageError: at trace time, if the cut is unknown.
      ValueError: at trace time, if x does not have four axes or is too small.
    """
    return self._run(x, is_pooled=False)

  def _depths(self) -> Sequence[int]:
    return self.depths[: CUTS.index(self.cut)]

  @nn.compact
  def _run(self, x: jax.Array, is_pooled: bool) -> jax.Array:
    if self.cut not in CUTS:
      raise errors.unknown('cut', self.cut, CUTS)
    if x.ndim != 4 or min(x.shape[1:3]) < SMALLEST_SIDE:
      raise ValueError(
        f'images must be [b, h, w, c], h and w at least {SMALLEST_SIDE}, '
        f'got {x.shape}.'
      )
    x = Patches(self.width, 4, self.dtype, name='stem_0')(x)
    x = layer_norm(dtype=self.dtype, name='stem_1')(x)
    for stage, depth in enumerate(self._depths()):
      x = Stage(
        depth,
        self.width * 2**stage,
        halve=stage > 0,
        scale_init=self.scale_init,
        dtype=self.dtype,
        name=f'stages_{stage}',
      )(x)
    x = x.astype(jnp.float32)
    if not is_pooled:
      return x
    x = jnp.mean(x, axis=(1, 2))
    return Head(name='head')(x) if self.cut == CUTS[-1] else x
