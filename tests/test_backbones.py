"""Backbones by name: levels, widths, layers, and options they lack."""

import jax
import jax.numpy as jnp
import pytest

from mammojax import errors
from mammojax.models import backbones, embedder, freezing

# Thin, so that shapes alone are looked at.
WIDTHS = {
  'inception_v3': 0,
  'vit_s16': 64,
  **{name: 0 for name in backbones.KINDS if name.startswith('efficientnet')},
}


def shapes(model, side=96, **options):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, 3)), False, **options
    ),
    jax.random.key(0),
  )


@pytest.mark.parametrize(
  'name, cut, level',
  [
    ('resnet18', 'top', 'stage4'),
    ('resnet50', 'top+1', 'stage3'),
    ('convnext_pico', 'top+2', 'stage2'),
    ('vgg16', 'top', 'block5_pool'),
    ('vgg16', 'top+1', 'block5_conv3'),
    ('vgg16', 'top+2', 'block5_conv2'),
    ('vgg16', 'block5', 'block4_pool'),
    ('inception_v3', 'top', 'mixed10'),
    ('inception_v3', 'top+1', 'mixed8'),
    ('inception_v3', 'top+2', 'mixed7'),
    ('inception_v3', 'mixed3', 'mixed3'),
    ('efficientnet_lite0', 'top+1', 'stage7'),
    ('efficientnet_lite0', '', 'head'),
    ('vit_s16', 'top+1', 'block11'),
    ('vit_s16', '', 'block12'),
  ],
)
def test_level_of_a_cut(name, cut, level):
  assert backbones.level(name, cut) == level


@pytest.mark.parametrize(
  'name, cut, shape',
  [
    ('resnet18', 'stem', (24, 24, 4)),
    ('resnet18', 'top+1', (6, 6, 16)),
    ('resnet50', 'stage2', (12, 12, 32)),
    ('convnext_atto', 'stage1', (24, 24, 4)),
    ('convnext_atto', 'top', (3, 3, 32)),
    ('vgg16', 'block5', (6, 6, 32)),
    ('inception_v3', 'top+1', (1, 1, 1280)),
    ('efficientnet_lite1', 'stage3', (12, 12, 40)),
    ('vit_s16', 'block2', (6, 6, 64)),
  ],
)
def test_a_cut_sets_the_map_and_drops_parameters(name, cut, shape):
  width = WIDTHS.get(name, 4)
  model = backbones.build(name, width=width, cut=cut)
  out, variables = shapes(model, method='features')
  assert out.shape == (1, *shape)
  pooled, cut_down = shapes(model)
  assert pooled.shape == (1, shape[-1])
  whole = shapes(backbones.build(name, width=width))[1]
  assert set(cut_down['params']) <= set(whole['params'])
  assert cut == 'top' or freezing.count(variables) < freezing.count(whole)


@pytest.mark.parametrize('name', backbones.KINDS)
def test_layers_hold_every_parameter_in_order(name):
  model = embedder.build(name, width=WIDTHS.get(name, 4), channels=3)
  _, variables = shapes(model)
  names = [
    freezing.path_name(path)
    for path, _ in jax.tree_util.tree_leaves_with_path(variables['params'])
  ]
  layers = model.layers()
  found = {
    leaf: [n for n, layer in enumerate(layers) if freezing.matches(leaf, layer)]
    for leaf in names
  }
  assert all(len(numbers) == 1 for numbers in found.values()), found
  assert {n for (n,) in found.values()} == set(range(len(layers)))
  assert found['head/dense/bias'] == [len(layers) - 1]


@pytest.mark.parametrize(
  'name, fields, message',
  [
    ('convnext_ato', {}, "mean 'convnext_atto'"),
    ('resnet18', {'cut': 'stage5'}, "mean 'stage4'"),
    ('inception_v3', {'cut': 'block5'}, 'Unknown cut of inception_v3'),
    ('patch_net', {'cut': 'conv2'}, 'cannot be cut'),
    ('inception_v3', {'width': 16}, 'has no width'),
    ('vit_s16', {'width': 100}, 'multiple of 64'),
    ('vgg16', {'stem': 'cifar'}, 'vgg16 has no stem'),
    ('vit_s16', {'zero_init': True}, 'vit_s16 has no zero_init'),
    ('resnet18', {'stem': 'cifr'}, "mean 'cifar'"),
    ('resnet18', {'width': -1}, 'at least 0'),
  ],
)
def test_what_a_backbone_lacks_is_refused(name, fields, message):
  with pytest.raises(errors.UsageError, match=message):
    backbones.build(name, **fields)
