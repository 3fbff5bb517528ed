"""From a config to images, batches and the matching experiment it names."""

from collections.abc import Sequence
import os
import pathlib

import ml_collections
import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.data import images as table_images
from mammojax.data import (
  imageset,
  pairing,
  phantom,
  pseudonyms,
  recipes,
  splits,
  table,
)
from mammojax.metrics import by_class, protocols
from mammojax.models import conventions
from mammojax.training import networks, sampling, storing

# The others would have to find a breast that a phantom knows.
_PHANTOM_STEPS = ('orient', 'fit')
# Training images from which the mean and spread of pixels are measured.
_SAMPLE = 512


def cache_folder(name: str) -> str:
  """A folder of this program under the user's cache folder."""
  base = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
  return str(pathlib.Path(base) / 'mammojax' / name)


def recipe(config: ml_collections.ConfigDict) -> recipes.Recipe:
  """What is done to every image, of `config.data`.

  Raises:
    UsageError: an unknown step, an option out of its range, or a step that
      phantoms do not take.
  """
  data = config.data
  made = recipes.Recipe(
    data.steps,
    image_size=data.image_size,
    channels=data.channels,
    voi=data.voi,
    mirror=data.mirror,
    fit=data.fit,
    **data.preprocess.to_dict(),
  )
  others = [name for name in made.names if name not in _PHANTOM_STEPS]
  if data.source == 'phantom' and others:
    raise errors.UsageError(
      f'data.steps has {others}, and phantoms are drawn as the network is to '
      f'see them: they take {" and ".join(_PHANTOM_STEPS)} only. Set '
      "data.source='table' for images of your own."
    )
  return made


def image_set(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike[str] | None = None,
  preload: bool = True,
) -> imageset.ImageSet:
  """Images and their table, checked whole.

  Args:
    config: the run's.
    workdir: folder of the run, in which no key may lie; None where there is
      none.
    preload: read the images of a table into memory.

  Raises:
    UsageError: a source, field or column that does not exist; a key that
      cannot be used.
    DataError: rows or files that cannot be used, all of them listed.
    IntegrityError: one subject in two splits.
  """
  images = _image_set(config, workdir, preload)
  if config.model.head == 'siamese':
    images = pairing.Pairs(images)
  if config.data.positive:
    images.frame = with_target(images.frame, config.data.positive)
  return images


def with_target(frame: pd.DataFrame, positive: Sequence[str]) -> pd.DataFrame:
  """The table with the column target: 'positive', 'negative' or ''.

  Args:
    frame: with the column diagnosis; '' is a diagnosis that is not known.
    positive: the diagnoses that are positive.

  Raises:
    UsageError: one of them is not in the table.
  """
  known = sorted(set(frame['diagnosis']) - {''})
  for name in positive:
    if name not in known:
      raise errors.unknown('diagnosis of data.positive', name, known)
  named = np.where(frame['diagnosis'].isin(positive), 'positive', 'negative')
  return frame.assign(target=np.where(frame['diagnosis'] == '', '', named))


def _image_set(config, workdir, preload) -> imageset.ImageSet:
  """The images as they lie in the source."""
  data = config.data
  storing.check(config)
  steps = recipe(config)
  if data.source == 'phantom':
    if data.held_out:
      raise errors.UsageError(
        'data.held_out is for images of a table or of tfds, not for phantoms.'
      )
    return _phantoms(data, steps)
  if data.source not in ('table', 'tfds'):
    known = ('phantom', 'table', 'tfds')
    raise errors.unknown('data.source', data.source, known)
  if data.source == 'table' and not data.table:
    raise errors.UsageError(
      "data.source='table' needs data.table, the path of a CSV or parquet "
      'file with the columns path and subject.'
    )
  stored = storing.find(config)
  frame, store = _read(data, stored, key(config, workdir))
  frame = _split(data, frame)
  if stored is not None:
    return stored.use(frame)
  images = table_images.TableImages(
    frame,
    store,
    steps,
    # Each is read once, to be stored.
    cache_mb=0 if data.prepared else data.cache_mb,
  )
  if data.prepared:
    made = storing.make(config, images)
    images.warn_of_doubts()
    return made
  if preload:
    images.preload()
    images.warn_of_doubts()
  return images


def key(
  config: ml_collections.ConfigDict,
  workdir: str | os.PathLike[str] | None = None,
) -> bytes | None:
  """The key of `config.data.key_file`, or None.

  Args:
    config: the run's.
    workdir: see `image_set`.

  Raises:
    UsageError: it lies in the workdir, or cannot be used.
  """
  if not config.data.key_file:
    return None
  return pseudonyms.load_key(config.data.key_file, workdir=workdir)


def _phantoms(data, steps: recipes.Recipe) -> phantom.PhantomImages:
  fields = data.phantom.to_dict()
  folder = fields.pop('cache_dir') or cache_folder('phantom')
  return phantom.PhantomImages(
    phantom.PhantomSpec(image_size=data.image_size, **fields),
    cache_dir=folder,
    mirror=data.mirror if 'orient' in steps.names else '',
    workers=os.cpu_count() or 1,
  )


def _read(data, stored, secret: bytes | None):
  """The checked table of a config, and the store of its images."""
  options = {
    'columns': data.columns.to_dict(),
    'on_bad': data.on_bad,
    'on_leak': data.on_leak,
    'needs_split': data.split_rule == 'column' or data.keep_test,
    'voi': data.voi,
    'key': secret,
  }
  if data.source == 'tfds':
    # Only now: the library takes more than a second to import.
    from mammojax.data import tfds_reading

    return tfds_reading.read(**data.tfds.to_dict(), **options)
  decoded = None if stored is None else stored.frame['row'].tolist()
  return table.read(data.table, root=data.root, decoded=decoded, **options)


def _split(data, frame):
  """The table with the split column that `config.data` asks for."""
  options = {'rule': data.split_rule, 'seed': data.split_seed}
  if not data.num_folds:
    frame = splits.divided(
      frame,
      fractions=data.split_fractions,
      keep_test=data.keep_test,
      on_leak=data.on_leak,
      **options,
    )
    return splits.hold_out(frame, data.held_out)
  if data.keep_test:
    raise errors.UsageError(
      'data.num_folds makes every subject a test subject once;'
      ' data.keep_test cannot keep others.'
    )
  frame = splits.with_folds(frame, data.num_folds, data.fold, **options)
  return splits.hold_out(frame, data.held_out)


def scaling(
  config: ml_collections.ConfigDict,
  images: imageset.ImageSet,
  rows: np.ndarray,
) -> conventions.Scaling:
  """What is done to the channels of the images, of `config.data.input`.

  Args:
    config: the run's.
    images: of the run.
    rows: int64[n], the training images; 'learned' measures up to 512 of them,
      spread evenly.

  Returns:
    Scaling.

  Raises:
    UsageError: an unknown convention, or one that the channels do not fit.
    DataError: training images without contrast.
  """
  name = config.data.input
  seen = networks.input_channels(config)
  conventions.check(name, seen)
  if name in conventions.PUBLISHED:
    return conventions.scaling(name, seen)
  pick = np.linspace(0, len(rows) - 1, min(len(rows), _SAMPLE)).astype(int)
  sample = images.images(rows[pick], config.data.region)
  # The images of a pair are scaled alike.
  images_each = networks.image_channels(config) // config.data.channels
  channels = sample.shape[-1] // images_each
  sample = sample.reshape(*sample.shape[:2], -1, channels)
  mean = sample.mean(axis=(0, 1, 2), dtype=np.float64)
  std = sample.std(axis=(0, 1, 2), dtype=np.float64)
  if not (std > 0).all():
    raise errors.DataError(
      f'The training images have no contrast: channel spread {std.tolist()}. '
      'Look at the images and at data.region.'
    )
  return conventions.Scaling(tuple(mean.tolist()), tuple(std.tolist()))


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
  A label other than the subject is searched for among the training images.

  Raises:
    UsageError: an unknown gallery or label, or visits that are not known.
    DataError: no query with a mate.
  """
  label = config.eval.label
  sampling.check_label(frame, label, 'eval.label')
  if label != 'subject':
    return by_class.protocol(frame, label=label, split=split)
  return protocols.forensic(
    frame,
    gallery=config.eval.gallery,
    gallery_images=config.eval.gallery_images,
    split=split,
    gallery_split=None if config.data.num_folds else split,
  )
