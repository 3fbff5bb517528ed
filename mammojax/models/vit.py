"""Vision transformers in flax linen, with the arithmetic and names of timm.

    model = vit.ViT()                                        # ViT-S/16
    variables = model.init(key, images, train=False)
    token = model.apply(variables, images, train=False)      # [b, 384]
    maps = model.apply(variables, images, False, method='features')

Positions are learned for 14 x 14 patches, as of images of 224 pixels, and
interpolated for images of other sizes. The names are those of timm and of
DINO's release, by the rules of `convnext`:

    cls_token                [1, 1, d]     the same
    pos_embed                [1, 197, d]   the same
    patch_embed.proj.weight  [d, c, 16, 16]
                                  patch_embed/proj/kernel   [16, 16, c, d]
    blocks.3.norm1.weight         blocks_3/norm1/scale
    blocks.3.attn.qkv.weight      blocks_3/attn/qkv/kernel  [d, 3 d]
    blocks.3.mlp.fc1.weight       blocks_3/mlp/fc1/kernel   [d, 4 d]
    norm.bias                     norm/bias

Source: Dosovitskiy et al., 2021, arXiv:2010.11929; Caron et al., 2021,
arXiv:2104.14294; timm 1.0, vit_small_patch16_224.
Differs: no dropout, no stochastic depth. DINO interpolates positions without
smoothing when it shrinks; here, as in timm, they are smoothed.
"""

from typing import Any

from flax import linen as nn
import jax
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import convnext

GRID = 14
PATCH = 16
HEAD_WIDTH = 64
CUTS = tuple(f'block{number}' for number in range(1, 13))


class Attention(nn.Module):
  """Self-attention of several heads, each of HEAD_WIDTH channels.

  Attributes:
    dtype: to compute in; the parameters are float32.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, n, d] to [b, n, d]; n^2 products and memory."""
    batch, tokens, dim = x.shape
    heads = dim // HEAD_WIDTH
    qkv = nn.Dense(
      3 * dim, dtype=self.dtype, kernel_init=convnext.normal, name='qkv'
    )(x)
    qkv = qkv.reshape(batch, tokens, 3, heads, HEAD_WIDTH)
    query, key, value = jnp.moveaxis(qkv, 2, 0)
    scores = jnp.einsum('bqhc,bkhc->bhqk', query, key) * HEAD_WIDTH**-0.5
    weights = nn.softmax(scores.astype(jnp.float32)).astype(self.dtype)
    y = jnp.einsum('bhqk,bkhc->bqhc', weights, value)
    return nn.Dense(
      dim, dtype=self.dtype, kernel_init=convnext.normal, name='proj'
    )(y.reshape(batch, tokens, dim))


class Block(nn.Module):
  """x + attention(norm(x)), then the same with an MLP.

  Attributes:
    dtype: to compute in; the parameters are float32.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, n, d] to [b, n, d]."""
    y = convnext.layer_norm(dtype=self.dtype, name='norm1')(x)
    x = x + Attention(self.dtype, name='attn')(y)
    y = convnext.layer_norm(dtype=self.dtype, name='norm2')(x)
    return x + convnext.Mlp(4 * x.shape[-1], self.dtype, name='mlp')(y)


class PatchEmbed(nn.Module):
  """Patches of PATCH pixels as rows.

  Attributes:
    width: channels.
    dtype: to compute in; the parameters are float32.
  """

  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps [b, h, w, c] to [b, h / 16, w / 16, width]."""
    return convnext.Patches(self.width, PATCH, self.dtype, name='proj')(x)


def resize_positions(table: jax.Array, rows: int, columns: int) -> jax.Array:
  """Positions of a grid of patches, from those of GRID x GRID.

  Bicubic, smoothed where the grid shrinks; the class token keeps its own.

  Args:
    table: float32[1, 1 + GRID^2, d], the class token first.
    rows: of the new grid.
    columns: of the new grid.

  Returns:
    float32[1, 1 + rows * columns, d].
  """
  if (rows, columns) == (GRID, GRID):
    return table
  own, grid = table[:, :1], table[:, 1:]
  dim = table.shape[-1]
  grid = jax.image.resize(
    grid.reshape(1, GRID, GRID, dim), (1, rows, columns, dim), 'bicubic'
  )
  return jnp.concatenate([own, grid.reshape(1, rows * columns, dim)], axis=1)


class ViT(nn.Module):
  """A vision transformer over patches of 16 pixels, with a class token.

  Attributes:
    width: channels, a multiple of 64; 384 in ViT-S, which has 6 heads.
    cut: the last block, one of CUTS; later ones have no parameters, the last
      norm stays.
    dtype: of products; parameters and results are float32.
  """

  width: int = 384
  cut: str = CUTS[-1]
  dtype: Any = jnp.float32

  def layers(self) -> tuple[tuple[str, ...], ...]:
    """Patterns of the parameters of each layer, from the input on."""
    blocks = [(f'blocks_{number}',) for number in range(self._depth())]
    return ('cls_token', 'pos_embed', 'patch_embed'), *blocks, ('norm',)

  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """The class token after the last norm; see `features`.

    Args:
      x: float32[b, h, w, c].
      train: has no effect.

    Returns:
      float32[b, width].
    """
    return self._tokens(x)[:, 0]

  def features(self, x: jax.Array, train: bool) -> jax.Array:
    """The tokens of the patches after the last norm, as a map.

    Args:
      x: float32[b, h, w, c], h and w multiples of 16.
      train: has no effect.

    Returns:
      float32[b, h / 16, w / 16, width].

    Raises:
      UsageError: at trace time, if the cut is unknown.
      ValueError: at trace time, if x does not have four axes, its sides are
        no multiples of 16, or the width none of 64.
    """
    tokens = self._tokens(x)[:, 1:]
    rows, columns = (side // PATCH for side in x.shape[1:3])
    return tokens.reshape(x.shape[0], rows, columns, self.width)

  def _depth(self) -> int:
    return CUTS.index(self.cut) + 1

  @nn.compact
  def _tokens(self, x: jax.Array) -> jax.Array:
    if self.cut not in CUTS:
      raise errors.unknown('cut', self.cut, CUTS)
    if self.width % HEAD_WIDTH:
      raise ValueError(
        f'the width must be a multiple of {HEAD_WIDTH}, got {self.width}.'
      )
    if x.ndim != 4 or any(side % PATCH for side in x.shape[1:3]):
      raise ValueError(
        f'images must be [b, h, w, c], h and w multiples of {PATCH}, '
        f'got {x.shape}.'
      )
    shape = (1, 1, self.width)
    own = self.param('cls_token', nn.initializers.normal(1e-6), shape)
    shape = (1, 1 + GRID**2, self.width)
    table = self.param('pos_embed', convnext.normal, shape)
    grid = PatchEmbed(self.width, self.dtype, name='patch_embed')(x)
    batch, rows, columns, _ = grid.shape
    tokens = jnp.concatenate(
      [
        jnp.broadcast_to(own, (batch, 1, self.width)).astype(self.dtype),
        grid.reshape(batch, rows * columns, self.width),
      ],
      axis=1,
    )
    tokens += resize_positions(table, rows, columns).astype(self.dtype)
    for number in range(self._depth()):
      tokens = Block(self.dtype, name=f'blocks_{number}')(tokens)
    return convnext.layer_norm(name='norm')(tokens.astype(jnp.float32))
