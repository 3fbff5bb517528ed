"""Images by the path that a table names, also out of files that hold many.

files = ImageFiles(store)
image = files.image('a/1.png')                   # float32[h, w, c]
image = files.image('train-images-idx3-ubyte.gz#17')

`#` and an index from 0, without leading zeros, name one image of an idx file,
of the first axis of a .npy, or a frame of a DICOM file that has several. A file
whose own name ends like that is read as that file.
"""

import collections
from collections.abc import Iterable
import logging
import pathlib
import re
import threading

import numpy as np

from mammojax import errors
from mammojax.data import luts, readers, stacks

_LOG = logging.getLogger(__name__)
_INDEXED = re.compile(r'(.+)#(0|[1-9]\d{0,9})')
# Files of many images that stay open; a train and a test set, and some more.
_MAX_OPEN = 4
_HEAD_BYTES = 8


class ImageFiles:
  """Images of a store by path; safe to use from threads."""

  def __init__(self, store: readers.Store, voi: str = 'none'):
    """Reads nothing yet.

    Args:
      store: where the paths lead.
      voi: which window of DICOM files is used, a mode of `luts`.

    Raises:
      UsageError: an unknown `voi`.
    """
    if voi not in luts.MODES:
      raise errors.unknown('voi', voi, luts.MODES)
    self._store = store
    self._voi = voi
    self._open: collections.OrderedDict[str, tuple[stacks.Stack, int]]
    self._open = collections.OrderedDict()
    self._lock = threading.Lock()

  def exists(self, path: str) -> bool:
    """Whether the file of a path is there, not whether the index is.

    Args:
      path: as in a table.

    Returns:
      True when it is.

    Raises:
      DataError: a path that leads outside the root.
    """
    return self._store.exists(path) or self._split(path)[1] is not None

  def read(self, path: str) -> bytes:
    """The bytes of the file that a path names.

    Args:
      path: as in a table.

    Returns:
      the whole file, also where the path names one image of it.

    Raises:
      DataError: missing, unreadable, or outside the root.
    """
    return self._store.read(self._split(path)[0])

  def image(self, path: str) -> np.ndarray:
    """One image.

    Args:
      path: as in a table.

    Returns:
      float32[h, w, c] in [0, 1], see `readers.decode`.

    Raises:
      DataError: missing, cut, damaged, or not named well enough.
    """
    return self.described(path)[0]

  def described(self, path: str) -> tuple[np.ndarray, int]:
    """One image and how finely it is stored.

    Args:
      path: as in a table.

    Returns:
      (float32[h, w, c] in [0, 1], bits a channel as of `readers.inspect`).

    Raises:
      DataError: as `image`.
    """
    file, index = self._split(path)
    if index is None:
      data = self._store.read(path)
      image = readers.decode(data, path, self._voi)
      return image, readers.inspect(data, path)[3]
    stack, bits = self._stack(file)
    return stack.image(index), bits

  def bits(self, paths: Iterable[str]) -> int:
    """The largest number of bits a channel that files hold.

    Args:
      paths: as in a table.

    Returns:
      1 to 16; 32 or 64 of floats. Each file is read once.

    Raises:
      DataError: as `image`, or no path.
    """
    files = {self._split(path)[0] for path in paths}
    if not files:
      raise errors.DataError('No path was given to tell the bits of.')
    return max(
      readers.inspect(self._store.read(file), file)[3] for file in files
    )

  def _split(self, path: str) -> tuple[str, int | None]:
    """(file, index); (path, None) when the path is that of a file."""
    found = _INDEXED.fullmatch(path)
    if (
      found is None
      or self._store.exists(path)
      or not self._store.exists(found[1])
    ):
      return path, None
    return found[1], int(found[2])

  def _stack(self, file: str) -> tuple[stacks.Stack, int]:
    # One at a time: a second thread waits for the file instead of reading it.
    with self._lock:
      if file not in self._open:
        self._open[file] = self._read(file)
        while len(self._open) > _MAX_OPEN:
          self._open.popitem(last=False)
      self._open.move_to_end(file)
      return self._open[file]

  def _read(self, file: str) -> tuple[stacks.Stack, int]:
    if isinstance(self._store, readers.FolderStore):
      target = self._store.locate(file)
      if stacks.is_npy(_head(target, file)):
        array = stacks.open_npy(file, target)
        bits = stacks.inspect(array, file)[3]
        return stacks.ArrayStack(array, file), bits
    data = self._store.read(file)
    stack = readers.open_stack(data, file, self._voi)
    return stack, readers.inspect(data, file)[3]


def _head(target: pathlib.Path, name: str) -> bytes:
  """The first bytes of a file."""
  try:
    with target.open('rb') as file:
      return file.read(_HEAD_BYTES)
  except OSError as error:
    raise errors.DataError(f'{name!r} cannot be read: {error}.') from error


def find_store(
  table: pathlib.Path, root: str, paths: list[str]
) -> readers.Store:
  """The images of a table: where it says, or beside it.

  Args:
    table: its file.
    root: folder or .zip, absolute or relative to the table's folder; '' is
      that folder, or, when none of the images is there, the one zip in it that
      holds some.
    paths: of the images.

  Returns:
    The open store.

  Raises:
    DataError: no such root, or several zips that fit.
  """
  if root:
    return readers.open_store(table.parent / root)
  folder = readers.open_store(table.parent)
  if any(_is_there(folder, path) for path in paths):
    return folder
  fitting = []
  for archive in sorted(table.parent.glob('*.zip')):
    store = readers.open_store(archive)
    if any(_is_there(store, path) for path in paths):
      fitting.append(store)
    else:
      store.close()
  if len(fitting) > 1:
    names = ', '.join(repr(store.root.name) for store in fitting)
    for store in fitting:
      store.close()
    raise errors.DataError(
      f'Several archives beside {str(table)!r} hold images of it: {names}.'
      ' Name one as the root, for example data.root=images.zip.'
    )
  if not fitting:
    return folder
  _LOG.info('Images are read from %s beside the table.', fitting[0].root)
  return fitting[0]


def _is_there(store: readers.Store, path: str) -> bool:
  """Whether a file is there; a refused path is not, and is reported later."""
  try:
    return ImageFiles(store).exists(path)
  except errors.DataError:
    return False
