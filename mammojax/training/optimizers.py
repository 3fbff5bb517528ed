"""From a config to the optimizer it names, and its learning rate."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from mammojax import errors
from mammojax.models import freezing
from mammojax.training import networks
from mammojax.training import state as state_lib

# Not kernels, though they have as many axes.
_TABLES = ('cls_token', 'pos_embed')


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

  'adam' adds the decay to the gradient (the authors' choice of AdaTriplet),
  'adamw' to the update, 'sgd' and 'rmsprop' to the gradient. What `freeze`
  matches does not move, and neither clipping nor any state sees it. Rates of
  layers scale the whole update, decay included.

  Returns:
    GradientTransformation; its `init` raises UsageError for a pattern that
    matches nothing.

  Raises:
    UsageError: an unknown optimizer, or a number out of its range.
  """
  optim, rate = config.optim, schedule(config)
  decay = optax.add_decayed_weights(optim.weight_decay, is_kernel)
  known = {
    'adam': lambda: optax.chain(decay, optax.adam(rate)),
    'adamw': lambda: optax.adamw(
      rate, weight_decay=optim.weight_decay, mask=is_kernel
    ),
    'sgd': lambda: optax.chain(
      decay, optax.sgd(rate, momentum=optim.momentum, nesterov=True)
    ),
    # As Keras has it: no momentum, the small number inside the root.
    'rmsprop': lambda: optax.chain(
      decay, optax.rmsprop(rate, decay=0.9, eps=1e-7)
    ),
  }
  if optim.name not in known:
    raise errors.unknown('optim.name', optim.name, known)
  parts = [known[optim.name]()]
  if optim.clip_norm:
    parts.insert(0, optax.clip_by_global_norm(optim.clip_norm))
  if optim.layer_decay != 1.0 or optim.rates:
    parts.append(_scaled(_layer_factor(config), _rates(optim.rates)))
  chain = optax.chain(*parts)
  frozen = networks.frozen(config)
  return freezing.freeze(chain, frozen) if frozen else chain


def is_kernel(params: Any) -> Any:
  """True for each array that decays: kernels, not vectors nor tables."""

  def check(path, leaf):
    last = freezing.path_name(path).split('/')[-1]
    return leaf.ndim > 1 and last not in _TABLES

  return jax.tree_util.tree_map_with_path(check, params)


def penalty(
  config: ml_collections.ConfigDict,
) -> Callable[[Any], jax.Array] | None:
  """`optim.l2` times the sum of the squares of all kernels that learn.

  Returns:
    params -> float32[], to be added to the loss; None where l2 is 0.

  Raises:
    UsageError: l2 is negative.
  """
  weight, patterns = config.optim.l2, networks.frozen(config)
  if weight < 0:
    raise errors.UsageError(f'optim.l2 must be at least 0, got {weight}.')

  def penalty_fn(params):
    learns = freezing.trainable_mask(params, patterns)
    terms = jax.tree.map(
      lambda leaf, kernel, moves: jnp.sum(leaf**2) if kernel and moves else 0.0,
      params,
      is_kernel(params),
      learns,
    )
    return weight * jnp.asarray(sum(jax.tree.leaves(terms)), jnp.float32)

  return penalty_fn if weight else None


def _scaled(
  factor_fn: Callable[[str], float], rates: Mapping[str, float]
) -> optax.GradientTransformation:
  """Updates times the factor of their layer and those of the patterns."""

  def scale(path, update):
    name = freezing.path_name(path)
    factor = factor_fn(name)
    for pattern, value in rates.items():
      factor *= value if freezing.matches(name, [pattern]) else 1.0
    return update * factor

  def init(params):
    freezing.labels(params, tuple(rates))
    return optax.EmptyState()

  def update(updates, state, params=None):
    del params
    return jax.tree_util.tree_map_with_path(scale, updates), state

  return optax.GradientTransformation(init, update)


def _layer_factor(config) -> Callable[[str], float]:
  """layer_decay^(layers between this one and the head), by name."""
  decay = config.optim.layer_decay
  if not 0 < decay <= 1:
    raise errors.UsageError(
      f'optim.layer_decay must be above 0 and at most 1, got {decay}.'
    )
  model = networks.model(config, mean=(0.5,), std=(1.0,), axis_name=None)
  layers = model.layers()

  def factor(name: str) -> float:
    if name.split('/')[0] == state_lib.LOSS:
      return 1.0
    for depth, patterns in enumerate(layers):
      if freezing.matches(name, patterns):
        return decay ** (len(layers) - 1 - depth)
    raise errors.UsageError(f'{name!r} is in no layer of {config.model.name}.')

  return factor


def _rates(texts) -> dict[str, float]:
  """'pattern=factor' of `optim.rates`."""
  rates = {}
  for text in texts:
    pattern, _, value = text.rpartition('=')
    try:
      rates[pattern] = float(value)
    except ValueError:
      rates[pattern] = -1.0
    if not pattern or not 0 <= rates[pattern] < float('inf'):
      raise errors.UsageError(
        f"optim.rates takes 'pattern=factor', the factor at least 0; got "
        f'{text!r}.'
      )
  return rates
