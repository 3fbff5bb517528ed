"""Residual networks in flax linen, with the arithmetic of torchvision or Keras.

A backbone maps float32[b, h, w, c] to float32[b, f]: the mean over its map of
features, which `features` gives. Padding is explicit, so that sizes and
alignment agree with published weights.

    model = resnet.ResNet((2, 2, 2, 2), width=64)          # ResNet18
    model = resnet.ResNet(                   # ResNet50, as Keras publishes it
      (3, 4, 6, 3), block=resnet.Bottleneck, style='keras')
    variables = model.init(key, images, train=False)
    features = model.apply(variables, images, train=False)  # [b, 512]

Source: He et al., 2016, arXiv:1512.03385, sections 3.3 and 4.1; the blocks of
torchvision 0.15, or those of Keras 3, applications/resnet (see STYLES).
Differs: the running variance is that of the batch, divided by n; torch
divides by n - 1.
"""

from collections.abc import Mapping, Sequence
import functools
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import convolution, norms, pooling

STEMS = ('imagenet', 'cifar')
CUTS = ('stem', 'stage1', 'stage2', 'stage3', 'stage4')


class Style(NamedTuple):
  """Where published residual networks differ.

  Attributes:
    strided: the convolution of a bottleneck that has its stride, 1 or 2.
    use_bias: whether convolutions add a bias.
    epsilon: of batch norm.
    momentum: share of a running statistic that stays at each step.
  """

  strided: int
  use_bias: bool
  epsilon: float
  momentum: float


STYLES: Mapping[str, Style] = {
  'torchvision': Style(2, False, 1e-5, 0.9),
  'keras': Style(1, True, 1.001e-5, 0.99),
}


_max_pool = functools.partial(pooling.max_pool, size=3, padding=1)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut: relu(x' + f(x)).

  Attributes:
    features: channels of the convolutions and of the result.
    stride: of the first convolution and of the projection.
    norm: makes a batch norm from a name and an optional scale_init.
    zero_init: start the last scale at 0, so that the block is its shortcut.
    dtype: of the convolutions.
    style: of STYLES.
  """

  features: int
  stride: int
  norm: Any
  zero_init: bool = False
  dtype: Any = jnp.float32
  style: Style = STYLES['torchvision']

  expansion = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h / stride, w / stride, features]."""
    conv = _conv(self)
    y = conv(self.features, 3, self.stride, name='conv1')(x)
    y = nn.relu(self.norm(name='norm1')(y))
    y = conv(self.features, 3, name='conv2')(y)
    y = self.norm(name='norm2', scale_init=_last_scale(self.zero_init))(y)
    return nn.relu(_shortcut(self, x, y.shape) + y)


class Bottleneck(nn.Module):
  """1x1, 3x3 and 1x1 convolutions and a shortcut; four times wider outside.

  Attributes:
    features: channels of the inner convolutions; the result has four times
      as many.
    stride: of the convolution that the style names and of the projection.
    norm: makes a batch norm from a name and an optional scale_init.
    zero_init: start the last scale at 0, so that the block is its shortcut.
    dtype: of the convolutions.
    style: of STYLES.
  """

  features: int
  stride: int
  norm: Any
  zero_init: bool = False
  dtype: Any = jnp.float32
  style: Style = STYLES['torchvision']

  expansion = 4

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h / stride, w / stride, 4 features]."""
    conv = _conv(self)
    first, second = (
      self.stride if self.style.strided == number else 1 for number in (1, 2)
    )
    y = conv(self.features, 1, first, name='conv1')(x)
    y = nn.relu(self.norm(name='norm1')(y))
    y = conv(self.features, 3, second, name='conv2')(y)
    y = nn.relu(self.norm(name='norm2')(y))
    y = conv(self.features * self.expansion, 1, name='conv3')(y)
    y = self.norm(name='norm3', scale_init=_last_scale(self.zero_init))(y)
    return nn.relu(_shortcut(self, x, y.shape) + y)


def _last_scale(zero_init: bool) -> Any:
  """The initial scale of the norm that ends a block."""
  return nn.initializers.zeros if zero_init else nn.initializers.ones


def _conv(block: BasicBlock | Bottleneck) -> Any:
  """A maker of the convolutions of a block."""
  return functools.partial(
    convolution.Conv, dtype=block.dtype, use_bias=block.style.use_bias
  )


def _shortcut(
  block: BasicBlock | Bottleneck, x: jax.Array, shape: tuple[int, ...]
) -> jax.Array:
  """The input, or its 1x1 projection where the block changes its shape."""
  if x.shape == shape:
    return x
  conv = _conv(block)(shape[-1], 1, block.stride, name='conv_shortcut')
  return block.norm(name='norm_shortcut')(conv(x))


class ResNet(nn.Module):
  """A residual network up to its global average pool, or cut before.

  Attributes:
    stage_sizes: blocks in each stage; channels double and sides halve from
      one stage to the next.
    block: BasicBlock or Bottleneck.
    width: channels of the first stage; 64 as published.
    stem: 'imagenet' is a 7x7 convolution of stride 2 and a 3x3 maximum of
      stride 2; 'cifar' is a 3x3 convolution and keeps the size.
    zero_init: start every block as its shortcut.
    dtype: of the convolutions and activations; parameters, statistics and
      the result are float32.
    axis_name: device axis over which batch statistics are averaged in
      training; None on one device.
    style: 'torchvision' or 'keras'; see STYLES.
    cut: the last level, one of CUTS; later ones have no parameters.
    frozen: patterns of parameters whose norms keep their statistics; see
      `norms`.
  """

  stage_sizes: Sequence[int]
  block: Any = BasicBlock
  width: int = 64
  stem: str = 'imagenet'
  zero_init: bool = False
  dtype: Any = jnp.float32
  axis_name: str | None = None
  style: str = 'torchvision'
  cut: str = CUTS[-1]
  frozen: Sequence[str] = ()

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    return ('*_stem',), *((name,) for _, name, _ in self._blocks())

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
      float32[b, h', w', f], f = width * 2^(stage - 1) * expansion, or the
      width at the cut 'stem'; sides halve with every stage after the first.

    Raises:
      UsageError: at trace time, if the stem, style or cut is unknown.
      ValueError: at trace time, if x does not have four axes.
    """
    if x.ndim != 4:
      raise ValueError(f'images must be [b, h, w, c], got {x.shape}.')
    if self.style not in STYLES:
      raise errors.unknown('style', self.style, STYLES)
    if self.cut not in CUTS:
      raise errors.unknown('cut', self.cut, CUTS)
    style = STYLES[self.style]
    make_norm = functools.partial(
      norms.maker(
        train, dtype=self.dtype, axis_name=self.axis_name, frozen=self.frozen
      ),
      epsilon=style.epsilon,
      momentum=style.momentum,
    )
    x = self._stem(x, make_norm, style)
    for stage, name, stride in self._blocks():
      x = self.block(
        features=self.width * 2**stage,
        stride=stride,
        norm=make_norm,
        zero_init=self.zero_init,
        dtype=self.dtype,
        style=style,
        name=name,
      )(x)
    return x.astype(jnp.float32)

  def _blocks(self) -> list[tuple[int, str, int]]:
    """Stage from 0 on, name and stride of each block up to the cut."""
    return [
      (
        stage,
        f'stage{stage + 1}_block{number + 1}',
        2 if stage > 0 and number == 0 else 1,
      )
      for stage, blocks in enumerate(self.stage_sizes[: CUTS.index(self.cut)])
      for number in range(blocks)
    ]

  def _stem(self, x: jax.Array, make_norm: Any, style: Style) -> jax.Array:
    """The layers in front of the first stage."""
    if self.stem not in STEMS:
      raise errors.unknown('stem', self.stem, STEMS)
    size, stride = (7, 2) if self.stem == 'imagenet' else (3, 1)
    x = convolution.Conv(
      self.width,
      size,
      stride,
      dtype=self.dtype,
      use_bias=style.use_bias,
      name='conv_stem',
    )(x)
    x = make_norm(name='norm_stem')(x)
    # relu and maximum commute; the pooled map is four times smaller.
    x = _max_pool(x) if self.stem == 'imagenet' else x
    return nn.relu(x)
