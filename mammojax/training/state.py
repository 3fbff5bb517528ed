"""Everything a training step reads and returns, as one pytree."""

from collections.abc import Callable
from typing import Any

from flax.training import train_state
import jax
import jax.numpy as jnp

from mammojax import automargin, curriculum, memory

# Where the parameters of a loss stand among those of the network.
LOSS = 'loss'


class TrainState(train_state.TrainState):
  """Flax's TrainState with what metric learning adds.

  Attributes:
    batch_stats: running statistics of batch norm.
    automargin: margins and what they are made of.
    curriculum: CurriculumState, or None without one.
    memory: MemoryState, or None without one.
    num_refused: int32[], updates refused in a row because a number was not
      finite.
  """

  batch_stats: Any
  automargin: automargin.AutoMarginState
  curriculum: curriculum.CurriculumState | None
  memory: memory.MemoryState | None
  num_refused: jax.Array


def create(
  model,
  tx,
  margins,
  *,
  seed: int,
  image_shape,
  loss_init: Callable[[jax.Array], dict[str, Any]] | None = None,
  course: curriculum.CurriculumState | None = None,
  held: memory.MemoryState | None = None,
) -> TrainState:
  """The state before step 0.

  Args:
    model: a flax module, images and `train` to embeddings.
    tx: optax transformation.
    margins: AutoMarginState.
    seed: of the parameters.
    image_shape: (h, w, c).
    loss_init: key -> parameters of the loss; where there are any they stand
      under 'loss' beside those of the network.
    course: CurriculumState.
    held: MemoryState.

  Returns:
    TrainState on the default device.
  """
  images = jnp.zeros((1, *image_shape), jnp.float32)

  @jax.jit
  def init(key):
    variables = model.init(key, images, train=False)
    params = variables['params']
    of_loss = loss_init(jax.random.fold_in(key, 1)) if loss_init else {}
    if of_loss:
      params = {**params, LOSS: of_loss}
    return TrainState(
      step=jnp.asarray(0, jnp.int32),
      apply_fn=model.apply,
      params=params,
      tx=tx,
      opt_state=tx.init(params),
      batch_stats=variables.get('batch_stats', {}),
      automargin=margins,
      curriculum=course,
      memory=held,
      num_refused=jnp.asarray(0, jnp.int32),
    )

  return init(jax.random.key(seed))
