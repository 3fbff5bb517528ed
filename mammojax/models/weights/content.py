"""Formats of files of weights, told by their first bytes and never by a name.

Pickle runs code when it is read. A pickled file is recognised and refused here,
together with the lines that turn it into safetensors; nothing is unpickled.
"""

import pathlib
import pickletools
import shlex
import struct
import zipfile

from mammojax import errors

_HDF5 = b'\x89HDF\r\n\x1a\n'
# Where HDF5 may begin behind a block of the user's.
_HDF5_STARTS = (0, 512, 1024, 2048, 4096, 8192)
_HEAD = 8200
# What follows the first byte of a pickle.
_PROTOCOLS = [bytes([number]) for number in range(6)]
_KNOWN = (
  'safetensors (.safetensors), Keras HDF5 (.h5, .weights.h5) and Keras archives'
  ' (.keras)'
)
# First bytes -> what the file is, for files that are no weights at all.
_OTHERS = (
  (b'version https://git-lfs', 'a pointer of Git LFS and not the file itself'),
  (b'<!DOCTYPE', 'a web page; the download failed'),
  (b'<html', 'a web page; the download failed'),
  (b'\x1f\x8b', 'compressed by gzip; unpack it first'),
  (b'\xfd7zXZ', 'compressed by xz; unpack it first'),
  (b'BZh', 'compressed by bzip2; unpack it first'),
  (b'\x93NUMPY', 'a single NumPy array without a name'),
)
_CONVERT = """\
import torch, safetensors.torch
state = torch.load({source!r}, map_location='cpu', weights_only=True)
for key in ('state_dict', 'model', 'teacher'):
  state = state.get(key, state)
arrays = {{k: v.contiguous().clone() for k, v in state.items() if torch.is_tensor(v)}}
safetensors.torch.save_file(arrays, {target!r})
"""  # noqa: E501


def layout(path: str | pathlib.Path) -> str:
  """What a file is.

  Args:
    path: of the file.

  Returns:
    'safetensors', 'hdf5' or 'keras_archive'.

  Raises:
    UsageError: there is no such file, or it is a folder.
    DataError: anything else, pickled weights among it; the message says how to
      convert them.
  """
  path = pathlib.Path(path)
  head = _head(path)
  if not head:
    raise _refused(path, 'empty')
  if any(head[n : n + len(_HDF5)] == _HDF5 for n in _HDF5_STARTS):
    return 'hdf5'
  # Before pickles: the length of a header may look like one's first opcodes.
  if head[4:9] == b'\0\0\0\0{':
    return 'safetensors'
  if head[:2] == b'PK':
    return _zipped(path)
  if _is_pickle(head):
    raise _pickled(path)
  if head[257:262] == b'ustar':
    raise _refused(path, 'a tar archive; unpack it first')
  # A length beyond all measure is still told as that of a damaged header.
  if head[7:9] == b'\0{':
    return 'safetensors'
  for start, what in _OTHERS:
    if head.lstrip()[: len(start)].lower() == start.lower():
      raise _refused(path, what)
  if len(head) < 16 and struct.unpack('<Q', head[:8].ljust(8, b'\0'))[0]:
    raise _refused(path, f'cut: {len(head)} bytes hold no weights')
  raise _refused(path, 'in no format known here')


def _head(path: pathlib.Path) -> bytes:
  try:
    with open(path, 'rb') as file:
      return file.read(_HEAD)
  except IsADirectoryError as error:
    raise errors.UsageError(
      f'{str(path)!r} is a folder; name the file of weights in it. A run is '
      'exported with `python -m mammojax export`.'
    ) from error
  except OSError as error:
    raise errors.UsageError(
      f'No weights can be read from {str(path)!r}: {error.strerror}. '
      'Give the path of a file, or hf://owner/repo to fetch one.'
    ) from error


def _zipped(path: pathlib.Path) -> str:
  """What a zip file is, by the names in it."""
  try:
    with zipfile.ZipFile(path) as file:
      names = file.namelist()
  except (
    OSError,
    ValueError,
    NotImplementedError,
    zipfile.BadZipFile,
  ) as error:
    # The list is at the end: a cut file has the names in its first bytes only.
    if b'data.pkl' in _head(path):
      raise _pickled(path) from error
    raise _refused(path, f'a damaged zip archive ({error})') from error
  if any(name.rsplit('/')[-1].endswith('.pkl') for name in names):
    raise _pickled(path)
  if 'model.weights.h5' in names:
    return 'keras_archive'
  raise _refused(path, f'a zip archive without weights in it: {names[:5]}')


def _is_pickle(head: bytes) -> bool:
  """Whether bytes are the start of a pickle; they are listed, never run."""
  if head[:1] == b'\x80' and head[1:2] in _PROTOCOLS:
    return True
  seen = 0
  try:
    for operation, _, _ in pickletools.genops(head):
      seen += 1
      if operation.name == 'STOP':
        return True
  except ValueError as error:
    # The end of a good beginning, or something else altogether.
    return seen > 20 and 'unknown' not in str(error)
  return False


def _pickled(path: pathlib.Path) -> errors.DataError:
  target = path.with_suffix('.safetensors').name
  code = _CONVERT.format(source=path.name, target=target)
  return errors.DataError(
    f'{str(path)!r} is pickled. Reading a pickle runs the code in it, so it is '
    'refused. Convert it in an environment with torch and safetensors, in the '
    f'folder of the file:\n\npython - <<EOF\n{code}EOF\n\n'
    f'and give {shlex.quote(str(path.with_name(target)))} instead.'
  )


def _refused(path: pathlib.Path, what: str) -> errors.DataError:
  return errors.DataError(
    f'{str(path)!r} is {what}. Known: {_KNOWN}; a pickled .pth is converted '
    'first, see docs/pretrained.md.'
  )
