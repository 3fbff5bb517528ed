"""InceptionV3 in flax linen, without its dense top, cut after any block.

    model = inception.InceptionV3(cut='mixed8')
    variables = model.init(key, images, train=False)
    pooled = model.apply(variables, images, train=False)        # [b, 1280]
    maps = model.apply(variables, images, False, method='features')

The blocks have the names, the order and the arithmetic of Keras: convolutions
without bias, batch norm without scale, epsilon 1e-3; means over 3x3 windows
count only the places inside the map. Each block holds its convolutions in the
order of Keras, named `branch<number>_conv<step>`.

Source: Szegedy et al., 2016, arXiv:1512.00567, section 6; Keras 3,
applications/inception_v3.
Differs: no auxiliary classifier, as in Keras.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import convolution, norms, pooling

SMALLEST_SIDE = 75


class Conv(NamedTuple):
  """What one convolution is.

  Attributes:
    features: output channels.
    rows: height of the kernel, odd.
    columns: width of the kernel, odd.
    stride: step, in both directions.
    padded: half the kernel of zeros on every side; else none.
  """

  features: int
  rows: int = 1
  columns: int = 1
  stride: int = 1
  padded: bool = True


# A step is a convolution, a pool, or convolutions side by side.
_Step = Conv | str | tuple[Conv, ...]
_Branch = tuple[_Step, ...]
_Block = tuple[_Branch, ...]

_STEM: _Block = (
  (
    Conv(32, 3, 3, stride=2, padded=False),
    Conv(32, 3, 3, padded=False),
    Conv(64, 3, 3),
    'max',
    Conv(80),
    Conv(192, 3, 3, padded=False),
    'max',
  ),
)


def _fine(pooled: int) -> _Block:
  """A block on the largest maps; the 5x5 and two 3x3 windows of the paper."""
  return (
    (Conv(64),),
    (Conv(48), Conv(64, 5, 5)),
    (Conv(64), Conv(96, 3, 3), Conv(96, 3, 3)),
    ('avg', Conv(pooled)),
  )


def _factored(inner: int) -> _Block:
  """A block on the middle maps, its 7x7 windows as 1x7 and 7x1."""
  wide, tall = Conv(inner, 1, 7), Conv(inner, 7, 1)
  return (
    (Conv(192),),
    (Conv(inner), wide, Conv(192, 7, 1)),
    (Conv(inner), tall, wide, tall, Conv(192, 1, 7)),
    ('avg', Conv(192)),
  )


def _coarse() -> _Block:
  """A block on the smallest maps, with 1x3 and 3x1 windows side by side."""
  fork = (Conv(384, 1, 3), Conv(384, 3, 1))
  return (
    (Conv(320),),
    (Conv(384), fork),
    (Conv(448), Conv(384, 3, 3), fork),
    ('avg', Conv(192)),
  )


_BLOCKS: Mapping[str, _Block] = {
  'stem': _STEM,
  'mixed0': _fine(32),
  'mixed1': _fine(64),
  'mixed2': _fine(64),
  'mixed3': (
    (Conv(384, 3, 3, stride=2, padded=False),),
    (Conv(64), Conv(96, 3, 3), Conv(96, 3, 3, stride=2, padded=False)),
    ('max',),
  ),
  'mixed4': _factored(128),
  'mixed5': _factored(160),
  'mixed6': _factored(160),
  'mixed7': _factored(192),
  'mixed8': (
    (Conv(192), Conv(320, 3, 3, stride=2, padded=False)),
    (
      Conv(192),
      Conv(192, 1, 7),
      Conv(192, 7, 1),
      Conv(192, 3, 3, stride=2, padded=False),
    ),
    ('max',),
  ),
  'mixed9': _coarse(),
  'mixed10': _coarse(),
}
CUTS = tuple(_BLOCKS)


def layer_names() -> tuple[str, ...]:
  """The 94 convolutions in the order in which Keras creates them.

  Returns:
    'stem/branch1_conv1' and so on; each has a norm that is created after it.
  """
  names = []
  for block, branches in _BLOCKS.items():
    for number, branch in enumerate(branches, start=1):
      for step, what in enumerate(branch, start=1):
        name = f'{block}/branch{number}_conv{step}'
        if isinstance(what, Conv):
          names.append(name)
        elif isinstance(what, tuple):
          names += [name + letter for letter in 'ab']
  return tuple(names)


class ConvNorm(nn.Module):
  """relu(batch norm(convolution(x))), the norm with a bias but no scale.

  Attributes:
    spec: what the convolution is.
    norm: makes a batch norm from a name and its options.
    dtype: of the convolution.
  """

  spec: Conv
  norm: Any
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h', w', features]."""
    x = self._conv()(x)
    norm = self.norm(name='norm', use_scale=False, momentum=0.99, epsilon=1e-3)
    return nn.relu(norm(x))

  def _conv(self) -> nn.Module:
    """The project's own convolution where it can do it."""
    features, rows, columns, stride, padded = self.spec
    if padded and rows == columns:
      return convolution.Conv(
        features, rows, stride, dtype=self.dtype, name='conv'
      )
    height, width = (rows // 2, columns // 2) if padded else (0, 0)
    return nn.Conv(
      features,
      (rows, columns),
      stride,
      padding=((height, height), (width, width)),
      use_bias=False,
      kernel_init=convolution.he_normal,
      dtype=self.dtype,
      name='conv',
    )


class Mixed(nn.Module):
  """Branches over the same map, their channels one after another.

  Attributes:
    block: the steps of each branch.
    norm: makes a batch norm from a name and its options.
    dtype: of the convolutions.
  """

  block: _Block
  norm: Any
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h', w', c'], c' the sum over the branches."""
    outputs = []
    for number, branch in enumerate(self.block, start=1):
      y = x
      for step, what in enumerate(branch, start=1):
        y = self._step(f'branch{number}_conv{step}', what, y)
      outputs.append(y)
    return jnp.concatenate(outputs, axis=-1)

  def _step(self, name: str, what: _Step, x: jax.Array) -> jax.Array:
    """One step of a branch."""
    if what == 'max':
      return pooling.max_pool(x, 3)
    if what == 'avg':
      around = ((1, 1), (1, 1))
      return nn.avg_pool(x, (3, 3), padding=around, count_include_pad=False)
    if isinstance(what, Conv):
      return ConvNorm(what, self.norm, self.dtype, name=name)(x)
    side_by_side = [
      ConvNorm(conv, self.norm, self.dtype, name=name + letter)(x)
      for conv, letter in zip(what, 'ab', strict=True)
    ]
    return jnp.concatenate(side_by_side, axis=-1)


class InceptionV3(nn.Module):
  """InceptionV3 up to and with one block.

  Attributes:
    cut: the last block, one of CUTS; later blocks have no parameters.
    dtype: of the convolutions; parameters, statistics and results are
      float32.
    axis_name: device axis over which batch statistics are averaged in
      training; None on one device.
    frozen: patterns of parameters whose norms keep their statistics; see
      `norms`.
  """

  cut: str = CUTS[-1]
  dtype: Any = jnp.float32
  axis_name: str | None = None
  frozen: Sequence[str] = ()

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    return tuple((name,) for name in CUTS[: CUTS.index(self.cut) + 1])

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Mean of the map of features over its places; see `features`.

    Args:
      x: float32[b, h, w, c].
      train: use and update batch statistics, as in ResNet.

    Returns:
      float32[b, f].
    """
    return jnp.mean(self.features(x, train), axis=(1, 2))

  @nn.compact
  def features(self, x: jax.Array, train: bool) -> jax.Array:
    """Map of features at the cut.

    Args:
      x: float32[b, h, w, c], h and w at least 75.
      train: use and update batch statistics, as in ResNet.

    Returns:
      float32[b, h', w', f]; f is 192, then 256, 288 and 288 up to mixed2, 768
      up to mixed7, 1280 at mixed8 and 2048 after it. Images of 150 pixels
      give maps of 16, 16, 7 and 3 pixels a side.

    Raises:
      UsageError: at trace time, if the cut is unknown.
      ValueError: at trace time, if x does not have four axes or is too small.
    """
    if self.cut not in CUTS:
      raise errors.unknown('cut', self.cut, CUTS)
    if x.ndim != 4 or min(x.shape[1:3]) < SMALLEST_SIDE:
      raise ValueError(
        f'images must be [b, h, w, c], h and w at least {SMALLEST_SIDE}, '
        f'got {x.shape}.'
      )
    norm = norms.maker(
      train, dtype=self.dtype, axis_name=self.axis_name, frozen=self.frozen
    )
    for name in CUTS[: CUTS.index(self.cut) + 1]:
      x = Mixed(_BLOCKS[name], norm, self.dtype, name=name)(x)
    return x.astype(jnp.float32)
