"""EfficientNet-Lite in flax linen: small, without attention, for plain CPUs.

    model = efficientnet.EfficientNetLite(*efficientnet.SIZES['lite0'])
    variables = model.init(key, images, train=False)
    features = model.apply(variables, images, train=False)  # [b, 1280]

A block widens its input by a 1x1 convolution (`expand`), convolves each
channel on its own (`depthwise`) and narrows the result (`project`); it adds
its input where neither side nor number of channels has changed. A batch norm
follows each convolution, relu6 all but the last.

Source: Tan and Le, 2019, arXiv:1905.11946, table 1, without squeeze and
excitation and with relu6 in place of swish, as EfficientNet-Lite of
TensorFlow's TPU repository (2020); its padding, which is that of TensorFlow:
where the whole is odd, one more row of zeros at the end.
Differs: no stochastic depth; no dropout of its own, see `model.dropout`.
"""

import functools
import math
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import convolution, depthwise, norms

CUTS = ('stem', *(f'stage{number}' for number in range(1, 8)), 'head')
STEM, HEAD = 32, 1280
# Name -> factors of the channels and of the blocks.
SIZES = {
  'lite0': (1.0, 1.0),
  'lite1': (1.0, 1.1),
  'lite2': (1.1, 1.2),
  'lite3': (1.2, 1.4),
  'lite4': (1.4, 1.8),
}


class Stage(NamedTuple):
  """Blocks of one kind; only the first of them has the stride.

  Attributes:
    size: side of the depthwise kernels.
    blocks: how many.
    stride: of the first.
    expand: by what a block widens its input.
    features: channels of the result.
  """

  size: int
  blocks: int
  stride: int
  expand: int
  features: int


# Table 1 of the source, stages 2 to 8.
STAGES = (
  Stage(3, 1, 1, 1, 16),
  Stage(3, 2, 2, 6, 24),
  Stage(5, 2, 2, 6, 40),
  Stage(3, 3, 2, 6, 80),
  Stage(5, 3, 1, 6, 112),
  Stage(5, 4, 2, 6, 192),
  Stage(3, 1, 1, 6, 320),
)


def scaled(width: float, depth: float) -> tuple[Stage, ...]:
  """The stages of a factor of the channels and one of the blocks.

  Channels are rounded to multiples of 8, by no more than a tenth downwards,
  and blocks up; the first and the last stage keep their number of blocks.
  """
  last = len(STAGES) - 1
  return tuple(
    stage._replace(
      features=_round(width * stage.features),
      blocks=stage.blocks
      if place in (0, last)
      else math.ceil(depth * stage.blocks),
    )
    for place, stage in enumerate(STAGES)
  )


def _round(channels: float) -> int:
  near = max(8, 8 * int(channels / 8 + 0.5))
  return near if near >= 0.9 * channels else near + 8


def same(side: int, size: int, stride: int) -> int:
  """Zeros in front of a side with the padding of TensorFlow.

  Args:
    side: of the map.
    size: of the kernel.
    stride: of its steps.
  """
  steps = -(-side // stride)
  return max((steps - 1) * stride + size - side, 0) // 2


class Stem(nn.Module):
  """A 3x3 convolution of stride 2.

  Attributes:
    features: output channels.
    dtype: to compute in.
  """

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, ceil(h / 2), ceil(w / 2), features]."""
    shape = (3, 3, x.shape[-1], self.features)
    kernel = self.param('kernel', convolution.he_normal, shape, jnp.float32)
    # One row of zeros more in front moves all windows by one pixel where the
    # side is even; the first of them is then one too many.
    extra = [1 - same(side, 3, 2) for side in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *((number, 0) for number in extra), (0, 0)))
    y = convolution.convolve(x.astype(self.dtype), kernel.astype(self.dtype), 2)
    return y[:, extra[0] :, extra[1] :]


class Depthwise(nn.Module):
  """A convolution of each channel on its own.

  Attributes:
    size: side of the kernels, odd.
    stride: of their steps.
    dtype: to compute in.
  """

  size: int
  stride: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, ceil(h / stride), ceil(w / stride), c]."""
    shape = (self.size, self.size, 1, x.shape[-1])
    # A value of the result depends on one channel alone.
    start = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
    kernel = self.param('kernel', start, shape, jnp.float32)
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
    if self.stride == 1:
      return depthwise.convolve(x, kernel)
    before = [same(side, self.size, self.stride) for side in x.shape[1:3]]
    return depthwise.strided(x, kernel, self.stride, (before[0], before[1]))


class Block(nn.Module):
  """Wider, depthwise, narrower, and the input again where it fits.

  Attributes:
    stage: what kind of block.
    stride: of the depthwise convolution.
    norm: makes a batch norm from a name.
    dtype: of the convolutions.
  """

  stage: Stage
  stride: int
  norm: Any
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h', w', stage.features]."""
    conv = functools.partial(convolution.Conv, size=1, dtype=self.dtype)
    y = x
    if self.stage.expand != 1:
      y = conv(self.stage.expand * x.shape[-1], name='expand')(y)
      y = nn.relu6(self.norm(name='expand_norm')(y))
    y = Depthwise(self.stage.size, self.stride, self.dtype, name='depthwise')(y)
    y = nn.relu6(self.norm(name='depthwise_norm')(y))
    y = conv(self.stage.features, name='project')(y)
    y = self.norm(name='project_norm')(y)
    keeps = self.stride == 1 and x.shape[-1] == self.stage.features
    return x + y if keeps else y


class EfficientNetLite(nn.Module):
  """EfficientNet-Lite up to its global average pool, or cut before.

  Attributes:
    width: factor of the channels of the stages; stem and head keep theirs.
    depth: factor of the blocks of the stages.
    cut: the last level, one of CUTS; later ones have no parameters.
    dtype: of the convolutions; parameters, statistics and results are float32.
    axis_name: device axis over which batch statistics are averaged in
      training; None on one device.
    frozen: patterns of parameters whose norms keep their statistics; see
      `norms`.
  """

  width: float = 1.0
  depth: float = 1.0
  cut: str = CUTS[-1]
  dtype: Any = jnp.float32
  axis_name: str | None = None
  frozen: tuple[str, ...] = ()

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    blocks = ((name,) for name, _, _ in self._blocks())
    head = (('head_*',),) if self.cut == 'head' else ()
    return ('stem_*',), *blocks, *head

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Mean of the map of features over its places; see `features`.

    Args:
      x: float32[b, h, w, c].
      train: as of `features`.

    Returns:
      float32[b, f].
    """
    return jnp.mean(self.features(x, train), axis=(1, 2))

  @nn.compact
  def features(self, x: jax.Array, train: bool) -> jax.Array:
    """Map of features at the cut.

    Args:
      x: float32[b, h, w, c].
      train: use the statistics of the batch, and update the running ones if
        the collection batch_stats is mutable; else use the running ones.

    Returns:
      float32[b, h', w', f]: half the sides at 'stem' and 'stage1', a quarter at
      'stage2', an eighth at 'stage3', a 16th at 'stage4' and 'stage5', a 32nd
      from 'stage6' on, each rounded up.

    Raises:
      UsageError: at trace time, if the cut is unknown.
      ValueError: at trace time, if x does not have four axes.
    """
    if x.ndim != 4:
      raise ValueError(f'images must be [b, h, w, c], got {x.shape}.')
    if self.cut not in CUTS:
      raise errors.unknown('cut', self.cut, CUTS)
    norm = functools.partial(
      norms.maker(
        train, dtype=self.dtype, axis_name=self.axis_name, frozen=self.frozen
      ),
      epsilon=1e-3,
      momentum=0.99,
    )
    x = Stem(STEM, self.dtype, name='stem_conv')(x)
    x = nn.relu6(norm(name='stem_norm')(x))
    for name, stage, stride in self._blocks():
      x = Block(stage, stride, norm, self.dtype, name=name)(x)
    if self.cut == 'head':
      x = convolution.Conv(HEAD, 1, dtype=self.dtype, name='head_conv')(x)
      x = nn.relu6(norm(name='head_norm')(x))
    return x.astype(jnp.float32)

  def _blocks(self) -> list[tuple[str, Stage, int]]:
    """Name, stage and stride of each block up to the cut."""
    return [
      (
        f'stage{place}_block{number}',
        stage,
        stage.stride if number == 1 else 1,
      )
      for place, stage in enumerate(scaled(self.width, self.depth), 1)
      if place <= CUTS.index(self.cut)
      for number in range(1, stage.blocks + 1)
    ]
