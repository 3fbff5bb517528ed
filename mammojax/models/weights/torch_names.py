"""Names of torchvision and timm: residual networks and VGG16.

A checkpoint may put a prefix before all names (`module.`, `encoder.`); it is
found by trying. Kernels are [out, in, h, w] there and [h, w, in, out] here.
"""

from collections.abc import Callable, Iterable, Mapping
import re

from mammojax.models import vgg
from mammojax.models.weights import arrays, plans

# The last part of a path of ours -> that of a name of theirs.
LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'bias': 'bias',
  'mean': 'running_mean',
  'var': 'running_var',
}
# Axes of theirs in the order of ours, by their number.
_AXES = {2: (1, 0), 4: (2, 3, 1, 0)}
REASONS = {
  r'.*num_batches_tracked': 'counter of batch norm',
  r'(fc|classifier|head|pre_logits)\..*': 'top',
}
_BLOCK = re.compile(r'stage(\d+)_block(\d+)/(conv|norm)(\d|_shortcut)')
# torchvision numbers rectifiers and pools of VGG16 as well.
_VGG_NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def resnet(leaves: Iterable[plans.Leaf], archive: arrays.Archive) -> plans.Plan:
  """Sources of the arrays of models.resnet with style='torchvision'."""
  leaves = list(leaves)
  stages = {int(path[5]) for path, _ in leaves if path.startswith('stage')}
  # A network that is cut lacks whole stages; one with fewer blocks in a stage
  # is another network.
  beyond = {rf'layer[{max(stages, default=0) + 1}-9]\..*': 'after the cut'}
  stem = 'conv_stem/kernel'
  return plan(leaves, archive, _resnet_name, stem, {**REASONS, **beyond})


def _resnet_name(path: str) -> str:
  """'stage1_block2/norm1/mean' -> 'layer1.1.bn1.running_mean'."""
  place, kind = path.rsplit('/', 1)
  if place in ('conv_stem', 'norm_stem'):
    what, layer = place[:4], 'conv1' if place == 'conv_stem' else 'bn1'
  else:
    match = _BLOCK.fullmatch(place)
    if match is None:
      raise ValueError(f'{place!r} is no layer of a residual network.')
    stage, block, what, number = match.groups()
    layer = f'{"conv" if what == "conv" else "bn"}{number}'
    if number == '_shortcut':
      layer = 'downsample.0' if what == 'conv' else 'downsample.1'
    layer = f'layer{stage}.{int(block) - 1}.{layer}'
  return f'{layer}.{LEAVES[kind]}'


def vgg16(leaves: Iterable[plans.Leaf], archive: arrays.Archive) -> plans.Plan:
  """Sources of the arrays of models.vgg."""
  layers = [name for name in vgg.CUTS if 'conv' in name]
  numbers = dict(zip(layers, _VGG_NUMBERS, strict=True))

  def name(path: str) -> str:
    layer, kind = path.split('/')
    return f'features.{numbers[layer]}.{LEAVES[kind]}'

  used = '|'.join(map(str, _VGG_NUMBERS))
  beyond = {rf'features\.({used})\.(weight|bias)': 'after the cut'}
  stem = f'{layers[0]}/kernel'
  return plan(leaves, archive, name, stem, {**REASONS, **beyond})


def plan(
  leaves: Iterable[plans.Leaf],
  archive: arrays.Archive,
  name: Callable[[str], str],
  stem: str,
  reasons: Mapping[str, str],
  scheme: str = 'torchvision',
) -> plans.Plan:
  """The plan of a network whose names follow from ours one by one.

  Args:
    leaves: our arrays.
    archive: open file.
    name: path of ours -> name of theirs, without a prefix.
    stem: path of the kernel that sees the image.
    reasons: as of plans.skip, without a prefix.
    scheme: whose names these are.
  """
  names = {path: name(path) for path, _ in leaves}
  prefix = _prefix(archive, list(names.values()), reasons)
  wanted = {
    path: plans.Source(prefix + theirs, is_stem=path == stem)
    for path, theirs in names.items()
  }
  for path, source in wanted.items():
    entry = archive.entries.get(source.name)
    axes = _AXES.get(len(entry.shape), ()) if entry else ()
    wanted[path] = source._replace(axes=axes)
  reasons = {re.escape(prefix) + k: v for k, v in reasons.items()}
  if prefix:
    reasons[rf'(?!{re.escape(prefix)}).*'] = f'not under {prefix!r}'
  used = {source.name for source in wanted.values()}
  skipped = plans.skip(archive.entries, used, reasons)
  return plans.Plan(scheme, wanted, skipped)


def _prefix(
  archive: arrays.Archive, names: list[str], reasons: Mapping[str, str]
) -> str:
  """What stands before all names of a network in a file; mostly nothing."""
  found = set(archive.entries)
  ends = tuple(f'.{name}' for name in names[:1])
  candidates = {''} | {
    entry[: len(entry) - len(names[0])]
    for entry in found
    if entry.endswith(ends)
  }
  hits = {
    prefix: sum(prefix + name in found for name in names)
    for prefix in candidates
  }
  most = max(hits.values())
  best = sorted(prefix for prefix, number in hits.items() if number == most)

  def is_part(prefix: str, other: str) -> bool:
    # The layers of a residual block have the names of the stem.
    if prefix == other or not prefix.startswith(other):
      return False
    name = prefix[len(other) :] + names[0]
    return any(re.fullmatch(pattern, name) for pattern in reasons)

  best = [one for one in best if not any(is_part(one, o) for o in best)]
  if most and len(best) > 1:
    raise plans.cannot(
      archive,
      f'it holds several networks, under {", ".join(map(repr, best))}. Save '
      'the one you want by itself.',
    )
  return best[0]
