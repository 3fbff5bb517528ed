"""Images in [0, 1] to embeddings: input scaling, backbone and head.

model = embedder.build('resnet18', width=32, channels=1)
variables = model.init(key, jnp.zeros((1, 96, 96, 1)), train=False)
embeddings, updates = model.apply(
  variables, images, train=True, mutable=['batch_stats'])
"""

from collections.abc import Mapping, Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import conventions, heads, resnet

MODELS: Mapping[str, Any] = {
  'resnet18': functools.partial(
    resnet.ResNet, (2, 2, 2, 2), block=resnet.BasicBlock
  ),
  'resnet34': functools.partial(
    resnet.ResNet, (3, 4, 6, 3), block=resnet.BasicBlock
  ),
  'resnet50': functools.partial(
    resnet.ResNet, (3, 4, 6, 3), block=resnet.Bottleneck
  ),
}


class Embedder(nn.Module):
  """head(backbone((x - mean) / std)).

  Attributes:
    backbone: maps float32[b, h, w, c] and `train` to float32[b, f].
    head: maps float32[b, f] to float32[b, d].
    mean: one value a channel, on the scale [0, 1].
    std: one value a channel, above 0.
    order: of the channels, see `conventions.Scaling`.
  """

  backbone: nn.Module
  head: nn.Module
  mean: tuple[float, ...]
  std: tuple[float, ...]
  order: tuple[int, ...] = ()

  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    """Embeddings of a batch of images.

    Args:
      images: float32[b, h, w, c] in [0, 1].
      train: use batch statistics; see ResNet.

    Returns:
      float32[b, d].

    Raises:
      ValueError: at trace time, if the images do not have one channel for
        each value of `mean`.
    """
    scaling = conventions.Scaling(self.mean, self.std, self.order)
    x = conventions.apply(images, scaling)
    return self.head(self.backbone(x, train))


def build(
  name: str = 'resnet18',
  *,
  width: int = 64,
  stem: str = 'imagenet',
  embedding_dim: int = 128,
  channels: int = 1,
  normalize: bool = True,
  zero_init: bool = False,
  dtype: Any = jnp.float32,
  axis_name: str | None = None,
  mean: Sequence[float] = (0.5,),
  std: Sequence[float] = (0.25,),
  order: Sequence[int] = (),
) -> Embedder:
  """The network of a name, ready for `init` and `apply`.

  Args:
    name: a key of MODELS.
    width: channels of the first stage.
    stem: 'imagenet' or 'cifar'.
    embedding_dim: length of an embedding.
    channels: of the images.
    normalize: scale embeddings to length one.
    zero_init: start every residual block as its shortcut.
    dtype: of the convolutions; the rest is float32.
    axis_name: device axis over which batch norm is synchronised.
    mean: one value a channel, or one for all.
    std: one value a channel, or one for all; above 0.
    order: of the channels, see `conventions.Scaling`.

  Returns:
    Embedder.

  Raises:
    UsageError: for an unknown name or stem, a size below 1, or a mean or std
      that does not fit the channels.
  """
  if name not in MODELS:
    raise errors.unknown('model', name, MODELS)
  if stem not in resnet.STEMS:
    raise errors.unknown('stem', stem, resnet.STEMS)
  sizes = {'width': width, 'embedding_dim': embedding_dim, 'channels': channels}
  for field, size in sizes.items():
    if size < 1:
      raise errors.UsageError(f'{field} must be at least 1, got {size}.')
  mean = _per_channel('mean', mean, channels)
  std = _per_channel('std', std, channels)
  if min(std) <= 0:
    raise errors.UsageError(f'std must be above 0, got {std}.')
  backbone = MODELS[name](
    width=width,
    stem=stem,
    zero_init=zero_init,
    dtype=dtype,
    axis_name=axis_name,
  )
  head = heads.EmbeddingHead(embedding_dim, normalize)
  return Embedder(backbone, head, mean, std, tuple(order))


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
