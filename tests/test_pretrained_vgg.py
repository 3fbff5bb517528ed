"""VGG16's weights in files of torchvision."""

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from mammojax.models import pretrained, vgg


def test_vgg16_of_torchvision_and_its_cut(tmp_path, rng):
  numbers = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
  names = [name for name in vgg.CUTS if 'conv' in name]
  model = vgg.VGG16(cut='block2_conv1', width=2)
  variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False)
  full = jax.eval_shape(
    lambda k: vgg.VGG16(width=2).init(k, jnp.zeros((1, 32, 32, 3)), False),
    jax.random.key(0),
  )['params']
  state = {'classifier.0.weight': np.zeros((2, 2), np.float32)}
  for name, number in zip(names, numbers, strict=True):
    shape = full[name]['kernel'].shape
    state[f'features.{number}.weight'] = np.float32(
      rng.normal(size=(shape[3], shape[2], 3, 3))
    )
    state[f'features.{number}.bias'] = np.float32(rng.normal(size=shape[3]))
  path = tmp_path / 'w.safetensors'
  safetensors.numpy.save_file(state, path)
  loaded = pretrained.load(path, variables)
  kernel = loaded.variables['params']['block2_conv1']['kernel']
  np.testing.assert_array_equal(
    kernel[0, 2], state['features.5.weight'][:, :, 0, 2].T
  )
  assert loaded.record['skipped']['features.28.bias'] == 'after the cut'
