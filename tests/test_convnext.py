"""ConvNeXt: timm's counts, a float64 forward pass, cuts and names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_networks as loops

from mammojax import errors
from mammojax.models import backbones, convnext, freezing


def shapes(model, side=32, channels=3):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, channels)), False
    ),
    jax.random.key(0),
  )


def arithmetic(depths, width, channels=3):
  """Parameters, layer by layer, without the dense top."""
  total = 16 * channels * width + width + 2 * width
  for stage, depth in enumerate(depths):
    d = width * 2**stage
    if stage:
      total += 2 * (d // 2) + 4 * (d // 2) * d + d
    total += depth * (49 * d + d + 2 * d + 4 * d * d + 4 * d + 4 * d * d + d)
    total += depth * d
  return total + 2 * d


# What timm 1.0 counts with a dense top for 1,000 classes.
@pytest.mark.parametrize(
  'name, depths, width, published',
  [
    ('convnext_atto', (2, 2, 6, 2), 40, 3_695_520),
    ('convnext_femto', (2, 2, 6, 2), 48, 5_217_784),
    ('convnext_pico', (2, 2, 6, 2), 64, 9_045_672),
    ('convnext_nano', (2, 2, 8, 2), 80, 15_593_560),
  ],
)
def test_counts_are_those_of_timm(name, depths, width, published):
  out, variables = shapes(backbones.build(name))
  top = 1000 * (8 * width + 1)
  assert out.shape == (1, 8 * width)
  assert arithmetic(depths, width) + top == published
  assert freezing.count(variables) == (published - top, 0)


def forward(x, params, depths):
  """The pooled and normed features, in float64."""
  x = loops.norm(
    loops.patches(np.float64(x), params['stem_0'], 4), params['stem_1']
  )
  for stage, depth in enumerate(depths):
    tree = params[f'stages_{stage}']
    if stage:
      x = loops.norm(x, tree['downsample_0'])
      x = loops.patches(x, tree['downsample_1'], 2)
    for number in range(depth):
      block = tree[f'blocks_{number}']
      y = loops.depthwise(x, np.asarray(block['conv_dw']['kernel'], np.float64))
      y = loops.norm(y + np.asarray(block['conv_dw']['bias']), block['norm'])
      x = x + np.asarray(block['gamma']) * loops.mlp(y, block['mlp'])
  return x, loops.norm(x.mean((1, 2)), params['head']['norm'])


def disturbed(tree, rng):
  return jax.tree.map(
    lambda x: jnp.asarray(0.3 * rng.normal(size=x.shape) + 0.1, x.dtype), tree
  )


def test_forward_equals_float64_loops(rng):
  depths = (1, 2, 1, 1)
  model = convnext.ConvNeXt(depths, width=3)
  # The last rows and columns are dropped by patches of four and of two.
  x = jnp.asarray(rng.normal(size=(2, 37, 44, 1)), jnp.float32)
  like = jax.eval_shape(
    lambda key: model.init(key, x, False), jax.random.key(0)
  )
  params = disturbed(like['params'], rng)
  maps, want = forward(x, params, depths)

  @jax.jit
  def run(params):
    inside = {'params': params}
    return model.apply(inside, x, False, method='features'), model.apply(
      inside, x, False
    )

  got_maps, got = run(params)
  np.testing.assert_allclose(got_maps, maps, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_blocks_start_as_their_shortcut():
  _, variables = shapes(convnext.ConvNeXt((1, 1, 1, 1), width=2))
  assert set(variables) == {'params'}
  model = convnext.ConvNeXt((1, 0, 0, 0), width=2, cut='stage1')
  params = jax.jit(model.init, static_argnums=2)(
    jax.random.key(0), jnp.zeros((1, 32, 32, 1)), False
  )
  gamma = params['params']['stages_0']['blocks_0']['gamma']
  np.testing.assert_allclose(gamma, [1e-6, 1e-6])


def test_bfloat16_keeps_parameters_and_features_float32():
  model = convnext.ConvNeXt((1, 1, 1, 1), width=2, dtype=jnp.bfloat16)
  out, variables = shapes(model)
  assert all(x.dtype == jnp.float32 for x in jax.tree.leaves((out, variables)))


def test_wrong_cut_and_size_are_refused():
  with pytest.raises(errors.UsageError, match="mean 'stage3'"):
    shapes(convnext.ConvNeXt((1, 1, 1, 1), width=2, cut='stag3'))
  with pytest.raises(ValueError, match='at least 32'):
    shapes(convnext.ConvNeXt((1, 1, 1, 1), width=2), side=31)
