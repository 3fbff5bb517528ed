"""From a config to the sampler it names: which images make up each batch."""

import ml_collections
import numpy as np

from mammojax import errors
from mammojax.data import epochs, imageset, pipeline, samplers, tuples

LABELS = ('subject', 'diagnosis', 'target')
RELATE = ('all', 'drawn')
_SHOWN = 5


def _subjects(config, labels, items):
  del items
  return samplers.SubjectBatches(
    labels,
    subjects_per_batch=config.sampler.subjects_per_batch,
    images_per_subject=config.sampler.images_per_subject,
    seed=config.seed,
    with_replacement=config.sampler.with_replacement,
    min_images=config.sampler.min_images,
  )


def _pairs(config, labels, items):
  return tuples.PairBatches(labels, items=items, **_plain(config))


def _triplets(config, labels, items):
  return tuples.TripletBatches(labels, items=items, **_plain(config))


def _shuffle(config, labels, items):
  del items
  return epochs.ShuffledBatches(len(labels), **_plain(config))


def _balanced(config, labels, items):
  del items
  return epochs.BalancedBatches(labels, **_plain(config))


def _resampled(config, labels, items):
  del items
  return epochs.ResampledBatches(
    labels, how=config.sampler.name, **_plain(config)
  )


def _plain(config):
  return {'batch_size': config.sampler.batch_size, 'seed': config.seed}


SAMPLERS = {
  'subjects': _subjects,
  'pairs': _pairs,
  'triplets': _triplets,
  'shuffle': _shuffle,
  'balanced': _balanced,
  'oversample': _resampled,
  'undersample': _resampled,
}
# Those that even out how many images of each value they draw.
_BALANCING = ('balanced', 'oversample', 'undersample')
_TUPLES = {
  'pairs': tuples.PairBatches.SIZE,
  'triplets': tuples.TripletBatches.SIZE,
}


def build(
  config: ml_collections.ConfigDict,
  images: imageset.ImageSet,
  rows: np.ndarray,
) -> pipeline.Sampler:
  """The sampler of `config.sampler` over the training rows.

  Args:
    config: the run's.
    images: only their table is read.
    rows: int64[n], the training images as positions in the table.

  Returns:
    What gives positions in `rows`.

  Raises:
    UsageError: an unknown name, or batches that cannot be made.
    DataError: training images without a diagnosis, where that is the label.
  """
  name, balance = config.sampler.name, config.sampler.balance
  if name not in SAMPLERS:
    raise errors.unknown('sampler.name', name, SAMPLERS)
  if balance and name not in _BALANCING:
    raise errors.UsageError(
      f'sampler.balance={balance!r} is for the samplers '
      f'{", ".join(_BALANCING)}; sampler.name is {name!r}.'
    )
  tuple_size(config)
  frame = images.frame.iloc[rows]
  fields = {'label': config.sampler.label}
  if balance:
    fields['balance'] = balance
  for field, column in fields.items():
    check_label(frame, column, f'sampler.{field}')
    _check_labels(frame, column)
  drawn_by = balance or config.sampler.label
  labels, _ = pipeline.dense_ids(frame[drawn_by].tolist())
  items, _ = pipeline.dense_ids(frame['item'].tolist())
  return SAMPLERS[name](config, labels, items)


def check_label(frame, label: str, field: str) -> None:
  """Refuses a label that is unknown, or that the images do not have.

  Args:
    frame: the table of the images.
    label: one of LABELS.
    field: of the config, that names it.

  Raises:
    UsageError: an unknown label.
    DataError: the images have no such column.
  """
  if label not in LABELS:
    raise errors.unknown(field, label, LABELS)
  if label not in frame:
    raise errors.DataError(
      f'The images have no {label}; see {field}'
      f'{" and data.positive" if label == "target" else ""}.'
    )


def _check_labels(frame, label):
  empty = frame.loc[frame[label] == '', 'item'].tolist()
  if empty:
    shown = ', '.join(map(repr, empty[:_SHOWN]))
    raise errors.DataError(
      f'{len(empty)} training images have no {label} (items {shown}'
      f'{", ..." if len(empty) > _SHOWN else ""}); sampler.label={label!r}'
      ' needs one of each. Fill the column, or map data.columns.'
    )


def batch_size(config: ml_collections.ConfigDict) -> int:
  """Images of a global batch."""
  sampler = config.sampler
  if sampler.name == 'subjects':
    return sampler.subjects_per_batch * sampler.images_per_subject
  return sampler.batch_size


def tuple_size(config: ml_collections.ConfigDict) -> int:
  """Rows of the tuples outside which no pair counts; 0: all pairs count.

  Raises:
    UsageError: an unknown `sampler.relate`, or 'drawn' without tuples.
  """
  sampler = config.sampler
  if sampler.relate not in RELATE:
    raise errors.unknown('sampler.relate', sampler.relate, RELATE)
  if sampler.relate == 'all':
    return 0
  if sampler.name not in _TUPLES:
    raise errors.UsageError(
      f"sampler.relate='drawn' needs the sampler {' or '.join(_TUPLES)};"
      f' {sampler.name!r} draws single images.'
    )
  return _TUPLES[sampler.name]
