"""Names of timm: every array of a small ConvNeXt and ViT in its place."""

import numpy as np
import pytest
import safetensors.numpy

from mammojax import errors
from mammojax.models import pretrained
from tests import weight_files

# Path here -> (shape here, name and shape there, axes of theirs in our order).
CONVNEXT = {
  'stem_0/kernel': ((4, 4, 3, 2), 'stem.0.weight', (2, 3, 4, 4)),
  'stem_0/bias': ((2,), 'stem.0.bias', (2,)),
  'stem_1/scale': ((2,), 'stem.1.weight', (2,)),
  'stages_0/blocks_0/conv_dw/kernel': (
    (7, 7, 1, 2), 'stages.0.blocks.0.conv_dw.weight', (2, 1, 7, 7),
  ),
  'stages_0/blocks_0/norm/bias': ((2,), 'stages.0.blocks.0.norm.bias', (2,)),
  # A dense layer here and in most of timm, a 1x1 convolution in the small ones.
  'stages_0/blocks_0/mlp/fc1/kernel': (
    (2, 8), 'stages.0.blocks.0.mlp.fc1.weight', (8, 2, 1, 1),
  ),
  'stages_0/blocks_0/mlp/fc2/kernel': (
    (8, 2), 'stages.0.blocks.0.mlp.fc2.weight', (2, 8),
  ),
  'stages_0/blocks_0/gamma': ((2,), 'stages.0.blocks.0.gamma', (2,)),
  'stages_1/downsample_1/kernel': (
    (2, 2, 2, 4), 'stages.1.downsample.1.weight', (4, 2, 2, 2),
  ),
  'head/norm/scale': ((4,), 'head.norm.weight', (4,)),
}  # fmt: skip
VIT = {
  'cls_token': ((1, 1, 2), 'cls_token', (1, 1, 2)),
  'pos_embed': ((1, 5, 2), 'pos_embed', (1, 5, 2)),
  'patch_embed/proj/kernel': (
    (16, 16, 3, 2), 'patch_embed.proj.weight', (2, 3, 16, 16),
  ),
  'blocks_0/norm1/scale': ((2,), 'blocks.0.norm1.weight', (2,)),
  'blocks_0/attn/qkv/kernel': ((2, 6), 'blocks.0.attn.qkv.weight', (6, 2)),
  'blocks_0/attn/qkv/bias': ((6,), 'blocks.0.attn.qkv.bias', (6,)),
  'norm/bias': ((2,), 'norm.bias', (2,)),
}  # fmt: skip


def tree(spec):
  params = {}
  for path, (shape, _, _) in spec.items():
    *folders, last = path.split('/')
    node = params
    for part in folders:
      node = node.setdefault(part, {})
    node[last] = np.zeros(shape, np.float32)
  return {'params': params}


def state(spec):
  return {
    name: weight_files.numbered(shape, 10_000 * number)
    for number, (_, name, shape) in enumerate(spec.values())
  }


def turned(value, shape):
  """Their array with our axes, one value at a time."""
  value = value if value.ndim == len(shape) else value[:, :, 0, 0]
  result = np.zeros(shape, np.float32)
  for at in np.ndindex(value.shape):
    if value.ndim == 4:
      out, channel, row, column = at
      result[row, column, channel, out] = value[at]
    else:
      result[at[::-1] if value.ndim == 2 else at] = value[at]
  return result


def load(tmp_path, values, spec):
  path = tmp_path / 'w.safetensors'
  safetensors.numpy.save_file(values, path)
  return pretrained.load(path, tree(spec))


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
@pytest.mark.parametrize('spec', [CONVNEXT, VIT], ids=['convnext', 'vit'])
def test_every_array_finds_its_place(tmp_path, spec, prefix):
  values = state(spec)
  file = {prefix + name: value for name, value in values.items()}
  head = np.ones((3, 2), np.float32)
  file[prefix + ('head.fc.weight' if spec is CONVNEXT else 'head.weight')] = (
    head
  )
  loaded = load(tmp_path, file, spec)
  for path, (shape, name, _) in spec.items():
    node = loaded.variables['params']
    for part in path.split('/'):
      node = node[part]
    np.testing.assert_array_equal(node, turned(values[name], shape))
  assert loaded.record['names'] == 'timm'
  assert list(loaded.record['skipped'].values()) == ['top']


def test_networks_that_are_cut_skip_what_follows(tmp_path):
  cut = {
    k: v for k, v in CONVNEXT.items() if k[:8] not in ('stages_1', 'head/nor')
  }
  skipped = load(tmp_path, state(CONVNEXT), cut).record['skipped']
  assert skipped == {
    'stages.1.downsample.1.weight': 'after the cut',
    'head.norm.weight': 'after the cut',
  }
  later = {'blocks.7.norm1.weight': np.ones(2, np.float32)}
  skipped = load(tmp_path, state(VIT) | later, VIT).record['skipped']
  assert skipped == {'blocks.7.norm1.weight': 'after the cut'}


def test_deeper_networks_are_refused(tmp_path):
  more = {'stages.0.blocks.1.gamma': np.ones(2, np.float32)}
  with pytest.raises(errors.DataError, match=r'unexpected  stages\.0\.blocks'):
    load(tmp_path, state(CONVNEXT) | more, CONVNEXT)
  more = {'blocks.12.norm1.weight': np.ones(2, np.float32)}
  with pytest.raises(errors.DataError, match=r'unexpected  blocks\.12'):
    load(tmp_path, state(VIT) | more, VIT)


def test_grey_patches_are_summed(tmp_path):
  name = 'patch_embed/proj/kernel'
  grey = {**VIT, name: ((16, 16, 1, 2), *VIT[name][1:])}
  loaded = load(tmp_path, state(VIT), grey)
  assert loaded.record['summed'] == ['params/' + name]
  value = state(VIT)['patch_embed.proj.weight']
  want = value[:, 0] + value[:, 1] + value[:, 2]
  got = loaded.variables['params']['patch_embed']['proj']['kernel'][..., 0, :]
  np.testing.assert_array_equal(np.transpose(got, (2, 0, 1)), want)
