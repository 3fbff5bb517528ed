"""What turns the features of a backbone into an embedding."""

from flax import linen as nn
import jax
import jax.numpy as jnp


def l2_normalize(x: jax.Array, epsilon: float = 1e-12) -> jax.Array:
  """Rows scaled to length one, with a finite gradient everywhere.

      x / |x|;  0, with zero gradient, for rows of length <= epsilon

  Args:
    x: float32[..., d].
    epsilon: length up to which a row counts as zero.

  Returns:
    float32[..., d].
  """
  # The largest entry is divided out first: squares of 1e-20 or 1e20 would
  # leave the range of float32. The scale cancels, so it needs no gradient.
  scale = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
  is_zero = scale <= epsilon
  x = jnp.where(is_zero, 0.0, x) / jnp.where(is_zero, 1.0, scale)
  square = jnp.sum(x * x, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.where(is_zero, 1.0, square))


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
    return l2_normalize(x) if self.normalize else x
