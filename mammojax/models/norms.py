"""Batch norm that keeps its statistics where its parameters are frozen."""

from collections.abc import Sequence
import functools
from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax.models import freezing


class BatchNorm(nn.BatchNorm):
  """nn.BatchNorm, in training only while its parameters learn.

  Attributes:
    train: use the statistics of the batch, and update the running ones.
    frozen: patterns of frozen parameters, as of `freezing`, by their path in
      the outermost module. A norm all of whose parameters match uses its
      running statistics and leaves them as they are.
  """

  train: bool = False
  frozen: Sequence[str] = ()

  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """Maps [b, ..., f] to the same shape; see nn.BatchNorm.

    Args:
      x: float[b, ..., f].
      use_running_average: None: unless in training and not frozen.
      mask: bool[b, ..., f], what counts in the statistics, or None.
    """
    if use_running_average is None:
      use_running_average = not self.train or self._is_frozen()
    return super().__call__(x, use_running_average, mask=mask)

  def _is_frozen(self) -> bool:
    learned = [('scale', self.use_scale), ('bias', self.use_bias)]
    return all(
      freezing.matches('/'.join((*self.path, name)), self.frozen)
      for name, is_used in learned
      if is_used
    )


def maker(
  train: bool,
  *,
  dtype: Any = jnp.float32,
  axis_name: str | None = None,
  frozen: Sequence[str] = (),
) -> Any:
  """A maker of batch norms that takes a name; statistics are float32."""
  return functools.partial(
    BatchNorm,
    train=train,
    frozen=tuple(frozen),
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
    axis_name=axis_name,
  )
