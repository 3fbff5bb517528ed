"""From a config to the loss, margins, optimiser and network it names."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import optax

from mammojax import augment, automargin, errors, losses, margin_rules
from mammojax.models import embedder

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


class LossStats(NamedTuple):
  """What the step reports of a loss; float32[] each.

  Attributes:
    active_fraction: share of triplets, or pairs, that still add to the loss.
    mean_gap: negative distance minus positive distance, on average.
    triplets: losses.TripletStats for AutoMargin, or None.
    quantiles: what `automargin.measure` returned, or None.
  """

  active_fraction: jax.Array
  mean_gap: jax.Array
  triplets: losses.TripletStats | None
  quantiles: Any = None


def _adatriplet(config):
  def loss_fn(embeddings, relation, margins, axis_name):
    loss, stats = losses.adatriplet(
      embeddings,
      relation,
      margin=margins.margin,
      beta=margins.beta,
      negative_weight=config.negative_weight,
      form=config.form,
      selection=config.selection or None,
      reduction=config.reduction,
      axis_name=axis_name,
      stats=True,
    )
    found = automargin.measure(
      margins, embeddings, relation, axis_name=axis_name
    )
    return loss, _of_triplets(stats, found)

  return loss_fn


def _triplet(config):
  def loss_fn(embeddings, relation, margins, axis_name):
    loss, stats = losses.batch_all_triplet(
      embeddings,
      relation,
      margin=margins.margin,
      selection=config.selection or 'semihard_region',
      distance=config.distance,
      reduction=config.reduction,
      axis_name=axis_name,
      stats=True,
    )
    found = automargin.measure(
      margins,
      embeddings,
      relation,
      distance=config.distance,
      axis_name=axis_name,
    )
    return loss, _of_triplets(stats, found)

  return loss_fn


def _contrastive(config):
  def loss_fn(embeddings, relation, margins, axis_name):
    loss, stats = losses.contrastive(
      embeddings,
      relation,
      positive_margin=config.positive_margin,
      margin=margins.margin,
      squared=config.squared,
      distance=config.distance,
      reduction=config.reduction,
      axis_name=axis_name,
      stats=True,
    )
    pairs = stats.num_positive_pairs + stats.num_negative_pairs
    active = stats.num_active / jnp.maximum(pairs, 1.0)
    return loss, LossStats(active, stats.mean_gap, None)

  return loss_fn


def _of_triplets(stats, found):
  active = stats.num_active / jnp.maximum(stats.num_triplets, 1.0)
  return LossStats(active, stats.mean_gap, stats, found)


LOSSES = {
  'adatriplet': _adatriplet,
  'triplet': _triplet,
  'contrastive': _contrastive,
}


def loss(config: ml_collections.ConfigDict) -> Callable[..., Any]:
  """The loss of `config.loss`, tried once so that bad names fail at start.

  Raises:
    UsageError: an unknown loss, or an argument the loss refuses.
  """
  if config.loss.name not in LOSSES:
    raise errors.unknown('loss', config.loss.name, LOSSES)
  if config.loss.name == 'contrastive' and config.automargin.mode != 'fixed':
    raise errors.UsageError(
      'AutoMargin follows triplets; with loss.name=contrastive set '
      "automargin.mode='fixed' and loss.margin."
    )
  if config.loss.name == 'adatriplet' and config.loss.distance != 'cosine':
    raise errors.UsageError(
      'AdaTriplet is defined on cosine similarities; set '
      "loss.distance='cosine'."
    )
  loss_fn = LOSSES[config.loss.name](config.loss)
  jax.eval_shape(
    lambda x, y: loss_fn(x, y, margins(config, steps_per_epoch=1), None),
    jax.ShapeDtypeStruct((4, 2), jnp.float32),
    jax.ShapeDtypeStruct((4,), jnp.int32),
  )
  return loss_fn


def margins(config, *, steps_per_epoch: int) -> automargin.AutoMarginState:
  """AutoMargin before step 0, of `config.automargin` and `config.loss`.

  Raises:
    UsageError: an unknown name, or a number out of its range.
  """
  auto, start = config.automargin, {}
  windows = {'batch': 1, 'epoch': steps_per_epoch}
  if auto.quantile_over not in windows:
    raise errors.unknown(
      'automargin.quantile_over', auto.quantile_over, windows
    )
  if auto.mode in margin_rules.QUANTILES:
    steps_per_epoch = windows[auto.quantile_over]
  if auto.mode in ('fixed', 'linear', 'exponential'):
    start = {'margin': config.loss.margin, 'beta': config.loss.beta}
  return automargin.init(
    auto.mode,
    form=config.loss.form,
    k_gap=auto.k_gap,
    k_an=auto.k_an,
    decay=auto.decay,
    steps_per_epoch=steps_per_epoch,
    total_steps=config.train.steps,
    margin_end=auto.margin_end,
    beta_end=auto.beta_end,
    **start,
  )


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


def model(config, *, mean, std, axis_name: str | None) -> embedder.Embedder:
  """The network of `config.model`.

  Args:
    config: the run's.
    mean: one value a channel, on the scale [0, 1].
    std: likewise.
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
  )


def augmentation(config) -> augment.Augmentation:
  """The augmentation of `config.augment`."""
  return augment.Augmentation(**config.augment.to_dict())


def micro_batch(config, *, num_devices: int) -> int:
  """Images embedded at a time on each device, of `config.train.micro_batch`.

  Args:
    config: the run's.
    num_devices: devices that share a batch.

  Returns:
    The number; 0 for all at once.

  Raises:
    UsageError: it is below 0 or does not divide the share of a device.
  """
  size, sampler = config.train.micro_batch, config.sampler
  batch = sampler.subjects_per_batch * sampler.images_per_subject
  share = batch // num_devices
  if size < 0 or (size and share % size):
    raise errors.UsageError(
      f'train.micro_batch must be 0 (off) or divide the {share} images that '
      f'each of {num_devices} devices has of a batch of {batch}, got {size}.'
    )
  return size
