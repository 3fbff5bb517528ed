"""Backbones against float64 loops, and on eight devices against one."""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import convolution, norms, resnet

AXIS = 'data'


def loop_conv(x, kernel, stride):
  """Cross-correlation, one output pixel at a time, in float64."""
  size = kernel.shape[0]
  half = size // 2
  frame = ((0, 0), (half, half), (half, half), (0, 0))
  x = np.pad(np.asarray(x, np.float64), frame)
  kernel = np.asarray(kernel, np.float64)
  rows = (x.shape[1] - size) // stride + 1
  columns = (x.shape[2] - size) // stride + 1
  y = np.zeros((x.shape[0], rows, columns, kernel.shape[-1]))
  for i in range(rows):
    for j in range(columns):
      window = x[:, stride * i :, stride * j :][:, :size, :size]
      y[:, i, j] = np.einsum('buvc,uvcf->bf', window, kernel)
  return y


def loop_norm(x, params):
  """Batch norm by the statistics of the batch."""
  mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
  scale = np.asarray(params['scale'], np.float64)
  return (x - mean) / np.sqrt(var + 1e-5) * scale + np.asarray(params['bias'])


def disturb(tree, rng):
  """Parameters that are no longer ones and zeros."""
  return jax.tree.map(
    lambda x: x + jnp.asarray(0.2 * rng.normal(size=x.shape), x.dtype), tree
  )


@pytest.mark.parametrize('block, last', [('BasicBlock', 2), ('Bottleneck', 3)])
@pytest.mark.parametrize('stride', [1, 2])
def test_block_equals_float64_loop(rng, block, last, stride):
  norm = norms.maker(train=True)
  cls = getattr(resnet, block)
  model = cls(features=3, stride=stride, norm=norm)
  x = jnp.asarray(rng.normal(size=(2, 7, 6, 5)), jnp.float32)
  variables = jax.jit(model.init)(jax.random.key(1), x)
  params = disturb(variables['params'], rng)
  got, _ = model.apply(
    {**variables, 'params': params}, x, mutable=['batch_stats']
  )
  y = np.asarray(x, np.float64)
  for number in range(1, last + 1):
    kernel = params[f'conv{number}']['kernel']
    # The stride sits on the first 3x3 convolution.
    first = number == (1 if block == 'BasicBlock' else 2)
    y = loop_conv(y, kernel, stride if first else 1)
    y = loop_norm(y, params[f'norm{number}'])
    y = np.maximum(y, 0) if number < last else y
  short = loop_conv(x, params['conv_shortcut']['kernel'], stride)
  want = np.maximum(y + loop_norm(short, params['norm_shortcut']), 0)
  np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize('size', [1, 3, 7])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('side', [2, 3, 8, 9])
def test_convolve_and_its_gradients_equal_loops(rng, size, stride, side):
  x = rng.normal(size=(3, side, side + 2, 2))
  kernel = rng.normal(size=(size, size, 2, 4))
  want = loop_conv(x, kernel, stride)
  cotangent = rng.normal(size=want.shape)
  f = jax.jit(lambda x, k: convolution.convolve(x, k, stride))
  x32, k32 = jnp.float32(x), jnp.float32(kernel)
  got, pull_back = jax.vjp(f, x32, k32)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
  dx, dk = pull_back(jnp.float32(cotangent))
  # A gradient is the change of the sum by each entry; the map is bilinear.
  want_dk = np.zeros_like(kernel)
  for at in np.ndindex(kernel.shape):
    unit = np.zeros_like(kernel)
    unit[at] = 1.0
    want_dk[at] = (loop_conv(x, unit, stride) * cotangent).sum()
  np.testing.assert_allclose(dk, want_dk, rtol=1e-4, atol=1e-4)
  move = rng.normal(size=x.shape)
  want_dx = (loop_conv(move, kernel, stride) * cotangent).sum()
  np.testing.assert_allclose((dx * move).sum(), want_dx, rtol=1e-3, atol=1e-3)


def test_small_maps_in_bfloat16_are_rounded_once(rng):
  x, kernel = (
    jnp.asarray(rng.normal(size=shape), jnp.bfloat16)
    for shape in ((2, 4, 4, 16), (7, 7, 16, 4))
  )
  exact = loop_conv(np.float64(x), np.float64(kernel), 1)
  got = np.float64(convolution.convolve(x, kernel, 1))
  # Half a step of bfloat16, and what float32 sums are off by.
  np.testing.assert_allclose(got, exact, rtol=2.0**-8, atol=1e-4)


def test_kernel_gradient_in_chunks_equals_lax(rng, monkeypatch):
  x = jnp.asarray(rng.normal(size=(6, 10, 10, 3)), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 4)), jnp.float32)

  def total(convolve, kernel):
    return jnp.sum(jnp.sin(convolve(x, kernel, 2)))

  want = jax.grad(lambda k: total(convolution._convolve, k))(kernel)
  for limit in (1, 20_000, 10**9):
    monkeypatch.setattr(convolution, '_CHUNK_BYTES', limit)
    got = jax.grad(lambda k: total(convolution.convolve, k))(kernel)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_max_pool_equals_loop(rng):
  x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32) - 3.0
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
  want = np.zeros((2, 4, 4, 3), np.float32)
  for i in range(4):
    for j in range(4):
      window = padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
      want[:, i, j] = window.max((1, 2))
  np.testing.assert_array_equal(resnet._max_pool(jnp.asarray(x)), want)


@pytest.mark.parametrize('stem, side', [('imagenet', 4), ('cifar', 16)])
def test_stem_sets_the_size_of_the_first_stage(stem, side):
  model = resnet.ResNet((1,), width=4, stem=stem)
  variables = model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 1)), False)
  _, captured = model.apply(
    variables,
    jnp.zeros((1, 16, 16, 1)),
    False,
    capture_intermediates=lambda module, _: isinstance(
      module, resnet.BasicBlock
    ),
  )
  (block,) = captured['intermediates'].values()
  assert block['__call__'][0].shape == (1, side, side, 4)


def test_zero_init_makes_each_block_its_shortcut(rng):
  norm = norms.maker(train=False)
  block = resnet.BasicBlock(features=3, stride=1, norm=norm, zero_init=True)
  x = jnp.asarray(rng.uniform(size=(2, 5, 5, 3)), jnp.float32)
  variables = block.init(jax.random.key(0), x)
  np.testing.assert_array_equal(block.apply(variables, x), x)


def test_running_statistics_move_by_a_tenth(rng):
  model = resnet.ResNet((1,), width=4, stem='cifar')
  x = jnp.asarray(rng.normal(size=(3, 6, 6, 2)), jnp.float32)
  variables = jax.jit(model.init, static_argnums=2)(jax.random.key(0), x, False)
  _, new = model.apply(variables, x, True, mutable=['batch_stats'])
  y = loop_conv(x, variables['params']['conv_stem']['kernel'], 1)
  got = new['batch_stats']['norm_stem']
  np.testing.assert_allclose(got['mean'], 0.1 * y.mean((0, 1, 2)), atol=1e-5)
  want = 0.9 + 0.1 * y.var((0, 1, 2))
  np.testing.assert_allclose(got['var'], want, rtol=1e-4)


def test_bfloat16_keeps_parameters_statistics_and_features_float32(rng):
  x = jnp.asarray(rng.uniform(size=(4, 16, 16, 1)), jnp.float32)
  wide = resnet.ResNet((1, 1), width=4, stem='cifar')
  narrow = resnet.ResNet((1, 1), width=4, stem='cifar', dtype=jnp.bfloat16)
  variables = jax.jit(narrow.init, static_argnums=2)(
    jax.random.key(0), x, False
  )

  def loss(params, model):
    out, new = model.apply(
      {**variables, 'params': params}, x, True, mutable=['batch_stats']
    )
    return jnp.sum(out**2), (out, new)

  grads, (got, new) = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(
    variables['params'], narrow
  )
  assert got.dtype == jnp.float32
  leaves = jax.tree.leaves((variables, new, grads))
  assert all(leaf.dtype == jnp.float32 for leaf in leaves)
  _, (want, _) = jax.jit(loss, static_argnums=1)(variables['params'], wide)
  np.testing.assert_allclose(got, want, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('transform', ['shard_map', 'pmap'])
def test_eight_devices_equal_one(rng, transform):
  """Output, statistics and gradient, also with unequal shards."""
  x = jnp.asarray(rng.normal(size=(16, 8, 8, 1)), jnp.float32)
  x = x + jnp.arange(16.0)[:, None, None, None]
  one = resnet.ResNet((1, 1), width=4, stem='cifar')
  many = resnet.ResNet((1, 1), width=4, stem='cifar', axis_name=AXIS)
  variables = jax.jit(one.init, static_argnums=2)(
    jax.random.key(0), x[:2], False
  )

  def step(model, axis_name, variables, x):
    def loss(params):
      out, new = model.apply(
        {**variables, 'params': params}, x, True, mutable=['batch_stats']
      )
      total = jnp.sum(jnp.sin(3.0 * out))
      if axis_name:
        total = lax.psum(total, axis_name)
      return total, (out, new['batch_stats'])

    grads, (out, new) = jax.grad(loss, has_aux=True)(variables['params'])
    return out, new, lax.pmean(grads, axis_name) if axis_name else grads

  want = jax.jit(lambda v, x: step(one, None, v, x))(variables, x)
  if transform == 'shard_map':
    mesh = jax.make_mesh(
      (8,), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,)
    )
    p = jax.sharding.PartitionSpec
    got = jax.jit(
      jax.shard_map(
        lambda v, x: step(many, AXIS, v, x),
        mesh=mesh,
        in_specs=(p(), p(AXIS)),
        out_specs=(p(AXIS), p(), p()),
      )
    )(variables, x)
  else:
    out, new, grads = jax.pmap(
      lambda v, x: step(many, AXIS, v, x),
      axis_name=AXIS,
      in_axes=(None, 0),
      out_axes=(0, None, None),
    )(variables, x.reshape(8, 2, 8, 8, 1))
    got = out.reshape(16, -1), new, grads
  # Gradients are sums over 16 x 8 x 8 places of terms that nearly cancel.
  compare = functools.partial(np.testing.assert_allclose, rtol=1e-3)
  compare(got[0], want[0], atol=1e-4)
  jax.tree.map(functools.partial(compare, atol=1e-4), got[1], want[1])
  jax.tree.map(functools.partial(compare, atol=2e-3), got[2], want[2])


def test_wrong_shape_and_stem_are_refused():
  model = resnet.ResNet((1,), width=4)
  with pytest.raises(ValueError, match=r'\[b, h, w, c\]'):
    model.init(jax.random.key(0), jnp.zeros((8, 8, 1)), train=False)
  wrong = resnet.ResNet((1,), width=4, stem='imagnet')
  with pytest.raises(errors.UsageError, match="mean 'imagenet'"):
    wrong.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False)
