"""Public data sets by name, each turned into the table of `data.table`.

    from mammojax.data import catalog
    frame, notes, terms = catalog.read('mini_mias', 'MIAS')

The modules are described in `entry`. Nothing is fetched: the files must lie in
a folder, as their owners publish them.
"""

from collections.abc import Mapping
import os
import pathlib
import types

from mammojax import errors
from mammojax.data.catalog import (
  cbis_ddsm,
  cbis_npy,
  embed,
  entry,
  fashion_mnist,
  folders,
  ham10000,
  inbreast,
  isic2020,
  mini_mias,
  mnist,
  nih_cxr14,
  oai,
  published,
  rsna_mammo,
  vindr_mammo,
)

DATASETS: Mapping[str, types.ModuleType] = {
  'cbis_ddsm': cbis_ddsm,
  'cbis_npy': cbis_npy,
  'embed': embed,
  'fashion_mnist': fashion_mnist,
  'folders': folders,
  'ham10000': ham10000,
  'inbreast': inbreast,
  'isic2020': isic2020,
  'mini_mias': mini_mias,
  'mnist': mnist,
  'nih_cxr14': nih_cxr14,
  'oai': oai,
  'rsna_mammo': rsna_mammo,
  'vindr_mammo': vindr_mammo,
}


def module(name: str) -> types.ModuleType:
  """The module of a data set.

  Args:
    name: a key of `DATASETS`.

  Returns:
    module with OPTIONS and `read`; its docstring begins with one line on it.

  Raises:
    UsageError: no such data set.
  """
  if name not in DATASETS:
    raise errors.unknown('data set', name, DATASETS)
  return DATASETS[name]


def read(
  name: str, root: str | os.PathLike[str], **options: str
) -> entry.Entry:
  """A data set as a table.

  Args:
    name: a key of `DATASETS`.
    root: the folder its files lie in.
    **options: those of its module; the rest keep their defaults.

  Returns:
    Entry, see `entry`.

  Raises:
    UsageError: an unknown data set, option or value.
    DataError: files or columns missing, or values that cannot be used.
    IntegrityError: a subject that would be in two splits.
  """
  chosen = module(name)
  values = {key: option.default for key, option in chosen.OPTIONS.items()}
  for key, value in options.items():
    if key not in values:
      raise errors.unknown(f'option of {name}', key, values)
    values[key] = chosen.OPTIONS[key].check(key, value)
  return chosen.read(published.folder(pathlib.Path(root)), **values)
