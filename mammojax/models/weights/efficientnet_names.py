"""Names of EfficientNet-Lite: timm's, and those of efficientnet_lite_pytorch.

    stage2_block1/expand/kernel        [1, 1, c, f]
      blocks.1.0.conv_pw.weight        [f, c, 1, 1]  timm
      _blocks.1._expand_conv.weight    [f, c, 1, 1]  efficientnet_lite_pytorch

timm numbers the norms of a block and calls the narrowing convolution of the
first stage, which does not widen, conv_pw. The other one numbers blocks
throughout.
"""

from collections.abc import Callable, Iterable, Mapping
import re

from mammojax.models.weights import arrays, plans, torch_names

_BLOCK = re.compile(r'stage(\d+)_block(\d+)/(expand|depthwise|project)(_norm)?')
_TIMM_CONVS = {'expand': 'pw', 'depthwise': 'dw', 'project': 'pwl'}
_TIMM_ENDS = {
  'stem_conv': 'conv_stem',
  'stem_norm': 'bn1',
  'head_conv': 'conv_head',
  'head_norm': 'bn2',
}
_OTHER_ENDS = {
  'stem_conv': '_conv_stem',
  'stem_norm': '_bn0',
  'head_conv': '_conv_head',
  'head_norm': '_bn1',
}
_PARTS = ('expand', 'depthwise', 'project')
# More than any of these networks has.
_MOST_BLOCKS = 64


def lite(leaves: Iterable[plans.Leaf], archive: arrays.Archive) -> plans.Plan:
  """Sources of the arrays of models.efficientnet."""
  leaves = list(leaves)
  depths = _depths(path for path, _ in leaves)
  is_timm = not any(
    re.search(r'(^|\.)_conv_stem\.weight$', name) for name in archive.entries
  )
  place = _timm if is_timm else _other(depths)

  def name(path: str) -> str:
    layer, kind = path.rsplit('/', 1)
    return f'{place(layer)}.{torch_names.LEAVES[kind]}'

  return torch_names.plan(
    leaves,
    archive,
    name,
    'stem_conv/kernel',
    _reasons(depths, is_timm, [path for path, _ in leaves]),
    'timm' if is_timm else 'efficientnet_lite_pytorch',
  )


def _depths(paths: Iterable[str]) -> Mapping[int, int]:
  """Stage -> its number of blocks."""
  found: dict[int, int] = {}
  for path in paths:
    match = _BLOCK.match(path)
    if match:
      stage, block = int(match[1]), int(match[2])
      found[stage] = max(found.get(stage, 0), block)
  return found


def _reasons(depths, is_timm: bool, paths: list[str]) -> dict[str, str]:
  """Why arrays of a whole network are not used, by patterns of their names."""
  beyond = 'after the cut'
  reasons = {**torch_names.REASONS, r'_fc\..*': 'top'}
  if not any(path.startswith('head_') for path in paths):
    reasons[r'_?conv_head\..*'] = beyond
    reasons[r'bn2\..*' if is_timm else r'_bn1\..*'] = beyond
    # A network that is cut lacks whole stages; one with fewer blocks in a
    # stage is another network, which only timm's names can tell.
    later = len(depths) if is_timm else sum(depths.values())
    reasons.update(
      {
        rf'_?blocks\.{number}\..*': beyond
        for number in range(later, later + _MOST_BLOCKS)
      }
    )
  return reasons


def _split(layer: str) -> tuple[int, int, str, bool]:
  """Stage, block, part, and whether it is a norm."""
  match = _BLOCK.fullmatch(layer)
  if match is None:
    raise ValueError(f'{layer!r} is no layer of EfficientNet-Lite.')
  return int(match[1]), int(match[2]), match[3], match[4] is not None


def _timm(layer: str) -> str:
  if layer in _TIMM_ENDS:
    return _TIMM_ENDS[layer]
  stage, block, part, is_norm = _split(layer)
  # The first stage has no expansion, and counts from its depthwise on.
  number = _PARTS.index(part) + (0 if stage == 1 else 1)
  conv = 'pw' if stage == 1 and part == 'project' else _TIMM_CONVS[part]
  kind = f'bn{number}' if is_norm else f'conv_{conv}'
  return f'blocks.{stage - 1}.{block - 1}.{kind}'


def _other(depths: Mapping[int, int]) -> Callable[[str], str]:
  def place(layer: str) -> str:
    if layer in _OTHER_ENDS:
      return _OTHER_ENDS[layer]
    stage, block, part, is_norm = _split(layer)
    before = sum(depths[number] for number in depths if number < stage)
    kind = f'_bn{_PARTS.index(part)}' if is_norm else f'_{part}_conv'
    return f'_blocks.{before + block - 1}.{kind}'

  return place
