"""Names of EfficientNet-Lite: timm's and those of efficientnet_lite_pytorch."""

import numpy as np
import pytest
import safetensors.numpy

from mammojax import errors
from mammojax.models import pretrained
from tests import weight_files

# Path here -> (shape here, timm's name, the other one's, shape there).
ARRAYS = {
  'params/stem_conv/kernel': (
    (3, 3, 3, 2), 'conv_stem.weight', '_conv_stem.weight', (2, 3, 3, 3),
  ),
  'batch_stats/stem_norm/var': (
    (2,), 'bn1.running_var', '_bn0.running_var', (2,),
  ),
  'params/stage1_block1/depthwise/kernel': (
    (3, 3, 1, 2), 'blocks.0.0.conv_dw.weight',
    '_blocks.0._depthwise_conv.weight', (2, 1, 3, 3),
  ),
  'params/stage1_block1/depthwise_norm/scale': (
    (2,), 'blocks.0.0.bn1.weight', '_blocks.0._bn1.weight', (2,),
  ),
  'params/stage1_block1/project/kernel': (
    (1, 1, 2, 3), 'blocks.0.0.conv_pw.weight',
    '_blocks.0._project_conv.weight', (3, 2, 1, 1),
  ),
  'batch_stats/stage1_block1/project_norm/mean': (
    (3,), 'blocks.0.0.bn2.running_mean', '_blocks.0._bn2.running_mean', (3,),
  ),
  'params/stage2_block1/expand/kernel': (
    (1, 1, 3, 6), 'blocks.1.0.conv_pw.weight',
    '_blocks.1._expand_conv.weight', (6, 3, 1, 1),
  ),
  'params/stage2_block1/expand_norm/bias': (
    (6,), 'blocks.1.0.bn1.bias', '_blocks.1._bn0.bias', (6,),
  ),
  'params/stage2_block2/depthwise_norm/bias': (
    (6,), 'blocks.1.1.bn2.bias', '_blocks.2._bn1.bias', (6,),
  ),
  'params/stage2_block2/project/kernel': (
    (1, 1, 6, 3), 'blocks.1.1.conv_pwl.weight',
    '_blocks.2._project_conv.weight', (3, 6, 1, 1),
  ),
  'params/stage3_block1/project_norm/scale': (
    (4,), 'blocks.2.0.bn3.weight', '_blocks.3._bn2.weight', (4,),
  ),
  'params/head_conv/kernel': (
    (1, 1, 4, 5), 'conv_head.weight', '_conv_head.weight', (5, 4, 1, 1),
  ),
  'params/head_norm/scale': (
    (5,), 'bn2.weight', '_bn1.weight', (5,),
  ),
}  # fmt: skip
SCHEMES = {'timm': 1, 'efficientnet_lite_pytorch': 2}
TOPS = {'timm': 'classifier.weight', 'efficientnet_lite_pytorch': '_fc.weight'}


def tree(paths):
  """Zeros in the shape of our network."""
  root: dict = {}
  for path in paths:
    *folders, last = path.split('/')
    node = root
    for part in folders:
      node = node.setdefault(part, {})
    node[last] = np.zeros(ARRAYS[path][0], np.float32)
  return root


def state(scheme):
  return {
    entry[SCHEMES[scheme]]: weight_files.numbered(entry[3], 10_000 * number)
    for number, entry in enumerate(ARRAYS.values())
  }


def load(tmp_path, values, paths=tuple(ARRAYS)):
  file = tmp_path / 'w.safetensors'
  safetensors.numpy.save_file(values, file)
  return pretrained.load(file, tree(paths))


def turned(value, shape):
  """[out, in, h, w] to [h, w, in, out], one value at a time."""
  if value.ndim == 1:
    return value
  result = np.zeros(shape, np.float32)
  for out, channel, row, column in np.ndindex(value.shape):
    result[row, column, channel, out] = value[out, channel, row, column]
  return result


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('scheme', SCHEMES)
def test_every_array_finds_its_place(tmp_path, scheme, prefix):
  values = state(scheme)
  file = {prefix + name: value for name, value in values.items()}
  file[prefix + TOPS[scheme]] = np.ones((3, 5), np.float32)
  loaded = load(tmp_path, file)
  for path, entry in ARRAYS.items():
    node = loaded.variables
    for part in path.split('/'):
      node = node[part]
    want = turned(values[entry[SCHEMES[scheme]]], entry[0])
    np.testing.assert_array_equal(node, want)
  assert loaded.record['names'] == scheme
  assert loaded.record['skipped'] == {prefix + TOPS[scheme]: 'top'}


@pytest.mark.parametrize('scheme', SCHEMES)
def test_networks_that_are_cut_skip_what_follows(tmp_path, scheme):
  later = ('params/stage3', 'params/head_')
  kept = [path for path in ARRAYS if not path.startswith(later)]
  skipped = load(tmp_path, state(scheme), kept).record['skipped']
  cut = set(ARRAYS) - set(kept)
  names = {ARRAYS[path][SCHEMES[scheme]] for path in cut}
  assert skipped == dict.fromkeys(names, 'after the cut')


@pytest.mark.parametrize(
  'scheme, name',
  [
    ('timm', 'blocks.1.2.bn1.bias'),
    ('timm', 'blocks.3.0.bn1.bias'),
    ('efficientnet_lite_pytorch', '_blocks.4._bn0.bias'),
    ('timm', 'blocks.1.0.se.conv_reduce.weight'),
  ],
)
def test_larger_networks_are_refused(tmp_path, scheme, name):
  values = state(scheme) | {name: np.ones(2, np.float32)}
  with pytest.raises(errors.DataError, match=f'unexpected  {name}'):
    load(tmp_path, values)
