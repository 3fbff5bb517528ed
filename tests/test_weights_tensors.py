"""Safetensors: what is damaged is refused, all float types are read."""

import struct

import ml_dtypes
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import pretrained
from mammojax.models.weights import tensors
from tests.weight_files import tensor_bytes


def one(shape, offsets, dtype='F32'):
  return {'dtype': dtype, 'shape': shape, 'data_offsets': offsets}


EIGHT = b'\0' * 8
GOOD = tensor_bytes({'a': one([2], [0, 8])}, EIGHT)
DAMAGED = {
  'cut': GOOD[:-3],
  'cut in the header': GOOD[:20],
  'longer than it says': GOOD + b'\0\0\0\0',
  'huge header': struct.pack('<Q', 1 << 40) + GOOD[8:],
  'header of the size limit': struct.pack('<Q', (1 << 56) - 1) + GOOD[8:],
  'overlapping': tensor_bytes(
    {'a': one([2], [0, 8]), 'b': one([2], [4, 12])}, b'\0' * 12
  ),
  'gap': tensor_bytes(
    {'a': one([2], [0, 8]), 'b': one([2], [12, 20])}, b'\0' * 20
  ),
  'shape of other size': tensor_bytes({'a': one([3], [0, 8])}, EIGHT),
  'shape that overflows': tensor_bytes({'a': one([1 << 62, 8], [0, 8])}, EIGHT),
  'negative shape': tensor_bytes({'a': one([-2], [0, 8])}, EIGHT),
  'unknown type': tensor_bytes({'a': one([2], [0, 8], 'F33')}, EIGHT),
  'no JSON': tensor_bytes(b'{"a": nonsense', EIGHT),
  'metadata of numbers': tensor_bytes({'__metadata__': {'a': 1}}),
}


@pytest.mark.parametrize('data', DAMAGED.values(), ids=DAMAGED)
def test_damaged_files_are_refused(tmp_path, data):
  path = tmp_path / 'w.safetensors'
  path.write_bytes(data)
  with pytest.raises(errors.DataError, match='cannot be read') as caught:
    pretrained.load(path, {'params': {}})
  assert repr(str(path)) in str(caught.value)


@pytest.mark.parametrize(
  'dtype', [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
)
def test_floats_of_every_width_become_float32(tmp_path, rng, dtype):
  value = rng.normal(size=(3, 2)).astype(dtype)
  name = {np.float16: 'F16', np.float32: 'F32', np.float64: 'F64'}.get(
    dtype, 'BF16'
  )
  header = {'a': one([3, 2], [0, value.nbytes], name)}
  path = tmp_path / 'w.safetensors'
  path.write_bytes(tensor_bytes(header, value.tobytes()))
  with tensors.opened(path) as archive:
    entry = archive.entries['a']
    assert entry.is_float() and entry.shape == (3, 2)
    got = entry.float32()
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, value.astype(np.float32))


def test_integers_are_no_floats(tmp_path):
  path = tmp_path / 'w.safetensors'
  path.write_bytes(tensor_bytes({'a': one([1], [0, 8], 'I64')}, EIGHT))
  with tensors.opened(path) as archive:
    assert not archive.entries['a'].is_float()


def test_packing_is_the_same_each_time(tmp_path, rng):
  values = {f'x/{n}': rng.normal(size=n).astype(np.float32) for n in range(9)}
  values['turned'] = rng.normal(size=(3, 5)).astype(np.float32).T
  packed = {tensors.pack(values, {'mammojax': '{}'}) for _ in range(5)}
  assert len(packed) == 1
  path = tmp_path / 'w.safetensors'
  path.write_bytes(packed.pop())
  with tensors.opened(path) as archive:
    assert archive.metadata == {'mammojax': '{}'}
    for name, value in values.items():
      np.testing.assert_array_equal(archive.entries[name].float32(), value)
