"""From a config to the functions and sets it names."""

from collections.abc import Callable
import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from mammojax import augment, automargin, errors, losses
from mammojax.data import images as table_images
from mammojax.data import imageset, phantom, pipeline, samplers, splits, table
from mammojax.metrics import protocols
from mammojax.models import embedder

DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}


class LossStats(NamedTuple):
  """What the step reports of a loss; float32[] each.

  Attributes:
    active_fraction: share of triplets, or pairs, that still add to the loss.
    mean_gap: negative distance minus positive distance, on average.
    triplets: losses.TripletStats for AutoMargin, or None.
  """

  active_fraction: jax.Array
  mean_gap: jax.Array
  triplets: losses.TripletStats | None


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
    return loss, _of_triplets(stats)

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
    return loss, _of_triplets(stats)

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


def _of_triplets(stats):
  active = stats.num_active / jnp.maximum(stats.num_triplets, 1.0)
  return LossStats(active, stats.mean_gap, stats)


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
  """AutoMargin before step 0, of `config.automargin` and `config.loss`."""
  auto, start = config.automargin, {}
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


def optimizer(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
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


def cache_folder(name: str) -> str:
  """A folder of this program under the user's cache folder."""
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return str(pathlib.Path(base) / 'mammojax' / name)


def image_set(config: ml_collections.ConfigDict) -> imageset.ImageSet:
  """Images and their table, checked whole.

  Raises:
    UsageError: a source, field or column that does not exist.
    DataError: rows or files that cannot be used, all of them listed.
    IntegrityError: one subject in two splits.
  """
  data = config.data
  if data.source == 'phantom':
    fields = data.phantom.to_dict()
    folder = fields.pop('cache_dir') or cache_folder('phantom')
    spec = phantom.PhantomSpec(image_size=data.image_size, **fields)
    return phantom.PhantomImages(
      spec, cache_dir=folder, mirror=data.mirror, workers=os.cpu_count() or 1
    )
  if data.source != 'table':
    raise errors.unknown('data.source', data.source, ('phantom', 'table'))
  if not data.table:
    raise errors.UsageError(
      "data.source='table' needs data.table, the path of a CSV or parquet "
      'file with the columns path and subject.'
    )
  frame, store = table.read(
    data.table,
    root=data.root,
    columns=data.columns.to_dict(),
    on_bad=data.on_bad,
  )
  if data.num_folds:
    frame = splits.with_folds(frame, data.num_folds, data.fold)
  images = table_images.TableImages(
    frame,
    store,
    image_size=data.image_size,
    channels=data.channels,
    fit=data.fit,
    mirror=data.mirror,
    cache_mb=data.cache_mb,
  )
  images.preload()
  return images


def sampler(config, images, rows: np.ndarray) -> samplers.SubjectBatches:
  """Batches of P subjects x K images over the training rows."""
  labels, _ = pipeline.dense_ids(images.frame['subject'].iloc[rows].tolist())
  return samplers.SubjectBatches(
    labels,
    subjects_per_batch=config.sampler.subjects_per_batch,
    images_per_subject=config.sampler.images_per_subject,
    seed=config.seed,
    with_replacement=config.sampler.with_replacement,
    min_images=config.sampler.min_images,
  )


class Region:
  """An ImageSet that shows one region of every image.

  Attributes:
    frame: of the set beneath.
  """

  def __init__(self, images: imageset.ImageSet, region: str):
    if region not in imageset.REGIONS:
      raise errors.unknown('data.region', region, imageset.REGIONS)
    self._images, self._region = images, region
    self.frame = images.frame

  def images(self, rows: np.ndarray) -> np.ndarray:
    """See `ImageSet.images`."""
    return self._images.images(rows, self._region)


def protocol(config, frame, split: str) -> protocols.Protocol:
  """Gallery and queries of a split.

  With folds the gallery is everybody's, as a leave-women-out experiment wants
  it: the queries are the fold's own, and chance stays the same in each fold.

  Raises:
    UsageError: an unknown gallery, or visits that are not known.
    DataError: no query with a mate.
  """
  return protocols.forensic(
    frame,
    gallery=config.eval.gallery,
    split=split,
    gallery_split=None if config.data.num_folds else split,
  )
