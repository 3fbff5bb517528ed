"""From a config to the network it names."""

from collections.abc import Sequence
import pathlib

import jax
import jax.numpy as jnp
import ml_collections

from mammojax import errors
from mammojax.models import conventions, embedder

# Heads that give a decision, not an embedding.
LOGITS = ('classifier', 'siamese')
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
    **{name: getattr(fields, name) for name in _FIELDS},
    channels=config.data.channels,
    dtype=DTYPES[fields.dtype],
    axis_name=axis_name,
    frozen=tuple(frozen),
    mean=mean,
    std=std,
    order=order,
  )


def decides(config: ml_collections.ConfigDict) -> bool:
  """Whether the network gives a logit of being positive, not an embedding."""
  return config.model.head in LOGITS


def check_head(config: ml_collections.ConfigDict) -> None:
  """Refuses heads and losses that do not belong together.

  Raises:
    UsageError: with the fields to set.
  """
  head, loss = config.model.head, config.loss.name
  if not decides(config):
    if loss == 'logistic':
      raise errors.UsageError(
        f'loss.name=logistic takes logits, and model.head={head!r} gives '
        f'embeddings: set model.head to one of {", ".join(LOGITS)}.'
      )
    return
  wanted = {
    'loss.name': (loss, 'logistic'),
    'model.embedding_dim': (config.model.embedding_dim, 1),
    'sampler.label': (config.sampler.label, 'target'),
  }
  wrong = [
    f'{field}={want!r} in place of {got!r}'
    for field, (got, want) in wanted.items()
    if got != want
  ]
  if wrong:
    raise errors.UsageError(
      f'model.head={head!r} gives one logit, whether an image is positive: set '
      f'{", ".join(wrong)}.'
    )


def image_channels(config: ml_collections.ConfigDict) -> int:
  """Channels of what the network is given: those of two images for a pair."""
  return config.data.channels * (2 if config.model.head == 'siamese' else 1)


def start(config: ml_collections.ConfigDict) -> str:
  """Where the network starts from, in a word or two."""
  if config.model.weights:
    return f'weights of {pathlib.Path(config.model.weights).name}'
  if config.model.init_from:
    return f'the run {pathlib.Path(config.model.init_from).name}'
  return 'scratch'


def remarks(config: ml_collections.ConfigDict) -> list[str]:
  """What a reader of the results must know about where the network starts."""
  if start(config) != 'scratch':
    return []
  why = ''
  if config.data.input in conventions.PUBLISHED:
    why = f'data.input={config.data.input!r} is what published weights are fed'
  if config.optim.freeze_pretrained:
    why = (
      'what optim.freeze_pretrained would have kept as published learned from '
      'nothing'
    )
  if not why:
    return []
  return [
    f'Results from scratch: model.weights names no file, and {why}. They are '
    'not to be compared with those of published weights.'
  ]


def frozen(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Patterns of the parameters that do not move in this run."""
  optim = config.optim
  more = () if start(config) == 'scratch' else optim.freeze_pretrained
  return (*optim.freeze, *more)


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
  """Channels that are scaled, after grey images are coloured."""
  is_coloured = config.model.grey in embedder.COLOURED
  return 3 if is_coloured else config.data.channels
