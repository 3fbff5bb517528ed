"""ViT-S/16: timm's count, a float64 forward pass, positions, cuts."""

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest
import reference_networks as loops

from mammojax import errors
from mammojax.models import backbones, freezing, vit


def shapes(model, side=224):
  return jax.eval_shape(
    lambda key: model.init_with_output(
      key, jnp.zeros((1, side, side, 3)), False
    ),
    jax.random.key(0),
  )


def test_count_is_that_of_timm():
  out, variables = shapes(backbones.build('vit_s16'))
  assert out.shape == (1, 384)
  # Positions and token, patches, twelve blocks, the last norm.
  d = 384
  block = 4 * d + 3 * d * d + 3 * d + d * d + d + 8 * d * d + 5 * d
  want = 198 * d + 768 * d + d + 12 * block + 2 * d
  assert want == 21_665_664
  assert freezing.count(variables) == (want, 0)
  # Other sizes have the same parameters.
  assert freezing.count(shapes(backbones.build('vit_s16'), 96)[1])[0] == want


def attention(x, params):
  """One head after the other, one query after the other."""
  qkv = loops.dense(x, params['qkv'])
  dim = x.shape[-1]
  y = np.zeros_like(x)
  for head in range(dim // 64):
    part = slice(64 * head, 64 * (head + 1))
    query, key, value = (qkv[..., n * dim : (n + 1) * dim] for n in range(3))
    for b, i in np.ndindex(*x.shape[:2]):
      scores = key[b, :, part] @ query[b, i, part] / 8
      weights = np.exp(scores - scores.max())
      y[b, i, part] = weights @ value[b, :, part] / weights.sum()
  return loops.dense(y, params['proj'])


def test_forward_equals_float64_loops(rng):
  model = vit.ViT(width=128, cut='block2')
  x = jnp.asarray(rng.normal(size=(2, 32, 48, 1)), jnp.float32)
  variables = jax.jit(model.init, static_argnums=2)(jax.random.key(0), x, False)
  params = jax.tree.map(
    lambda p: p + jnp.asarray(0.05 * rng.normal(size=p.shape), p.dtype),
    variables['params'],
  )
  grid = loops.patches(np.float64(x), params['patch_embed']['proj'], 16)
  own = np.broadcast_to(np.float64(params['cls_token']), (2, 1, 128))
  y = np.concatenate([own, grid.reshape(2, 6, 128)], axis=1)
  y = y + np.asarray(vit.resize_positions(params['pos_embed'], 2, 3))
  for number in range(2):
    block = params[f'blocks_{number}']
    y = y + attention(loops.norm(y, block['norm1']), block['attn'])
    inner = loops.norm(y, block['norm2'])
    y = y + loops.mlp(inner, block['mlp'])
  want = loops.norm(y, params['norm'])
  got = jax.jit(model.apply, static_argnums=2)({'params': params}, x, False)
  np.testing.assert_allclose(got, want[:, 0], rtol=1e-3, atol=1e-4)
  maps = model.apply({'params': params}, x, False, method='features')
  np.testing.assert_allclose(
    maps.reshape(2, 6, 128), want[:, 1:], rtol=1e-3, atol=1e-4
  )


@pytest.mark.parametrize('rows, columns', [(6, 6), (8, 5), (16, 20)])
def test_positions_are_resized_as_by_pillow(rng, rows, columns):
  table = rng.normal(size=(1, 197, 2)).astype(np.float32)
  got = np.asarray(vit.resize_positions(jnp.asarray(table), rows, columns))
  np.testing.assert_array_equal(got[:, 0], table[:, 0])
  for channel in range(2):
    grid = Image.fromarray(table[0, 1:, channel].reshape(14, 14))
    want = grid.resize((columns, rows), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(
      got[0, 1:, channel].reshape(rows, columns), want, atol=1e-4
    )


def test_positions_of_the_published_size_are_untouched(rng):
  table = jnp.asarray(rng.normal(size=(1, 197, 2)), jnp.float32)
  assert vit.resize_positions(table, 14, 14) is table


def test_wrong_cut_size_and_width_are_refused():
  with pytest.raises(errors.UsageError, match="mean 'block12'"):
    shapes(vit.ViT(cut='blok12'))
  with pytest.raises(ValueError, match='multiples of 16'):
    shapes(vit.ViT(width=64, cut='block1'), side=100)
  with pytest.raises(ValueError, match='multiple of 64'):
    shapes(vit.ViT(width=100, cut='block1'), side=32)
