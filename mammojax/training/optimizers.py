"""From a config to the optimizer it names, and its learning rate."""

import jax
import ml_collections
import optax

from mammojax import errors


def schedule(config: ml_collections.ConfigDict) -> optax.Schedule:
  """Learning rate by step: a linear warm-up, then constant or a cosine."""
  optim, steps = config.optim, config.train.steps
  kinds = ('constant', 'cosine')
  if optim.schedule not in kinds:
    raise errors.unknown('optim.schedule', optim.schedule, kinds)
  after = optax.constant_schedule(optim.learning_rate)
  if optim.schedule == 'cosine':
    after = optax.cosine_decay_schedule(
      optim.learning_rate, max(steps - optim.warmup_steps, 1)
    )
  if not optim.warmup_steps:
    return after
  warmup = optax.linear_schedule(
    optim.learning_rate / optim.warmup_steps,
    optim.learning_rate,
    optim.warmup_steps - 1 or 1,
  )
  return optax.join_schedules([warmup, after], [optim.warmup_steps])


def optimizer(
  config: ml_collections.ConfigDict,
) -> optax.GradientTransformation:
  """The optax chain of `config.optim`; decay spares vectors and scalars.

  'adam' adds the decay to the gradient (the authors' choice), 'adamw' to the
  update, 'sgd' to the gradient.

  Raises:
    UsageError: an unknown optimiser.
  """
  optim, rate = config.optim, schedule(config)

  def is_matrix(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

  decay = optax.add_decayed_weights(optim.weight_decay, is_matrix)
  known = {
    'adam': lambda: optax.chain(decay, optax.adam(rate)),
    'adamw': lambda: optax.adamw(
      rate, weight_decay=optim.weight_decay, mask=is_matrix
    ),
    'sgd': lambda: optax.chain(
      decay, optax.sgd(rate, momentum=optim.momentum, nesterov=True)
    ),
  }
  if optim.name not in known:
    raise errors.unknown('optim.name', optim.name, known)
  parts = [known[optim.name]()]
  if optim.clip_norm:
    parts.insert(0, optax.clip_by_global_norm(optim.clip_norm))
  return optax.chain(*parts)
