"""Files of weights for tests, written as publishers write them."""

import json
import struct

import h5py
import numpy as np


def h5_listed(path, layers, old=False):
  """The layout with `layer_names`, of Keras 1 and 2.

  Args:
    path: of the file.
    layers: layer -> kind -> array, in the order of the model.
    old: name weights as Keras 1 did.
  """
  kinds = {'kernel': 'W', 'bias': 'b'} if old else {}
  with h5py.File(path, 'w') as file:
    file.attrs['layer_names'] = [name.encode() for name in layers]
    for layer, weights in layers.items():
      group = file.create_group(layer)
      names = []
      for kind, value in weights.items():
        end = f'_{kinds[kind]}_1:0' if old else f'/{kind}:0'
        names.append((layer + end).encode())
        group[layer + end] = value
      group.attrs['weight_names'] = names
  return path


def h5_numbered(path, layers, with_names=True):
  """The layout with groups `layers/<class>/vars`, of Keras 3."""
  counts = {}
  with h5py.File(path, 'w') as file:
    for layer, weights in layers.items():
      is_norm = 'moving_mean' in weights
      kind = 'batch_normalization' if is_norm else 'conv2d'
      number = counts[kind] = counts.get(kind, -1) + 1
      group = file.create_group(
        f'layers/{kind}_{number}/vars' if number else f'layers/{kind}/vars'
      )
      if with_names:
        group.attrs['name'] = layer
      for place, value in enumerate(weights.values()):
        group[str(place)] = value
  return path


def tensor_bytes(header, data=b''):
  """A safetensors file with a header of one's own, as bytes."""
  text = header if isinstance(header, bytes) else json.dumps(header).encode()
  return struct.pack('<Q', len(text)) + text + data


def numbered(shape, start=0):
  """float32 of a shape, every value another one."""
  size = int(np.prod(shape))
  return (start + np.arange(size, dtype=np.float32)).reshape(shape)
