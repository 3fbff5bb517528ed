"""A table of images as a data set of tensorflow-datasets, in array_record.

    frame, store = table.read('manifest.csv')
    folder = write(frame, store, pathlib.Path('tfds'), 'my_set')

TensorFlow is not needed, here or to read it back. All records have the same
type: the most channels that an image of the table has, and uint16 where one of
them has more than 8 bits, else uint8. A PNG or JPEG that has that type already
is stored as it is, byte for byte; everything else becomes a PNG of it, scaled
to its full range. What `readers.decode` gives is then the same as before, but
for floats and for depths between 8 and 16 bits (12 bit DICOM), which are
rounded to multiples of 1/65,535, as `images` rounds them anyway.

Features: image, subject, item, visit_months, laterality, view and diagnosis, a
ClassLabel in which -1 is unknown. Records keep the order of the table.
"""

from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import re
import shutil
import tempfile
from typing import Any

import cv2
import numpy as np
import pandas as pd
import tensorflow_datasets as tfds

from mammojax import errors
from mammojax.data import (
  imagefiles,
  pictures,
  preprocess,
  readers,
  splits,
)

VERSION = '1.0.0'
_TEXTS = ('subject', 'item', 'laterality', 'view')
_NAME = re.compile(r'[a-z][a-z0-9_]*')
_UINT8_BITS = 8


class _Encoder:
  """Images of a table as files of one type.

  Attributes:
    channels: of all.
    dtype: of all, uint8 or uint16.
  """

  def __init__(self, store: readers.Store, paths: list[str]):
    self._store = store
    self._files = imagefiles.ImageFiles(store)
    self.channels, is_deep = 1, False
    for path in paths:
      image = self._files.image(path)
      self.channels = max(self.channels, image.shape[2])
      is_deep = is_deep or self._is_deep(path, image)
    self.dtype = np.dtype(np.uint16 if is_deep else np.uint8)
    self._full = np.float32(65535.0 if is_deep else 255.0)

  def __call__(self, path: str) -> bytes:
    """The image of a path as a PNG, or the JPEG that it is."""
    data = self._data(path)
    if pictures.matches(data) and self._fits(data):
      return data
    image = self._files.image(path)
    image = preprocess.to_channels(image, self.channels)
    levels = np.rint(image * self._full).astype(self.dtype)
    # OpenCV wants blue first.
    return cv2.imencode('.png', levels[:, :, ::-1])[1].tobytes()

  def _data(self, path: str) -> bytes:
    """The file of a path; b'' for one image of several in a file."""
    return self._store.read(path) if self._store.exists(path) else b''

  def _is_deep(self, path: str, image: np.ndarray) -> bool:
    data = self._data(path)
    if pictures.matches(data):
      return pictures.inspect(data, path)[3] > _UINT8_BITS
    levels = np.rint(image * np.float32(255.0))
    return not np.array_equal(levels / np.float32(255.0), image)

  def _fits(self, data: bytes) -> bool:
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.dtype != self.dtype:
      return False
    return self.channels == (1 if raw.ndim == 2 else raw.shape[2])


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """The library's view of a table."""

  VERSION = tfds.core.Version(VERSION)

  def __init__(
    self, name: str, frame: pd.DataFrame, encode: _Encoder, data_dir: str
  ):
    self.name = name
    self._frame = frame
    self._encode = encode
    self._classes = sorted(set(frame['diagnosis']) - {''})
    super().__init__(data_dir=data_dir, file_format='array_record')

  def _info(self) -> Any:
    image = tfds.features.Image(
      shape=(None, None, self._encode.channels),
      dtype=self._encode.dtype.type,
    )
    features = {
      'image': image,
      'visit_months': tfds.features.Scalar(np.float64),
      'diagnosis': tfds.features.ClassLabel(names=self._classes),
      **{name: tfds.features.Text() for name in _TEXTS},
    }
    return tfds.core.DatasetInfo(
      builder=self,
      description='Images of a table, written by mammojax.',
      features=tfds.features.FeaturesDict(features),
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    del dl_manager
    return {
      name: self._generate_examples(self._frame[self._frame['split'] == name])
      for name in splits.NAMES
      if (self._frame['split'] == name).any()
    }

  def _generate_examples(self, rows: pd.DataFrame) -> Iterator[Any]:
    for key, (_, row) in enumerate(rows.iterrows()):
      yield (
        key,
        {
          'image': self._encode(row['path']),
          'visit_months': row['visit_months'],
          'diagnosis': row['diagnosis'] or -1,
          **{name: row[name] for name in _TEXTS},
        },
      )


def write(
  frame: pd.DataFrame, store: readers.Store, out: pathlib.Path, name: str
) -> pathlib.Path:
  """Writes a table as a data set, whole or not at all.

  Args:
    frame: as `table.read` gives it.
    store: of its images.
    out: folder of data sets (`data_dir` of the library), made when missing.
    name: of the data set, lower case letters, digits and underscores.

  Returns:
    out / name / version, of mode 0700, its files 0600.

  Raises:
    UsageError: a name that is none, or a data set that is there already.
    DataError: an image that cannot be read, or a diagnosis of several lines.
    ResourceError: the disk is full.
  """
  if not _NAME.fullmatch(name):
    raise errors.UsageError(
      f'--name must be lower case letters, digits and underscores, beginning'
      f' with a letter; got {name!r}.'
    )
  target = out / name / VERSION
  if target.exists():
    raise errors.UsageError(
      f'{str(target)!r} exists; choose another --name or --out.'
    )
  wrong = [text for text in frame['diagnosis'] if len(text.splitlines()) > 1]
  if wrong:
    raise errors.DataError(
      f'The diagnosis {wrong[0]!r} has several lines; names of classes have'
      ' one.'
    )
  try:
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{name}.', dir=out) as staging:
      _prepare(frame, store, pathlib.Path(staging), name)
      target.parent.mkdir(mode=0o700, exist_ok=True)
      os.replace(pathlib.Path(staging) / name / VERSION, target)
  except OSError as error:
    raise errors.ResourceError(
      f'{str(target)!r} cannot be written: {error.strerror or error}.'
      f' {shutil.disk_usage(out if out.is_dir() else ".").free} bytes are free;'
      ' nothing was left behind.'
    ) from error
  return target


def _prepare(
  frame: pd.DataFrame, store: readers.Store, staging: pathlib.Path, name: str
) -> None:
  """Writes into a folder that only its owner can look into."""
  encode = _Encoder(store, frame['path'].tolist())
  builder = _Builder(name, frame, encode, str(staging))
  tfds.disable_progress_bar()
  # The library would say that it downloads.
  with contextlib.redirect_stdout(io.StringIO()):
    builder.download_and_prepare()
  for path in (staging / name).rglob('*'):
    path.chmod(0o700 if path.is_dir() else 0o600)
