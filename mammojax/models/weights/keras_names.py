"""Names of keras.applications: VGG16, ResNet50, InceptionV3.

A name is `layer/kind`, as `kerasfiles` gives them. VGG16 names its layers as
we do. ResNet50 has two generations of names. InceptionV3 numbers its layers as
they are created, counting on from whatever was created before: only their
order counts.
"""

from collections.abc import Iterable, Sequence
import re

from mammojax.models import inception, vgg
from mammojax.models.weights import arrays, plans

_KINDS = {
  'kernel': 'kernel',
  'bias': 'bias',
  'scale': 'gamma',
  'mean': 'moving_mean',
  'var': 'moving_variance',
}
_TOP = {
  r'(predictions|fc\d+|dense(_\d+)?|logits|classifier|head[^/]*)/.*': 'top',
}
_BLOCK = re.compile(r'stage(\d+)_block(\d+)/(conv|norm)(\d|_shortcut)')


def vgg16(leaves: Iterable[plans.Leaf], archive: arrays.Archive) -> plans.Plan:
  """Sources of the arrays of models.vgg."""
  first = vgg.CUTS[0]
  wanted = {
    leaf.path: plans.Source(leaf.path, is_stem=leaf.path == f'{first}/kernel')
    for leaf in leaves
  }
  beyond = {f'({"|".join(vgg.CUTS)})/.*': 'after the cut'}
  return _plan(archive, wanted, {**_TOP, **beyond})


def resnet50(
  leaves: Iterable[plans.Leaf], archive: arrays.Archive
) -> plans.Plan:
  """Sources of the arrays of models.resnet with style='keras'."""
  layer = _new_layer if 'conv1_conv/kernel' in archive.entries else _old_layer
  wanted = {}
  for path, _ in leaves:
    place, kind = path.rsplit('/', 1)
    name = f'{layer(place)}/{_kind(place, kind)}'
    wanted[path] = plans.Source(name, is_stem=path == 'conv_stem/kernel')
  stages = {int(path[5]) for path in wanted if path.startswith('stage')}
  later = f'(conv|res|bn)[{max(stages, default=0) + 2}-9][_a-h].*'
  return _plan(archive, wanted, {**_TOP, later: 'after the cut'})


def _new_layer(place: str) -> str:
  """'stage1_block2/conv3' -> 'conv2_block2_3_conv'."""
  if place in ('conv_stem', 'norm_stem'):
    return 'conv1_conv' if place == 'conv_stem' else 'conv1_bn'
  stage, block, what, number = _parts(place)
  end = 'conv' if what == 'conv' else 'bn'
  return f'conv{stage + 1}_block{block}_{number}_{end}'


def _old_layer(place: str) -> str:
  """'stage1_block2/conv3' -> 'res2b_branch2c'."""
  if place in ('conv_stem', 'norm_stem'):
    return 'conv1' if place == 'conv_stem' else 'bn_conv1'
  stage, block, what, number = _parts(place)
  start = 'res' if what == 'conv' else 'bn'
  branch = '2' + 'abc'[number - 1] if number else '1'
  return f'{start}{stage + 1}{"abcdefgh"[block - 1]}_branch{branch}'


def _parts(place: str) -> tuple[int, int, str, int]:
  """Stage, block, conv or norm, and number; 0 is the shortcut."""
  match = _BLOCK.fullmatch(place)
  if match is None:
    raise ValueError(f'{place!r} is no layer of a residual network.')
  stage, block, what, number = match.groups()
  return (
    int(stage), int(block), what, 0 if number == '_shortcut' else int(number),
  )  # fmt: skip


def inception_v3(
  leaves: Iterable[plans.Leaf], archive: arrays.Archive
) -> plans.Plan:
  """Sources of the arrays of models.inception."""
  ours = inception.layer_names()
  layers = {
    'conv': _by_number(archive, 'conv2d', len(ours)),
    'norm': _by_number(archive, 'batch_normalization', len(ours)),
  }
  wanted = {}
  for path, _ in leaves:
    name, what, kind = path.rsplit('/', 2)
    layer = layers[what][ours.index(name)]
    wanted[path] = plans.Source(
      f'{layer}/{_kind(what, kind)}', is_stem=path == f'{ours[0]}/conv/kernel'
    )
  known = f'({"|".join([*layers["conv"], *layers["norm"]])})/.*'
  return _plan(archive, wanted, {**_TOP, known: 'after the cut'})


def _by_number(archive: arrays.Archive, kind: str, count: int) -> Sequence[str]:
  """Layers of a kind in the order of their numbers, wherever these begin."""
  numbers = {}
  for name in archive.entries:
    match = re.fullmatch(rf'({kind}(?:_(\d+))?)/.*', name)
    if match:
      numbers[match[1]] = int(match[2] or 0)
  if len(numbers) != count:
    raise plans.cannot(
      archive,
      f'{len(numbers)} layers are called {kind}_<number>; InceptionV3 has '
      f'{count}. Such layers are told by their order alone, so the file must '
      'hold InceptionV3 and no other convolution or batch norm.',
    )
  return sorted(numbers, key=numbers.__getitem__)


def _kind(place: str, kind: str) -> str:
  """The name of Keras for a kind of array."""
  is_norm = place.split('/')[-1].startswith('norm')
  return 'beta' if is_norm and kind == 'bias' else _KINDS[kind]


def _plan(archive, wanted, reasons) -> plans.Plan:
  used = {source.name for source in wanted.values()}
  return plans.Plan('keras', wanted, plans.skip(archive.entries, used, reasons))
