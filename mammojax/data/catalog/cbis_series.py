"""Where the DICOM series of CBIS-DDSM lie, and which file of them is which.

The csv files name `<view>/<study>/<series>/000000.dcm`. The series is looked
for by its identifier: as the name of a folder, or in the `metadata.csv` that
the NBIA Data Retriever writes beside folders with readable names. What a file
shows is told by its SeriesDescription and, where that leaves a doubt, by its
pixels: a mask has two values, a crop has many.
"""

from collections.abc import Iterable, Mapping
import os
import pathlib

import numpy as np

from mammojax import errors
from mammojax.data import dicomtags, readers
from mammojax.data.catalog import published

_KINDS = {'full': 'full', 'crop': 'crop', 'mask': 'mask'}


class Series:
  """The .dcm files below a folder, by series."""

  def __init__(self, root: pathlib.Path):
    """Lists the folders; reads no image.

    Args:
      root: folder of the data set.

    Raises:
      DataError: a metadata.csv that is no table.
    """
    self._root = root
    self._files: dict[str, list[str]] = {}
    places: dict[str, str] = {}
    for folder, folders, names in os.walk(root):
      folders.sort()
      below = pathlib.Path(folder).relative_to(root)
      images = sorted(n for n in names if n.lower().endswith('.dcm'))
      if images:
        key = below.as_posix()
        self._files[key] = [(below / name).as_posix() for name in images]
        places.setdefault(below.name, key)
      if 'metadata.csv' in names:
        places |= _listed(root, pathlib.Path(folder))
    self._places = places

  def files(self, named: str) -> list[str]:
    """The files of the series that a path of the csv files names.

    Args:
      named: `<view>/<study>/<series>/<file>`.

    Returns:
      Paths below the root, sorted; none when the series is not there.
    """
    parts = pathlib.PurePosixPath(named.strip()).parts
    if len(parts) < 2:
      return []
    return self._files.get(self._places.get(parts[-2], ''), [])

  def expected(self, named: str) -> str:
    """The file that a path of the csv files should be.

    Args:
      named: see `files`.

    Returns:
      The file of that name; in the readable folders, where files are called
      otherwise, the one of that number; '' when there is none.
    """
    files = self.files(named)
    name = pathlib.PurePosixPath(named.strip())
    same = [
      file for file in files if pathlib.PurePosixPath(file).name == name.name
    ]
    number = int(name.stem) if name.stem.isdecimal() else len(files)
    return (same + files[number : number + 1] + [''])[0]

  def full(self, named: str) -> str:
    """The whole film of a row; `named` itself when it is not there."""
    files = self.files(named)
    if len(files) > 1:
      files = [f for f in files if self._described(f) == 'full']
    return files[0] if len(files) == 1 else named.strip()

  def crop_and_mask(self, named: Iterable[str]) -> tuple[str, str, str]:
    """The crop and the mask of a lesion, whatever they are called.

    Args:
      named: the paths that the csv calls crop and mask, in this order.

    Returns:
      (crop, mask, how they were told apart: 'name', 'description' or
      'content'). What is not there keeps the name of the csv; a mask that is
      not there is ''.

    Raises:
      DataError: files of which none, or several, can be the crop.
    """
    names = [name.strip() for name in named]
    files = list(dict.fromkeys(f for n in names for f in self.files(n)))
    kinds = {file: self._described(file) for file in files}
    how = 'description'
    crops = [file for file in files if kinds[file] == 'crop']
    # A description may be that of the series, or of the other file.
    if files and (len(crops) != 1 or self._is_binary(crops[0])):
      how = 'content'
      kinds = {f: 'mask' if self._is_binary(f) else 'crop' for f in files}
      crops = [file for file in files if kinds[file] == 'crop']
    if not crops and not self.files(names[0]):
      return names[0], '', 'name'
    if len(crops) != 1:
      raise errors.DataError(
        f'{", ".join(map(repr, files))}: {len(crops)} of these could be the'
        ' crop of one lesion, by description and by pixels; fetch the series'
        ' again.'
      )
    masks = [file for file in files if kinds[file] == 'mask']
    return crops[0], masks[0] if len(masks) == 1 else '', how

  def _described(self, file: str) -> str:
    """'full', 'crop', 'mask' or ''."""
    pydicom = dicomtags.library(file)
    try:
      dataset = pydicom.dcmread(
        self._root / file,
        stop_before_pixels=True,
        specific_tags=['SeriesDescription'],
      )
    except dicomtags.damage():
      raise errors.DataError(
        f'{file!r}: a DICOM file that is cut or damaged; fetch it again.'
      ) from None
    text = dicomtags.text(dataset, 'SeriesDescription').lower()
    return next((kind for word, kind in _KINDS.items() if word in text), '')

  def _is_binary(self, file: str) -> bool:
    data = readers.FolderStore(self._root).read(file)
    pixels = readers.decode(data, file)
    low, high = pixels.min(), pixels.max()
    return bool(np.all((pixels == low) | (pixels == high)))


def _listed(root: pathlib.Path, folder: pathlib.Path) -> Mapping[str, str]:
  """Series identifier -> folder below the root, out of a metadata.csv."""
  rows = published.table(
    folder, 'metadata.csv', ['series_uid', 'file_location']
  )
  below = folder.relative_to(root)
  return {
    uid: (below / place.replace('\\', '/')).as_posix()
    for uid, place in zip(
      rows['series_uid'], rows['file_location'], strict=True
    )
  }
