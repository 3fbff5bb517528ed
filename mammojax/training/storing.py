"""Prepared images of a config: where they lie and what they depend on."""

import hashlib
import pathlib
from typing import Any

import ml_collections

from mammojax import errors
from mammojax.data import images as table_images
from mammojax.data import prepared, preparing, recipes

# Fields of `config.data` that change no stored pixel. A field that is not
# named here belongs to the key, so that a new one cannot be forgotten.
FREE = frozenset(
  {
    'cache_mb', 'fold', 'held_out', 'input', 'keep_test', 'key_file',
    'num_folds', 'phantom', 'positive', 'prepared', 'prepared_depth', 'region',
    'root', 'source', 'split_fractions', 'split_rule', 'split_seed', 'table',
    'tfds',
  }
)  # fmt: skip
_UINT8_BITS = 8


def check(config: ml_collections.ConfigDict) -> None:
  """Refuses options that would do nothing.

  Raises:
    UsageError: images of no table are to be prepared, or a depth without a
      folder.
  """
  data = config.data
  if data.prepared and data.source != 'table':
    raise errors.UsageError(
      'data.prepared is for images of a table; phantoms are stored in'
      ' data.phantom.cache_dir, and a data set of tfds is stored already.'
    )
  if not data.prepared and data.prepared_depth != 'uint16':
    raise errors.UsageError(
      f'data.prepared_depth={data.prepared_depth!r} needs data.prepared, the'
      ' folder to store images in.'
    )


def key(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What the stored pixels depend on, as JSON values.

  Raises:
    DataError: the table does not exist.
  """
  fields = {
    name: value
    for name, value in config.data.to_dict().items()
    if name not in FREE
  }
  try:
    with pathlib.Path(config.data.table).open('rb') as file:
      digest = hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as error:
    raise errors.DataError(
      f'The table {config.data.table!r} cannot be read: {error}.'
    ) from error
  return {
    'sha256 of the table': digest,
    'version of the steps': recipes.VERSION,
    **fields,
  }


def find(
  config: ml_collections.ConfigDict,
) -> prepared.PreparedImages | None:
  """The prepared images, or None where none are wanted or made.

  Raises:
    IntegrityError, DataError, UsageError: see `prepared.find`.
  """
  if not config.data.prepared:
    return None
  return prepared.find(config.data.prepared, key(config), **_kept(config))


def make(
  config: ml_collections.ConfigDict, images: table_images.TableImages
) -> prepared.PreparedImages:
  """Stores the images in `config.data.prepared`.

  Raises:
    UsageError: 8 bits for sources that have more.
    ResourceError, IntegrityError, DataError: see `prepared.make`.
  """
  if preparing.DEPTHS[config.data.prepared_depth].dtype == 'u1':
    bits = images.bits()
    if bits > _UINT8_BITS:
      raise errors.UsageError(
        f"data.prepared_depth='uint8' would lose levels of images that have"
        f" {bits} bits. Use 'uint16'."
      )
  return prepared.make(
    config.data.prepared, key(config), images, **_kept(config)
  )


def _kept(config) -> dict[str, Any]:
  regions = {'all', config.data.region}
  if config.eval.masked_baseline:
    regions.add('background')
  return {'depth': config.data.prepared_depth, 'regions': sorted(regions)}
