"""What turns the features of a backbone into embeddings, logits or answers.

Hidden layers are dense with a rectifier; the last one is linear, so a head of
`hidden` widths has one layer more than it has widths.
"""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import numerics
from mammojax.models import dropout as dropouts


class Mlp(nn.Module):
  """Dense layers with rectifiers, then a linear one.

  Attributes:
    hidden: widths of the layers in front of the last; none is allowed.
    dim: length of the result; 0: there is no last layer either, and the
      result is that of the last hidden one, or the input.
    dropout: share of the input set to zero in training; see `dropout`.
    normalize: scale each row of the result to length one.
  """

  hidden: Sequence[int] = ()
  dim: int = 128
  dropout: float = 0.0
  normalize: bool = False

  @nn.compact
  def __call__(self, features: jax.Array, train: bool) -> jax.Array:
    """Maps float[b, f] to float32[b, dim]."""
    x = features.astype(jnp.float32)
    if self.dropout:
      x = dropouts.Dropout(self.dropout, name='dropout')(x, train)
    for number, width in enumerate(self.hidden, start=1):
      x = nn.relu(nn.Dense(width, name=f'dense{number}')(x))
    if self.dim:
      x = nn.Dense(self.dim, name='dense')(x)
    return numerics.normalize(x) if self.normalize else x


class Pair(nn.Module):
  """An Mlp over two embeddings, one after the other.

  The order matters: f(a, b) is not f(b, a).

  Attributes:
    hidden: widths of the layers in front of the logits.
    dim: number of logits.
    dropout: share of the joined features set to zero in training.
  """

  hidden: Sequence[int] = (512,)
  dim: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(
    self, first: jax.Array, second: jax.Array, train: bool
  ) -> jax.Array:
    """Maps float[n, f] and float[n, f] to float32[n, dim].

    Raises:
      ValueError: at trace time, if the shapes differ.
    """
    if first.shape != second.shape:
      raise ValueError(
        f'the halves of pairs differ: {first.shape} and {second.shape}.'
      )
    x = jnp.concatenate([first, second], axis=-1)
    return Mlp(self.hidden, self.dim, self.dropout, name='mlp')(x, train)
