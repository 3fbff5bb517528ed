"""EfficientNet-Lite: published counts, a float64 forward pass, paddings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import backbones, efficientnet, freezing

# What timm and TensorFlow count with a dense top for 1,000 classes.
PUBLISHED = {
  'lite0': 4_652_008,
  'lite1': 5_416_680,
  'lite2': 6_092_072,
  'lite3': 8_197_096,
  'lite4': 13_006_568,
}
TOP = 1000 * (1280 + 1)


def shapes(model, side=32, method=None):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, 3)), False, method=method
    ),
    jax.random.key(0),
  )


@pytest.mark.parametrize('size', PUBLISHED)
def test_counts_are_published(size):
  out, variables = shapes(backbones.build(f'efficientnet_{size}'))
  assert out.shape == (1, 1280)
  assert freezing.count(variables).trainable + TOP == PUBLISHED[size]


def test_scaled_stages_are_those_of_lite4():
  found = [(s.features, s.blocks) for s in efficientnet.scaled(1.4, 1.8)]
  # 22.4, 33.6, 56, 112, 156.8, 268.8 and 448 channels, to multiples of 8.
  assert found == [
    (24, 1), (32, 4), (56, 4), (112, 6), (160, 6), (272, 8), (448, 1),
  ]  # fmt: skip


def convolve(x, kernel, stride, groups):
  """Pixel by pixel, padded as TensorFlow documents its 'SAME'."""
  kernel = np.asarray(kernel, np.float64)
  size = kernel.shape[0]
  rows, columns = (-(-side // stride) for side in x.shape[1:3])
  frame = [(0, 0)]
  for side, steps in zip(x.shape[1:3], (rows, columns), strict=True):
    total = max((steps - 1) * stride + size - side, 0)
    frame.append((total // 2, total - total // 2))
  x = np.pad(x, (*frame, (0, 0)))
  terms = 'buvc,uvc->bc' if groups else 'buvc,uvcf->bf'
  kernel = kernel[:, :, 0] if groups else kernel
  y = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
  for i, j in np.ndindex(rows, columns):
    down, across = stride * i, stride * j
    window = x[:, down : down + size, across : across + size]
    y[:, i, j] = np.einsum(terms, window, kernel)
  return y


def forward(x, variables, stages):
  """The map behind the last of some stages, in float64."""

  def layer(x, conv, stride, *, is_last=False, groups=False):
    *folder, name = conv.split('/')
    params, kept = variables['params'], variables['batch_stats']
    for part in folder:
      params, kept = params[part], kept[part]
    norm = name.replace('_conv', '') + '_norm'
    y = convolve(x, params[name]['kernel'], stride, groups)
    mean, var = (np.float64(kept[norm][k]) for k in ('mean', 'var'))
    scale, bias = (np.float64(params[norm][k]) for k in ('scale', 'bias'))
    y = (y - mean) / np.sqrt(var + 1e-3) * scale + bias
    return y if is_last else np.clip(y, 0, 6)

  x = layer(np.float64(x), 'stem_conv', 2)
  for number, (blocks, stride, expand) in enumerate(stages, 1):
    for block in range(1, blocks + 1):
      name = f'stage{number}_block{block}'
      step = stride if block == 1 else 1
      y = layer(x, f'{name}/expand', 1) if expand > 1 else x
      y = layer(y, f'{name}/depthwise', step, groups=True)
      y = layer(y, f'{name}/project', 1, is_last=True)
      x = x + y if block > 1 else y
  return x


# Of 22 x 27, then 11 x 14, then 6 x 7: odd and even sides meet each stride.
@pytest.mark.parametrize('side', [(22, 27), (16, 17)])
def test_forward_equals_float64_loops(rng, side):
  model = backbones.build('efficientnet_lite0', cut='stage3')
  x = jnp.asarray(rng.normal(size=(2, *side, 3)), jnp.float32)
  like = jax.eval_shape(
    lambda key: model.init(key, x, False), jax.random.key(0)
  )
  variables = jax.tree.map(
    lambda leaf: jnp.asarray(
      0.25 * rng.normal(size=leaf.shape) + 0.2, leaf.dtype
    ),
    like,
  )
  variables['batch_stats'] = jax.tree.map(
    lambda leaf: 1 + jnp.abs(leaf), variables['batch_stats']
  )
  want = forward(x, variables, [(1, 1, 1), (2, 2, 6), (2, 2, 6)])
  got = jax.jit(
    lambda variables: model.apply(variables, x, False, method='features')
  )(variables)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * abs(want).max())


def test_training_normalises_by_the_batch_but_where_frozen(rng):
  x = jnp.asarray(rng.normal(size=(4, 16, 16, 3)), jnp.float32)

  def updates(frozen):
    model = efficientnet.EfficientNetLite(cut='stage1', frozen=frozen)
    variables = model.init(jax.random.key(0), x, False)
    _, found = model.apply(variables, x, True, mutable=['batch_stats'])
    return found['batch_stats']

  free, kept = updates(()), updates(('stem_*',))
  assert (np.asarray(free['stem_norm']['var']) < 1).all()
  np.testing.assert_array_equal(kept['stem_norm']['var'], np.ones(32))
  block = kept['stage1_block1']['project_norm']['var']
  assert (np.asarray(block) != 1).all()


def test_kernels_start_by_what_a_value_depends_on():
  model = efficientnet.EfficientNetLite(cut='stage4')
  x = jnp.zeros((1, 32, 32, 3))
  params = model.init(jax.random.key(0), x, False)['params']
  kernel = np.asarray(params['stage4_block2']['depthwise']['kernel'])
  assert kernel.shape == (3, 3, 1, 480)
  assert kernel.std() == pytest.approx(np.sqrt(2 / 9), rel=0.1)


@pytest.mark.parametrize(
  'cut, shape',
  [
    ('stem', (17, 17, 32)),
    ('stage2', (9, 9, 24)),
    ('stage5', (3, 3, 112)),
    ('stage7', (2, 2, 320)),
    ('head', (2, 2, 1280)),
  ],
)
def test_sides_are_rounded_up(cut, shape):
  model = backbones.build('efficientnet_lite0', cut=cut)
  out, _ = shapes(model, side=33, method='features')
  assert out.shape == (1, *shape)


def test_wrong_cut_and_width_are_refused():
  with pytest.raises(errors.UsageError, match="mean 'stage7'"):
    shapes(efficientnet.EfficientNetLite(cut='stage77'))
  with pytest.raises(errors.UsageError, match='has no width'):
    backbones.build('efficientnet_lite0', width=16)
  with pytest.raises(ValueError, match='must be'):
    efficientnet.EfficientNetLite().init(
      jax.random.key(0), jnp.zeros((8, 8, 3)), False
    )
