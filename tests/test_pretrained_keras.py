"""Names of keras.applications in our networks, array by array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import inception, pretrained, resnet
from tests import weight_files


@pytest.mark.parametrize('start', [0, 1, 190])
def test_inception_goes_by_the_order_of_numbers(tmp_path, start):
  """Every array a number of its own; order in the file is by depth or name."""
  names = inception.layer_names()
  assert len(names) == 94
  model = inception.InceptionV3(cut='mixed0')
  like = jax.eval_shape(
    lambda k: inception.InceptionV3().init(k, jnp.zeros((1, 75, 75, 3)), False),
    jax.random.key(0),
  )
  file = {}
  for place, name in enumerate(names):
    block, layer = name.split('/')
    shape = like['params'][block][layer]['conv']['kernel'].shape
    number = start + place
    end = f'_{number}' if number else ''
    # The values fit the first blocks alone, to keep the file small.
    shape = shape if block in ('stem', 'mixed0') else (1, 1, 1, 1)
    norms = np.full(shape[-1:], place + 0.5, np.float32)
    file[f'conv2d{end}'] = {'kernel': np.full(shape, place, np.float32)}
    file[f'batch_normalization{end}'] = {
      'beta': norms, 'moving_mean': norms + 1, 'moving_variance': norms + 2,
    }  # fmt: skip
  path = weight_files.h5_listed(
    tmp_path / 'w.h5', {k: file[k] for k in sorted(file)}
  )
  variables = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype),
    jax.eval_shape(
      lambda k: model.init(k, jnp.zeros((1, 75, 75, 3)), False),
      jax.random.key(0),
    ),
  )
  loaded = pretrained.load(path, variables)
  for place, name in enumerate(names[:12]):
    block, layer = name.split('/')
    got = loaded.variables['params'][block][layer]
    stats = loaded.variables['batch_stats'][block][layer]['norm']
    assert (got['conv']['kernel'] == place).all()
    assert (got['norm']['bias'] == place + 0.5).all()
    assert (stats['mean'] == place + 1.5).all()
    assert (stats['var'] == place + 2.5).all()
  file['conv2d_300'] = file['conv2d_50' if start < 50 else 'conv2d_200']
  weight_files.h5_listed(path, file)
  with pytest.raises(errors.DataError, match='95 layers are called conv2d'):
    pretrained.load(path, variables)


@pytest.mark.parametrize('generation', ['new', 'old'])
def test_resnet50_of_keras_in_both_generations_of_names(tmp_path, generation):
  model = resnet.ResNet((1, 2), resnet.Bottleneck, width=2, style='keras')
  variables = jax.tree.map(
    lambda x: np.zeros(x.shape, x.dtype),
    jax.eval_shape(
      lambda k: model.init(k, jnp.zeros((1, 32, 32, 3)), False),
      jax.random.key(0),
    ),
  )
  params, stats = variables['params'], variables['batch_stats']
  place = {
    ('stage1_block1', 'conv_shortcut'): (
      'conv2_block1_0_conv',
      'res2a_branch1',
    ),
    ('stage2_block1', 'norm3'): ('conv3_block1_3_bn', 'bn3a_branch2c'),
    ('stage2_block2', 'conv2'): ('conv3_block2_2_conv', 'res3b_branch2b'),
  }

  def layer(block, name):
    kind = 'conv' if name.startswith('conv') else 'bn'
    if 'stem' in block:
      return {'new': f'conv1_{kind}'}.get(
        generation, 'conv1' if kind == 'conv' else 'bn_conv1'
      )
    stage, number = int(block[5]) + 1, int(block[-1])
    step = 0 if name.endswith('shortcut') else int(name[-1])
    if generation == 'new':
      return f'conv{stage}_block{number}_{step}_{kind}'
    branch = f'2{"abc"[step - 1]}' if step else '1'
    start = 'res' if kind == 'conv' else 'bn'
    return f'{start}{stage}{"ab"[number - 1]}_branch{branch}'

  for (block, name), names in place.items():
    assert layer(block, name) == names[generation == 'old']
  file, wanted, count = {}, {}, 0
  for block in params:
    parts = {block: params[block]} if 'stem' in block else params[block]
    for name, arrays in parts.items():
      like = dict(arrays)
      if 'norm' in name:
        like |= stats[block] if 'stem' in block else stats[block][name]
      keras = {
        'scale': 'gamma',
        'mean': 'moving_mean',
        'var': 'moving_variance',
      }
      if 'norm' in name:
        keras['bias'] = 'beta'
      for kind, value in like.items():
        count += 1
        value = weight_files.numbered(value.shape, 1000 * count)
        wanted[block, name, kind] = value
        file.setdefault(layer(block, name), {})[keras.get(kind, kind)] = value
  file['fc1000'] = {'kernel': np.zeros((8, 9), np.float32)}
  loaded = pretrained.load(
    weight_files.h5_listed(tmp_path / 'w', file), variables
  )
  for (block, name, kind), value in wanted.items():
    collection = 'batch_stats' if kind in ('mean', 'var') else 'params'
    got = loaded.variables[collection][block]
    got = got[kind] if 'stem' in block else got[name][kind]
    np.testing.assert_array_equal(got, value)
  assert loaded.record['skipped'] == {'fc1000/kernel': 'top'}


@pytest.mark.parametrize('generation', ['new', 'old'])
def test_resnet50_of_keras_cut_after_its_stem(tmp_path, generation):
  model = resnet.ResNet(
    (1,), resnet.Bottleneck, width=2, style='keras', cut='stem'
  )
  variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), False)
  names = {
    'new': ('conv1_conv', 'conv1_bn', 'conv2_block1_1_conv'),
    'old': ('conv1', 'bn_conv1', 'res2a_branch2a'),
  }[generation]
  kernel = weight_files.numbered((7, 7, 3, 2))
  two = np.ones(2, np.float32)
  norm = ('gamma', 'beta', 'moving_mean', 'moving_variance')
  file = {
    names[0]: {'kernel': kernel, 'bias': two},
    names[1]: dict.fromkeys(norm, two),
    names[2]: {'kernel': np.ones((1, 1, 2, 2), np.float32)},
  }
  path = weight_files.h5_listed(tmp_path / 'w', file)
  loaded = pretrained.load(path, variables)
  stem = loaded.variables['params']['conv_stem']
  np.testing.assert_array_equal(stem['kernel'], kernel)
  assert loaded.record['skipped'] == {f'{names[2]}/kernel': 'after the cut'}
