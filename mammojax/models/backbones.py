"""Every backbone by name, each with the levels at which it can be cut.

    backbone = backbones.build('inception_v3', cut='top+1')

A backbone maps float32[b, h, w, c] and `train` to float32[b, f]; its method
`features` gives the map behind them, and `layers` the patterns of its
parameters in order. Names of levels are those of its module; besides these

    top      the whole network, without a dense top
    top+1    one level less, as the sources of `small` name it
    top+2    two levels less
    block5   VGG16 without its fifth block

For InceptionV3 'top+1' is mixed8, as the source's count of 10,674,848 tells:
a level there is a block of 8 x 8 maps and what joins it. For VGG16 the source
does not say; here a level is a layer.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any, NamedTuple

from flax import linen as nn
import jax.numpy as jnp

from mammojax import errors
from mammojax.models import (
  convnext,
  efficientnet,
  inception,
  resnet,
  small,
  vgg,
  vit,
)

STEMS = resnet.STEMS


class Kind(NamedTuple):
  """What a name stands for.

  Attributes:
    make: makes the module from the options it takes.
    width: published number of channels of the first level; 0: it has no
      other.
    cuts: levels from the input on; () if it cannot be cut.
    aliases: other names of levels.
    options: what `make` takes besides `width`, `cut` and `dtype`.
  """

  make: Callable[..., nn.Module]
  width: int
  cuts: tuple[str, ...] = ()
  aliases: Mapping[str, str] = {}
  options: frozenset[str] = frozenset()


def _tops(cuts: tuple[str, ...], steps: tuple[int, ...]) -> dict[str, str]:
  names = ('top', 'top+1', 'top+2')
  return {n: cuts[-1 - step] for n, step in zip(names, steps, strict=True)}


_NORMED = frozenset({'axis_name', 'frozen'})


def _resnet(
  sizes: tuple[int, ...], block: Any, style: str = 'torchvision'
) -> Kind:
  return Kind(
    functools.partial(resnet.ResNet, sizes, block, style=style),
    width=64,
    cuts=resnet.CUTS,
    aliases=_tops(resnet.CUTS, (0, 1, 2)),
    options=_NORMED | {'stem', 'zero_init'},
  )


def _convnext(depths: tuple[int, ...], width: int) -> Kind:
  return Kind(
    functools.partial(convnext.ConvNeXt, depths),
    width=width,
    cuts=convnext.CUTS,
    aliases=_tops(convnext.CUTS, (0, 1, 2)),
  )


def _efficientnet(size: str) -> Kind:
  return Kind(
    functools.partial(efficientnet.EfficientNetLite, *efficientnet.SIZES[size]),
    width=0,
    cuts=efficientnet.CUTS,
    aliases=_tops(efficientnet.CUTS, (0, 1, 2)),
    options=_NORMED,
  )


def _patch_net(width: int, dtype: Any) -> nn.Module:
  return small.PatchNet((width, 2 * width, 4 * width, 4 * width), dtype=dtype)


def _double_conv(width: int, dim: int, **options: Any) -> nn.Module:
  widths = (width, 2 * width, 4 * width)
  return small.DoubleConvNet(widths, dim=dim or 32, **options)


KINDS: Mapping[str, Kind] = {
  'resnet18': _resnet((2, 2, 2, 2), resnet.BasicBlock),
  'resnet34': _resnet((3, 4, 6, 3), resnet.BasicBlock),
  'resnet50': _resnet((3, 4, 6, 3), resnet.Bottleneck),
  'resnet50_keras': _resnet((3, 4, 6, 3), resnet.Bottleneck, 'keras'),
  'vgg16': Kind(
    vgg.VGG16,
    width=64,
    cuts=vgg.CUTS,
    aliases=_tops(vgg.CUTS, (0, 1, 2)) | {'block5': 'block4_pool'},
  ),
  'inception_v3': Kind(
    inception.InceptionV3,
    width=0,
    cuts=inception.CUTS,
    aliases=_tops(inception.CUTS, (0, 2, 3)),
    options=_NORMED,
  ),
  'patch_net': Kind(_patch_net, width=32),
  'double_conv': Kind(
    _double_conv, width=8, options=_NORMED | {'dropout', 'dim'}
  ),
  'convnext_atto': _convnext((2, 2, 6, 2), 40),
  'convnext_femto': _convnext((2, 2, 6, 2), 48),
  'convnext_pico': _convnext((2, 2, 6, 2), 64),
  'convnext_nano': _convnext((2, 2, 8, 2), 80),
  **{
    f'efficientnet_{size}': _efficientnet(size) for size in efficientnet.SIZES
  },
  'vit_s16': Kind(
    vit.ViT, width=384, cuts=vit.CUTS, aliases=_tops(vit.CUTS, (0, 1, 2))
  ),
}


def build(
  name: str,
  *,
  width: int = 0,
  cut: str = '',
  dtype: Any = jnp.float32,
  stem: str = 'imagenet',
  zero_init: bool = False,
  dropout: float = 0.0,
  dim: int = 0,
  axis_name: str | None = None,
  frozen: tuple[str, ...] = (),
) -> nn.Module:
  """The backbone of a name.

  Args:
    name: a key of KINDS.
    width: channels of the first level; 0: as published.
    cut: the last level, see the module; '': the whole network.
    dtype: of the convolutions.
    stem: of ResNets, 'imagenet' or 'cifar'.
    zero_init: of ResNets, start every residual block as its shortcut.
    dropout: of double_conv; other backbones have none.
    dim: of double_conv, the length of its features; 0: the published 32.
    axis_name: device axis over which batch norm is synchronised.
    frozen: patterns of parameters whose norms keep their statistics.

  Returns:
    A flax module.

  Raises:
    UsageError: an unknown name, stem or cut; a width or an option that this
      backbone does not have.
  """
  if name not in KINDS:
    raise errors.unknown('model', name, KINDS)
  if stem not in STEMS:
    raise errors.unknown('stem', stem, STEMS)
  kind = KINDS[name]
  given: dict[str, Any] = {
    'stem': stem,
    'zero_init': zero_init,
    'dropout': dropout,
    'dim': dim,
    'axis_name': axis_name,
    'frozen': frozen,
  }
  wanted = {'stem': stem != 'imagenet', 'zero_init': zero_init}
  for field, is_set in wanted.items():
    if is_set and field not in kind.options:
      raise errors.UsageError(
        f'{name} has no {field}; leave model.{field} as it is in base, or '
        'take a ResNet.'
      )
  options = {field: given[field] for field in kind.options}
  if kind.cuts:
    options['cut'] = level(name, cut)
  elif cut not in ('', 'top'):
    raise errors.UsageError(
      f"{name} cannot be cut; set model.cut='' in place of {cut!r}."
    )
  return kind.make(**options, **_width(name, width), dtype=dtype)


def level(name: str, cut: str) -> str:
  """The level that a cut of a backbone names.

  Raises:
    UsageError: it has no such level.
  """
  kind = KINDS[name]
  known = {'': kind.cuts[-1], **{c: c for c in kind.cuts}, **kind.aliases}
  if cut not in known:
    raise errors.unknown(f'cut of {name}', cut, filter(None, known))
  return known[cut]


def _width(name: str, width: int) -> dict[str, int]:
  published = KINDS[name].width
  if width < 0:
    raise errors.UsageError(f'width must be at least 0, got {width}.')
  if not published:
    if width:
      raise errors.UsageError(
        f'{name} has no width; set model.width=0 in place of {width}.'
      )
    return {}
  if name == 'vit_s16' and width % vit.HEAD_WIDTH:
    raise errors.UsageError(
      f'The width of vit_s16 must be a multiple of {vit.HEAD_WIDTH}, got '
      f'{width}; 0 is the published {published}.'
    )
  return {'width': width or published}
