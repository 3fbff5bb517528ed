"""What turns the features of a backbone into an embedding."""

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import numerics


class EmbeddingHead(nn.Module):
  """A dense layer, then rows of length one.

  Attributes:
    dim: length of an embedding.
    normalize: scale each embedding to length one.
  """

  dim: int = 128
  normalize: bool = True

  @nn.compact
  def __call__(self, features: jax.Array) -> jax.Array:
    """Maps float32[b, f] to float32[b, dim]."""
    x = nn.Dense(self.dim, name='dense')(features.astype(jnp.float32))
    return numerics.normalize(x) if self.normalize else x
