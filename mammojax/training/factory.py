"""From a config to the loss and the margins it names."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from mammojax import augment, automargin, errors, losses, margin_rules
from mammojax.training import sampling


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
  size, batch = config.train.micro_batch, sampling.batch_size(config)
  share = batch // num_devices
  if size < 0 or (size and share % size):
    raise errors.UsageError(
      f'train.micro_batch must be 0 (off) or divide the {share} images that '
      f'each of {num_devices} devices has of a batch of {batch}, got {size}.'
    )
  return size
