"""Arrays of Keras files: HDF5 of Keras 1 to 3, and `.keras` archives.

Only arrays and names are read, by h5py; no model is made from a description of
one. Every array comes out as `layer/kind`, kind being kernel, bias, gamma,
beta, moving_mean or moving_variance:

  keras_h5          `save_weights('x.h5')` and whole models: attributes list
                    layers and their weights
  keras_weights_h5  `save_weights('x.weights.h5')` of Keras 3: groups by class
                    and number, the name of the layer as an attribute
  keras_archive     `save('x.keras')`: a zip of the former

An HDF5 file can point to others. Links out of the file and data kept elsewhere
are refused.
"""

from collections.abc import Iterator
import contextlib
import functools
import io
import json
import pathlib
import re
from typing import Any
import zipfile

import h5py
import numpy as np

from mammojax import errors
from mammojax.models.weights import arrays

_INSIDE = 'model.weights.h5'
# Weights hardly pack: what unpacks to more than this often is a bomb.
_MAX_RATIO = 200
_MAX_DESCRIPTION_BYTES = 1 << 26
# What h5py and zipfile raise for damaged files.
_DAMAGE = (
  OSError,
  RuntimeError,
  KeyError,
  TypeError,
  ValueError,
  zipfile.BadZipFile,
)
# Last part of a name, without `:0`, in Keras 1 (and a number), 2 and 3.
_KINDS = (
  (r'(.*[/_])?(kernel|W)(_\d+)?', 'kernel'),
  (r'(.*[/_])?(bias|b)(_\d+)?', 'bias'),
  (r'(.*[/_])?gamma(_\d+)?', 'gamma'),
  (r'(.*[/_])?beta(_\d+)?', 'beta'),
  (r'(.*[/_])?(moving|running)_mean(_\d+)?', 'moving_mean'),
  (r'(.*[/_])?(moving_variance|running_std)(_\d+)?', 'moving_variance'),
)
# Numbered variables of Keras 3, by how many a layer has and whether the first
# is a vector.
_BY_NUMBER = {
  (1, False): ('kernel',),
  (2, False): ('kernel', 'bias'),
  (3, True): ('beta', 'moving_mean', 'moving_variance'),
  (4, True): ('gamma', 'beta', 'moving_mean', 'moving_variance'),
}


@contextlib.contextmanager
def opened(path: str | pathlib.Path, archive: bool) -> Iterator[arrays.Archive]:
  """A file of Keras, its arrays not yet read.

  Args:
    path: of the file.
    archive: whether it is a `.keras` archive and not HDF5.

  Yields:
    Archive; its entries can be read while it is open.

  Raises:
    DataError: the file is damaged, points to others, or is HDF5 of something
      else.
  """
  with contextlib.ExitStack() as stack:
    try:
      names: dict[str, str] = {}
      source: Any = str(path)
      if archive:
        source, names = _unzip(path)
      file = stack.enter_context(h5py.File(source, 'r'))
      layout, entries = _entries(file, str(path), names)
    except _DAMAGE as error:
      raise arrays.damaged(path, error) from error
    layout = 'keras_archive' if archive else layout
    yield arrays.Archive(str(path), layout, entries, {})


def _entries(file, path, names):
  """The layout and the arrays of an open HDF5 file."""
  root = file.get('model_weights', file)
  if _has_list(root, 'layer_names'):
    return 'keras_h5', _unique(_listed(root, path), path)
  for top in ('layers', '_layer_checkpoint_dependencies'):
    if top in file:
      found = _numbered(file, top, path, names)
      return 'keras_weights_h5', _unique(found, path)
  raise errors.DataError(
    f'{path!r} is HDF5, but not of Keras: it has neither `layer_names` nor '
    f'`layers`, but {list(file)[:8]}.'
  )


def _unique(found, path: str) -> dict[str, arrays.Entry]:
  """Entries by name, none of which may occur twice."""
  entries: dict[str, arrays.Entry] = {}
  for name, entry in found:
    if name in entries:
      raise errors.DataError(
        f'{path!r} holds {name!r} twice: several networks with the same names. '
        'Save the one you want by itself.'
      )
    entries[name] = entry
  return entries


def _listed(root, path: str) -> Iterator[tuple[str, arrays.Entry]]:
  """Arrays that attributes list, layer by layer."""
  for layer in _list(root, 'layer_names'):
    group = _inside(root, layer, path)
    for name in _list(group, 'weight_names'):
      owner, kind = _split(name, layer)
      yield f'{owner}/{kind}', _entry(_inside(group, name, path), path)


def _split(name: str, layer: str) -> tuple[str, str]:
  """The layer and the kind of a listed name.

  A model in a model lists its layers inside the name: `block1_conv1/kernel:0`
  under the layer `vgg16`.
  """
  name = re.sub(r':\d+$', '', name)
  owner = name.split('/')[-2] if '/' in name else layer
  last = name.split('/')[-1]
  for pattern, kind in _KINDS:
    if re.fullmatch(pattern, last):
      return owner, kind
  return owner, last


def _numbered(file, top, path, names) -> Iterator[tuple[str, arrays.Entry]]:
  """Arrays of groups `vars`, whose attribute names the layer."""
  for place in _places(_inside(file, top, path), top, path):
    group = _inside(file, f'{place}/vars', path)
    if not len(group):
      continue
    layer = group.attrs.get('name') or names.get(place.split('/')[-1])
    if layer is None:
      raise errors.DataError(
        f'{path!r} names no layer (at {place!r}), as older versions of Keras 3 '
        'wrote it. Load it there and save the model as .keras or .h5.'
      )
    numbers = sorted(group, key=int)
    first = _inside(group, numbers[0], path)
    kinds = _BY_NUMBER.get((len(numbers), first.ndim == 1), numbers)
    for number, kind in zip(numbers, kinds, strict=True):
      yield f'{_text(layer)}/{kind}', _entry(_inside(group, number, path), path)


def _places(group, place: str, path: str) -> Iterator[str]:
  """Paths of all groups that have a group `vars` in them."""
  for name in group:
    if name == 'vars':
      yield place
      continue
    child = _inside(group, name, path)
    if isinstance(child, h5py.Group):
      yield from _places(child, f'{place}/{name}', path)


def _inside(group, name: str, path: str):
  """A child of a group that lies in this very file."""
  place = group
  for part in name.split('/'):
    link = place.get(part, getlink=True)
    if not isinstance(link, h5py.HardLink):
      what = 'is missing' if link is None else 'points to another place'
      raise errors.DataError(
        f'{path!r}: {group.name.rstrip("/")}/{name} {what}; the file is '
        'damaged or no file of weights.'
      )
    place = place[part]
  return place


def _entry(dataset, path: str) -> arrays.Entry:
  if not isinstance(dataset, h5py.Dataset):
    raise arrays.damaged(path, f'{dataset.name} is no array')
  if dataset.external or dataset.is_virtual:
    raise errors.DataError(
      f'{path!r}: {dataset.name} is kept in another file; only arrays inside '
      'the file are read.'
    )
  dtype = _text(dataset.attrs.get('dtype', str(dataset.dtype)))
  read = functools.partial(_read, dataset, dtype, path)
  return arrays.Entry(tuple(dataset.shape), dtype, read)


def _read(dataset, dtype: str, path: str) -> np.ndarray:
  try:
    value = np.asarray(dataset[()])
  except _DAMAGE as error:
    raise arrays.damaged(path, f'{dataset.name}: {error}') from error
  # Keras keeps these as two raw bytes each.
  return value.view('bfloat16') if dtype == 'bfloat16' else value


def _has_list(group, name: str) -> bool:
  return name in group.attrs or f'{name}0' in group.attrs


def _list(group, name: str) -> list[str]:
  """A list of strings in an attribute, or in several where it was long."""
  if name in group.attrs:
    return [_text(x) for x in group.attrs[name]]
  found: list[str] = []
  number = 0
  while f'{name}{number}' in group.attrs:
    found += [_text(x) for x in group.attrs[f'{name}{number}']]
    number += 1
  return found


def _text(value: object) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)


def _unzip(path) -> tuple[io.BytesIO, dict[str, str]]:
  """The HDF5 file in an archive, and names of layers by class and number."""
  with zipfile.ZipFile(path) as file:
    info = file.getinfo(_INSIDE)
    if info.file_size > _MAX_RATIO * max(info.compress_size, 1):
      raise errors.DataError(
        f'{str(path)!r} unpacks {info.compress_size} bytes to '
        f'{info.file_size}; refused above a ratio of {_MAX_RATIO}.'
      )
    names: dict[str, str] = {}
    if 'config.json' in file.namelist():
      if file.getinfo('config.json').file_size > _MAX_DESCRIPTION_BYTES:
        raise errors.DataError(
          f'{str(path)!r}: its config.json is above 64 MiB.'
        )
      names = _layer_names(file.read('config.json'), str(path))
    return io.BytesIO(file.read(info)), names


def _layer_names(description: bytes, path: str) -> dict[str, str]:
  """'conv2d_3' -> the name of the fourth Conv2D in the list of layers."""
  try:
    layers = json.loads(description)['config']['layers']
    counts: dict[str, int] = {}
    names = {}
    for layer in layers:
      kind = _snake_case(layer['class_name'])
      number = counts.get(kind, 0)
      counts[kind] = number + 1
      names[f'{kind}_{number}' if number else kind] = layer['config']['name']
  except (ValueError, KeyError, TypeError) as error:
    raise arrays.damaged(path, f'config.json: {error!r}') from error
  return names


def _snake_case(name: str) -> str:
  """'Conv2D' -> 'conv2d', 'BatchNormalization' -> 'batch_normalization'."""
  name = re.sub(r'(.)([A-Z][a-z]+)', r'\1_\2', re.sub(r'\W', '', name))
  return re.sub(r'([a-z])([A-Z])', r'\1_\2', name).lower()
