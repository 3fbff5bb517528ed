"""From a config to the network it names."""

import jax.numpy as jnp

from mammojax import errors
from mammojax.models import embedder

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


def model(
  config, *, mean, std, order=(), axis_name: str | None
) -> embedder.Embedder:
  """The network of `config.model`.

  Args:
    config: the run's.
    mean: one value a channel, on the scale [0, 1].
    std: likewise.
    order: of the channels, see `conventions.Scaling`.
    axis_name: device axis of batch norm, or None on one device.

  Raises:
    UsageError: an unknown name.
  """
  if config.model.dtype not in DTYPES:
    raise errors.unknown('model.dtype', config.model.dtype, DTYPES)
  return embedder.build(
    config.model.name,
    width=config.model.width,
    stem=config.model.stem,
    embedding_dim=config.model.embedding_dim,
    channels=config.data.channels,
    normalize=config.model.normalize,
    zero_init=config.model.zero_init,
    dtype=DTYPES[config.model.dtype],
    axis_name=axis_name,
    mean=mean,
    std=std,
    order=order,
  )
