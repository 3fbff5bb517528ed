"""Prepared data sets of tensorflow-datasets, read without TensorFlow.

    frame, store = read('my_set', data_dir='tfds', columns={'subject': 'label'})
    store.read('train/17')                          # the bytes of an image

The data set must have been prepared with `file_format='array_record'`, as
`tfds_writing` does. Its scalar and text features become the columns of
`mammojax.data.table`, the names of its splits the column split where it has
several. The column path is split/number, so `columns={'subject': 'path'}` makes
every image its own subject. Nothing is downloaded.
"""

from collections.abc import Mapping, Sequence
import io
import math
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from mammojax import errors
from mammojax.data import readers, table

# What the library and its files raise when a data set cannot be opened.
_BROKEN = (
  AssertionError,
  LookupError,
  NotImplementedError,
  OSError,
  RuntimeError,
  TypeError,
  ValueError,
)


class TfdsStore:
  """A `readers.Store` of the images of a data set, by split/number.

  Attributes:
    root: folder of the data set.
  """

  def __init__(self, builder: Any, image_feature: str, splits: Sequence[str]):
    self.root = pathlib.Path(builder.data_dir)
    self._feature = builder.info.features[image_feature]
    self._name = image_feature
    skipped = {
      name: tfds.decode.SkipDecoding()
      for name, feature in builder.info.features.items()
      if isinstance(feature, tfds.features.Image)
    }
    self.sources = {
      split: builder.as_data_source(split, decoders=skipped) for split in splits
    }

  def read(self, path: str) -> bytes:
    """The file that a record holds, or its array as a .npy."""
    if not self.exists(path):
      raise errors.DataError(f'{path!r} is not in {self.root}.')
    split, _, number = path.rpartition('/')
    try:
      value = self.sources[split][int(number)][self._name]
      if isinstance(value, bytes):
        if self._feature.np_dtype != np.float32:
          return value
        # The library keeps a float as the four channels of a PNG.
        value = self._feature.decode_example_np(value)
    except _BROKEN as error:
      raise errors.DataError(
        f'{path!r} of {self.root} cannot be read: {error}.'
      ) from error
    file = io.BytesIO()
    np.save(file, np.asarray(value), allow_pickle=False)
    return file.getvalue()

  def exists(self, path: str) -> bool:
    """Whether there is such a record."""
    split, _, number = path.rpartition('/')
    return (
      split in self.sources
      and number.isdecimal()
      and int(number) < len(self.sources[split])
    )

  def close(self) -> None:
    """Holds nothing open that is not shared."""


def read(
  name: str,
  *,
  data_dir: str = '',
  image_feature: str = '',
  splits: str = '',
  columns: Mapping[str, str] | None = None,
  on_bad: str = 'stop',
  on_leak: str = 'stop',
  needs_split: bool = False,
  voi: str = 'none',
  key: bytes | None = None,
) -> tuple[pd.DataFrame, readers.Store]:
  """Reads a prepared data set and decodes every image of it once.

  Args:
    name: such as 'mnist', 'mnist:3.0.1' or 'name/config'.
    data_dir: folder it was prepared in; '' is the library's default.
    image_feature: '' is the only one of type Image; a Tensor may be named.
    splits: those that are used, divided by commas; '' all.
    columns: canonical name -> feature, see `table.read`.
    on_bad: see `table.read`.
    on_leak: see `table.read`.
    needs_split: see `table.read`.
    voi: see `table.read`.
    key: see `table.read`.

  Returns:
    (frame as in `table`, store of its images).

  Raises:
    UsageError: no name, or a feature or split that does not exist.
    DataError: not prepared, in another format, or as `table.read`.
    IntegrityError: as `table.read`.
  """
  if not name:
    raise errors.UsageError(
      "data.source='tfds' needs data.tfds.name, the name of a data set."
    )
  builder = _builder(name, data_dir)
  source = f'The data set {name!r}'
  feature = _image_feature(builder.info.features, image_feature, source)
  chosen = _splits(list(builder.info.splits), splits)
  try:
    store = TfdsStore(builder, feature, chosen)
    raw = _records(builder.info.features, store)
  except _BROKEN as error:
    raise errors.DataError(
      f'{source} in {builder.data_dir} cannot be read: {error}. It must have'
      " been prepared with file_format='array_record'."
    ) from error
  if len(chosen) > 1 and not (columns or {}).get('split', ''):
    _check_names(chosen)
    raw['split'] = raw['path'].str.rpartition('/')[0]
  found = table.examine_records(
    raw,
    source,
    lambda paths: store,
    columns=columns,
    needs_split=needs_split,
    key=key,
  )
  return table.finish(*found, on_bad=on_bad, on_leak=on_leak, voi=voi)


def _builder(name: str, data_dir: str) -> Any:
  try:
    return read_only_builder.builder_from_files(name, data_dir=data_dir or None)
  except _BROKEN as error:
    where = repr(data_dir) if data_dir else 'the default folder'
    first = str(error).strip().partition('\n')[0]
    raise errors.DataError(
      f'The data set {name!r} is not prepared in {where}: {first} Nothing is'
      " downloaded: prepare it with file_format='array_record', or make one of"
      ' a table with python -m mammojax to-tfds.'
    ) from error


def _image_feature(features: Mapping[str, Any], name: str, source: str) -> str:
  images = [
    key
    for key, feature in features.items()
    if isinstance(feature, tfds.features.Image)
  ]
  if name and name not in features:
    raise errors.unknown('data.tfds.image_feature', name, features)
  if not name and len(images) != 1:
    raise errors.UsageError(
      f'{source} has {len(images)} features of images'
      f' ({", ".join(images) or "none"}); name one as data.tfds.image_feature,'
      f' of {", ".join(features)}.'
    )
  return name or images[0]


def _splits(known: list[str], asked: str) -> list[str]:
  chosen = [name.strip() for name in asked.split(',') if name.strip()] or known
  for name in chosen:
    if name not in known:
      raise errors.unknown('split in data.tfds.splits', name, known)
  return chosen


def _check_names(chosen: list[str]) -> None:
  odd = [name for name in chosen if name not in table.SPLITS]
  if odd:
    raise errors.UsageError(
      f'The splits {", ".join(chosen)} are not all called train, validation or'
      f' test: name those to use as data.tfds.splits, without {odd[0]!r}, or'
      ' the feature that tells them as data.columns.split.'
    )


def _records(features: Mapping[str, Any], store: TfdsStore) -> pd.DataFrame:
  """Scalars and texts of all records as strings; one pass over the files."""
  kept = {
    name: feature
    for name, feature in features.items()
    if feature.shape == () and name != 'path'
  }
  rows = []
  for split, examples in store.sources.items():
    for number, example in enumerate(examples):
      cells = {name: _text(kept[name], example[name]) for name in kept}
      rows.append({'path': f'{split}/{number}', **cells})
  raw = pd.DataFrame(rows, columns=['path', *kept], dtype=object)
  raw.index = pd.RangeIndex(1, len(raw) + 1, name='row')
  return raw


def _text(feature: Any, value: Any) -> str:
  """A cell as it would be written: 12.0 as '12', the name of a class."""
  if isinstance(feature, tfds.features.ClassLabel):
    return '' if value < 0 else feature.int2str(int(value))
  if isinstance(value, bytes):
    return value.decode('utf-8', errors='backslashreplace')
  value = np.asarray(value).item()
  if isinstance(value, float):
    if math.isnan(value):
      return ''
    return str(int(value)) if value.is_integer() else repr(value)
  return str(value)
