"""Names of timm: ConvNeXt and ViT, DINO's release among the latter.

Our paths are theirs but for the rules in models.convnext: a number joins the
word before it, and 'weight' is the kernel of a layer or the scale of a norm.
"""

from collections.abc import Iterable
import re

from mammojax.models.weights import arrays, plans, torch_names

# ViT-S has this many blocks; a network that is cut has fewer.
_VIT_BLOCKS = 12


def convnext(
  leaves: Iterable[plans.Leaf], archive: arrays.Archive
) -> plans.Plan:
  """Sources of the arrays of models.convnext."""
  leaves = list(leaves)
  stages = {path[7] for path, _ in leaves if path.startswith('stages_')}
  later = '|'.join(sorted(set('0123') - stages))
  reasons = {
    r'head\.fc\..*': 'top',
    rf'stages\.({later})\..*': 'after the cut',
  }
  if not any(path.startswith('head/') for path, _ in leaves):
    reasons[r'head\.norm\..*'] = 'after the cut'
  return _plan(leaves, archive, 'stem_0/kernel', reasons)


def vit(leaves: Iterable[plans.Leaf], archive: arrays.Archive) -> plans.Plan:
  """Sources of the arrays of models.vit."""
  leaves = list(leaves)
  depth = len({path for path, _ in leaves if path.endswith('attn/qkv/kernel')})
  later = '|'.join(str(number) for number in range(depth, _VIT_BLOCKS))
  reasons = {
    r'(head|fc_norm|pre_logits)\..*': 'top',
    rf'blocks\.({later})\..*': 'after the cut',
  }
  return _plan(leaves, archive, 'patch_embed/proj/kernel', reasons)


def _plan(leaves, archive, stem, reasons) -> plans.Plan:
  return torch_names.plan(leaves, archive, _name, stem, reasons, 'timm')


def _name(path: str) -> str:
  """'stages_1/downsample_1/kernel' -> 'stages.1.downsample.1.weight'."""
  name = re.sub(r'(stem|stages|blocks|downsample)_(\d+)', r'\1.\2', path)
  name = re.sub(r'/(kernel|scale)$', '/weight', name)
  return name.replace('/', '.')
