"""Dropout whose mask of a row does not depend on the batch around it.

    model.apply({'params': params, 'rows': {'position': position}}, images,
                train=True, rngs={'dropout': key})

The mask of row i is drawn from fold_in(key, position[i]): the place of the
row in the global batch. So shares of devices, micro-batches and the whole
batch drop the same values, and a row embedded twice with one key is embedded
alike. Without the collection 'rows' the position is i.
"""

from collections.abc import Sequence

from flax import linen as nn
import jax
import jax.numpy as jnp

ROWS = 'rows'


def rows(position: jax.Array) -> dict[str, dict[str, jax.Array]]:
  """The collection that says where the rows lie.

  Args:
    position: int32[b], places in the global batch.
  """
  return {ROWS: {'position': position}}


class Dropout(nn.Module):
  """Sets values to zero in training and scales up the others.

  Attributes:
    rate: share of values set to zero, in [0, 1).
    whole: axes behind the first along which values are dropped together.
  """

  rate: float
  whole: Sequence[int] = ()

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """Maps float[b, ...] to the same shape; the same values unless train.

    Raises:
      flax.errors.InvalidRngError: in training with a rate above 0 without the
        key 'dropout'.
    """
    if not train or self.rate == 0.0:
      return x
    place = None
    if self.scope is not None:
      place = self.scope.root.get_variable(ROWS, 'position')
    if place is None:
      place = jnp.arange(x.shape[0], dtype=jnp.int32)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
      self.make_rng('dropout'), place
    )
    shape = [
      1 if axis in self.whole else size
      for axis, size in enumerate(x.shape)
      if axis > 0
    ]
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, shape))
    return jnp.where(kept(keys), x / (1 - self.rate), jnp.zeros_like(x))
