"""Images in [0, 1] to embeddings: input scaling, backbone and head.

    model = embedder.build('resnet18', width=32, channels=1)
    variables = model.init(key, jnp.zeros((1, 96, 96, 1)), train=False)
    embeddings, updates = model.apply(
      variables, images, train=True, mutable=['batch_stats'])

Heads, and what the network gives with each:

    embedding   dense layers and rows of length one (or not): float32[b, d]
    none        the features of the backbone, of length one (or not)
    classifier  logits float32[b, d]
    siamese     logits float32[b, d] of pairs of images, one of them behind
                the other along the channels

Grey images, of one channel, meet a backbone in one of these ways:

    native      it has as many input channels as the images; weights published
                for colours are summed over them as they are loaded
                (`pretrained.grey_stem`)
    replicate   it sees three copies
    learned     it sees three learned mixtures, see Colour; they are scaled as
                copies would be

Source of the classifier and the pair network: Acquavia and Mazzini, 2021,
sections 5 and 6.
Differs: the last layer gives logits, the source their sigmoid; augmentation
is no part of a network.
"""

from collections.abc import Sequence
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import backbones, conventions, heads

GREYS = ('native', 'replicate', 'learned')
# Of them those that make three channels of one.
COLOURED = ('replicate', 'learned')
HEADS = ('embedding', 'none', 'classifier', 'siamese')


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


class Embedder(nn.Module):
  """head(backbone((x - mean) / std)).

  Attributes:
    backbone: maps float32[b, h, w, c] and `train` to float32[b, f], and has
      a method `features` that gives its map.
    head: maps float32[b, f] and `train` to float32[b, d]; a heads.Pair maps
      the features of both images of a pair.
    mean: one value a channel, on the scale [0, 1].
    std: one value a channel, above 0.
    order: of the channels, see `conventions.Scaling`.
    grey: one of GREYS; see the module.
    flatten: unroll the map of the backbone, which makes the image size part
      of the parameters; else take what the backbone pools.
  """

  backbone: nn.Module
  head: nn.Module
  mean: tuple[float, ...]
  std: tuple[float, ...]
  order: tuple[int, ...] = ()
  grey: str = 'native'
  flatten: bool = False

  def setup(self) -> None:
    """Makes the mixtures, where they are wanted."""
    if self.grey == 'learned':
      self.colour = Colour()

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on.

    What is new around a backbone, mixtures and head, is the last layer.
    """
    inner = [
      tuple(f'backbone/{pattern}' for pattern in layer)
      for layer in self.backbone.layers()
    ]
    return *inner, ('colour', 'head')

  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    """Embeddings of a batch of images.

    Args:
      images: float32[b, h, w, c] in [0, 1]; with a heads.Pair 2 c channels,
        those of the first image of each pair in front.
      train: use batch statistics, see ResNet, and dropout, see `dropout`.

    Returns:
      float32[b, d].

    Raises:
      ValueError: at trace time, if the images do not have one channel for
        each value of `mean`.
    """
    if not isinstance(self.head, heads.Pair):
      return self.head(self._features(images, train), train)
    halves = jnp.split(images, 2, axis=-1)
    first, second = (self._features(half, train) for half in halves)
    return self.head(first, second, train)

  def _features(self, images: jax.Array, train: bool) -> jax.Array:
    """float32[b, f], what the head is given of each image."""
    x = self._input(images)
    if not self.flatten:
      return self.backbone(x, train)
    x = self.backbone.features(x, train)
    return x.reshape(x.shape[0], -1)

  def features(self, images: jax.Array, train: bool) -> jax.Array:
    """The map of the backbone, float32[b, h', w', f]; as `__call__`."""
    return self.backbone.features(self._input(images), train)

  def _input(self, images: jax.Array) -> jax.Array:
    """What the backbone sees."""
    if self.grey != 'native' and images.ndim == 4 and images.shape[-1] != 1:
      raise ValueError(
        f'grey={self.grey!r} takes images of 1 channel, got {images.shape}.'
      )
    if self.grey == 'replicate':
      images = jnp.repeat(images, 3, axis=-1)
    elif self.grey == 'learned':
      images = self.colour(images)
    scaling = conventions.Scaling(self.mean, self.std, self.order)
    return conventions.apply(images, scaling)


def build(
  name: str = 'resnet18',
  *,
  head: str = 'embedding',
  hidden: Sequence[int] = (),
  embedding_dim: int = 128,
  normalize: bool = True,
  dropout: float = 0.0,
  channels: int = 1,
  grey: str = 'native',
  flatten: bool = False,
  mean: Sequence[float] = (0.5,),
  std: Sequence[float] = (0.25,),
  order: Sequence[int] = (),
  **backbone: Any,
) -> Embedder:
  """The network of a name, ready for `init` and `apply`.

  Args:
    name: a key of backbones.KINDS.
    head: one of HEADS.
    hidden: widths of dense layers in front of the last.
    embedding_dim: length of an embedding, number of logits of a classifier
      or of a pair; the head 'none' has the length of the features, which of
      double_conv is set by it.
    normalize: scale embeddings to length one; logits and the features of
      pairs never are.
    dropout: share of the features set to zero in training, and of channels
      in double_conv (of channels alone with its head 'none').
    channels: of the images.
    grey: one of GREYS; all but 'native' need channels=1.
    flatten: unroll the map of features in place of pooling it.
    mean: one value a channel, or one for all.
    std: one value a channel, or one for all; above 0.
    order: of the channels, see `conventions.Scaling`.
    **backbone: width, cut, stem, zero_init, dtype, axis_name and frozen, of
      backbones.build.

  Returns:
    Embedder.

  Raises:
    UsageError: for an unknown name, a size below 1, options that do not fit
      each other, or a mean or std that does not fit the channels.
  """
  if head not in HEADS:
    raise errors.unknown('head', head, HEADS)
  if grey not in GREYS:
    raise errors.unknown('grey', grey, GREYS)
  _check_sizes(hidden, embedding_dim, channels, dropout)
  if grey != 'native' and channels != 1:
    raise errors.UsageError(
      f'grey={grey!r} is for images of 1 channel, and they have {channels}; '
      "set model.grey='native' or data.channels=1."
    )
  if head == 'none' and hidden:
    raise errors.UsageError(
      f"head='none' has no hidden layers, got {tuple(hidden)}."
    )
  if flatten and name in ('patch_net', 'double_conv'):
    raise errors.UsageError(f'{name} unrolls its map itself; flatten=False.')
  seen = 3 if grey in COLOURED else channels
  mean, std = _per_channel('mean', mean, seen), _per_channel('std', std, seen)
  if min(std) <= 0:
    raise errors.UsageError(f'std must be above 0, got {std}.')
  lost = dropout
  if name == 'double_conv':
    backbone = {**backbone, 'dropout': dropout}
    if head == 'none':
      # Its last layer is the embedding, of which nothing is dropped.
      backbone['dim'], lost = embedding_dim, 0.0
  tops = {
    'embedding': heads.Mlp(tuple(hidden), embedding_dim, dropout, normalize),
    'none': heads.Mlp((), 0, lost, normalize),
    'classifier': heads.Mlp(tuple(hidden), embedding_dim, dropout),
    'siamese': heads.Pair(tuple(hidden), embedding_dim, dropout),
  }
  return Embedder(
    backbones.build(name, **backbone),
    tops[head],
    mean,
    std,
    tuple(order),
    grey,
    flatten,
  )


def _check_sizes(hidden, embedding_dim, channels, dropout):
  sizes = {'embedding_dim': embedding_dim, 'channels': channels}
  sizes |= {f'hidden[{place}]': width for place, width in enumerate(hidden)}
  for field, size in sizes.items():
    if size < 1:
      raise errors.UsageError(f'{field} must be at least 1, got {size}.')
  if not 0 <= dropout < 1:
    raise errors.UsageError(f'dropout must be in [0, 1), got {dropout}.')


def _per_channel(
  field: str, values: Sequence[float], channels: int
) -> tuple[float, ...]:
  """One value a channel; a single value serves all."""
  values = tuple(float(value) for value in values)
  if len(values) == 1:
    return values * channels
  if len(values) != channels:
    raise errors.UsageError(
      f'{field} has {len(values)} values for {channels} channels.'
    )
  return values
