"""From a config to the network it names."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections

from mammojax import errors
from mammojax.models import embedder

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
# Of `config.model`, what is for `embedder.build` as it is.
_FIELDS = (
  'name', 'width', 'cut', 'stem', 'zero_init', 'grey', 'flatten', 'head',
  'hidden', 'embedding_dim', 'normalize', 'dropout',
)  # fmt: skip


def model(
  config,
  *,
  mean,
  std,
  order=(),
  axis_name: str | None,
  frozen: Sequence[str] = (),
) -> embedder.Embedder:
  """The network of `config.model`.

  Args:
    config: the run's.
    mean: one value a channel, on the scale [0, 1].
    std: likewise.
    order: of the channels, see `conventions.Scaling`.
    axis_name: device axis of batch norm, or None on one device.
    frozen: patterns of parameters whose batch norms keep their statistics in
      training, `optim.freeze`.

  Raises:
    UsageError: an unknown name, or options that do not fit each other.
  """
  fields = config.model
  if fields.dtype not in DTYPES:
    raise errors.unknown('model.dtype', fields.dtype, DTYPES)
  return embedder.build(
    **{name: fields[name] for name in _FIELDS},
    channels=config.data.channels,
    dtype=DTYPES[fields.dtype],
    axis_name=axis_name,
    frozen=tuple(frozen),
    mean=mean,
    std=std,
    order=order,
  )


def check_embeds(config: ml_collections.ConfigDict) -> None:
  """Refuses a head whose logits no loss on embeddings can take.

  Raises:
    UsageError: with the heads and losses to take instead.
  """
  instead = {
    'classifier': "model.head='embedding' with loss.name='cross_entropy'",
    'siamese': "model.head='none' with loss.name='siamese'",
  }
  if config.model.head in instead:
    raise errors.UsageError(
      f'model.head={config.model.head!r} is for training by code of its own; '
      f'a run takes {instead[config.model.head]}.'
    )


def check_length(model: embedder.Embedder, config, image_shape) -> None:
  """Refuses a length of embeddings that is not the network's.

  Args:
    model: of the config.
    config: the run's; losses and memories take `model.embedding_dim`.
    image_shape: (h, w, c).

  Raises:
    UsageError: with the length.
  """
  images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
  out, _ = jax.eval_shape(
    lambda key, x: model.init_with_output(key, x, train=False),
    jax.random.key(0),
    images,
  )
  if out.shape[-1] != config.model.embedding_dim:
    raise errors.UsageError(
      f'The network gives {out.shape[-1]} values, and model.embedding_dim is '
      f'{config.model.embedding_dim}; with model.head={config.model.head!r} '
      f'set model.embedding_dim={out.shape[-1]}.'
    )


def input_channels(config: ml_collections.ConfigDict) -> int:
  """Channels that are scaled, after grey images are repeated."""
  return 3 if config.model.grey == 'replicate' else config.data.channels
