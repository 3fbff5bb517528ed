"""Published weights in our networks, and our networks in files.

    loaded = pretrained.load('resnet18.safetensors', variables)
    embeddings = model.apply(loaded.variables, images, train=False)

A file is told by its content: safetensors with the names of torchvision or
timm or of our own, and HDF5 or archives of Keras. Names, shapes and values are
checked against the network; what does not fit is an error that lists it. What
the file lacks by its nature, the head, stays as it was, and the record says
so.
"""

from collections.abc import Callable, Mapping
import contextlib
import hashlib
import json
import pathlib
from typing import Any, NamedTuple

from flax import traverse_util
import jax.numpy as jnp
import numpy as np

from mammojax import errors
from mammojax.models.weights import (
  arrays,
  content,
  efficientnet_names,
  hub,
  isolation,
  keras_names,
  matching,
  own_names,
  plans,
  tensors,
  timm_names,
  torch_names,
)

_COLLECTIONS = ('params', 'batch_stats')
_CHUNK_BYTES = 1 << 20
grey_stem = matching.grey_stem


class Loaded(NamedTuple):
  """A network with weights, and what was done.

  Attributes:
    variables: as they were given, the arrays of the file in place.
    record: JSON values: 'path', 'sha256', 'layout', 'names', 'loaded' (ours ->
      theirs), 'skipped' (theirs -> why), 'new' (ours), 'summed' (ours, where
      three colours became one) and 'description' (of our own files).
  """

  variables: dict[str, Any]
  record: dict[str, Any]

  def summary(self) -> str:
    """A few lines for a log."""
    record = self.record
    reasons = sorted(set(record['skipped'].values()))
    lines = [
      f'{len(record["loaded"])} arrays from {record["path"]} '
      f'({record["layout"]}, {record["names"]} names, sha256 '
      f'{record["sha256"][:12]})'
    ]
    if record['summed']:
      lines.append('colours summed for grey images: ' + record['summed'][0])
    if reasons:
      lines.append(f'{len(record["skipped"])} skipped: {", ".join(reasons)}')
    if record['new']:
      lines.append('newly initialised: ' + ', '.join(record['new']))
    return '; '.join(lines)


class _Family(NamedTuple):
  """A kind of network: how it is known, and who publishes weights for it."""

  is_it: Callable[[frozenset[str]], bool]
  schemes: Mapping[str, Callable[..., plans.Plan]]


_FAMILIES: Mapping[str, _Family] = {
  'ResNet with the blocks of Keras': _Family(
    lambda paths: 'conv_stem/bias' in paths, {'keras': keras_names.resnet50}
  ),
  'ResNet with the blocks of torchvision': _Family(
    lambda paths: 'conv_stem/kernel' in paths, {'torch': torch_names.resnet}
  ),
  'VGG16': _Family(
    lambda paths: 'block1_conv1/kernel' in paths,
    {'keras': keras_names.vgg16, 'torch': torch_names.vgg16},
  ),
  'InceptionV3 as in Keras': _Family(
    lambda paths: 'stem/branch1_conv1/conv/kernel' in paths,
    {'keras': keras_names.inception_v3},
  ),
  'ConvNeXt': _Family(
    lambda paths: 'stem_0/kernel' in paths, {'torch': timm_names.convnext}
  ),
  'EfficientNet-Lite': _Family(
    lambda paths: 'stem_conv/kernel' in paths,
    {'torch': efficientnet_names.lite},
  ),
  'ViT': _Family(
    lambda paths: 'patch_embed/proj/kernel' in paths,
    {'torch': timm_names.vit},
  ),
}


def find(location: str | pathlib.Path) -> pathlib.Path:
  """The path of a file of weights; fetches it if the location is hf://.

  Raises:
    UsageError, ResourceError: as `hub.fetch`.
  """
  location = str(location)
  if location.startswith(hub.PREFIX):
    return hub.fetch(location)
  return pathlib.Path(location)


@contextlib.contextmanager
def opened(path: str | pathlib.Path):
  """The arrays.Archive of a file of any known format.

  Raises:
    UsageError: no such file.
    DataError: pickled, damaged, or in no known format.
    ResourceError: no process can be started to read HDF5 in.
  """
  layout = content.layout(path)
  if layout == 'safetensors':
    opening = tensors.opened(path)
  else:
    opening = isolation.opened(path, archive=layout == 'keras_archive')
  with opening as archive:
    yield archive


def describe(path: str | pathlib.Path) -> dict[str, Any]:
  """What one of our own files says about its network; {} of others.

  Raises:
    UsageError, DataError: as `opened`.
  """
  with opened(path) as archive:
    return own_names.description(archive)


def load(location: str | pathlib.Path, variables: Mapping[str, Any]) -> Loaded:
  """Puts the arrays of a file into a network.

  Args:
    location: path of a file, or hf://owner/repo[@revision][/file].
    variables: 'params' and perhaps 'batch_stats' of an Embedder or of a bare
      backbone, float32.

  Returns:
    Loaded.

  Raises:
    UsageError: no such file, or no weights are published for this network.
    DataError: a file that cannot be used, or does not fit.
    ResourceError: it cannot be fetched.
  """
  path = find(location)
  leaves = traverse_util.flatten_dict(
    {name: variables[name] for name in _COLLECTIONS if name in variables},
    sep='/',
  )
  shapes = {name: tuple(leaf.shape) for name, leaf in leaves.items()}
  with opened(path) as archive:
    plan = _plan(shapes, archive)
    values = matching.fill(shapes, plan, archive)
    record = _record(location, path, archive, plan, shapes)
  leaves |= {name: jnp.asarray(value) for name, value in values.items()}
  filled = traverse_util.unflatten_dict(leaves, sep='/')
  # A collection without arrays is lost on the way.
  return Loaded({**variables, **filled}, record)


def save(variables: Mapping[str, Any], description: Mapping[str, Any]) -> bytes:
  """A safetensors file of a network, as bytes.

  Args:
    variables: 'params' and perhaps 'batch_stats', float32.
    description: JSON values that `describe` gives back.

  Raises:
    DataError: an array that is not float32 or not finite.
  """
  leaves = traverse_util.flatten_dict(
    {name: variables[name] for name in _COLLECTIONS if name in variables},
    sep='/',
  )
  values = {name: np.asarray(leaf) for name, leaf in leaves.items()}
  bad = [
    name
    for name, value in values.items()
    if value.dtype != np.float32 or not np.isfinite(value).all()
  ]
  if bad:
    raise errors.DataError(
      f'{len(bad)} arrays of the network are not finite float32, the first: '
      f'{bad[:20]}.'
    )
  text = json.dumps(description, sort_keys=True, allow_nan=False)
  return tensors.pack(values, {own_names.FIELD: text})


def _plan(shapes, archive: arrays.Archive) -> plans.Plan:
  """Who names the arrays of the file, and what follows from it."""
  inside = any(name.startswith('params/backbone/') for name in shapes)
  root = 'backbone/' if inside else ''
  if own_names.is_own(archive):
    return own_names.plan(shapes, archive, root)
  full = {
    name.split('/', 1)[1].removeprefix(root): name
    for name in shapes
    if name.split('/', 1)[1].startswith(root)
  }
  leaves = [plans.Leaf(path, shapes[name]) for path, name in full.items()]
  names = _schemes(frozenset(full), archive)
  plan = names(leaves, archive)
  wanted = {full[path]: source for path, source in plan.wanted.items()}
  new = tuple(name for name in shapes if name not in wanted)
  return plan._replace(wanted=wanted, new=new)


def _schemes(paths: frozenset[str], archive: arrays.Archive):
  """The names of the file's publisher for a network."""
  scheme = 'torch' if archive.layout == 'safetensors' else 'keras'
  for family, (is_it, schemes) in _FAMILIES.items():
    if not is_it(paths):
      continue
    if scheme in schemes:
      return schemes[scheme]
    known = {'torch': 'safetensors of torchvision or timm', 'keras': 'Keras'}
    raise errors.UsageError(
      f'{archive.path!r} has the names of {known[scheme]}, and this network is '
      f'a {family}: the arithmetic differs, so they would not give what was '
      f'published. It takes {" or ".join(known[s] for s in schemes)}.'
    )
  raise errors.UsageError(
    f'{archive.path!r}: no published weights are known for this network; it '
    f'takes files of our own. Known: {", ".join(_FAMILIES)}.'
  )


def _record(location, path, archive, plan, shapes) -> dict[str, Any]:
  """JSON values that say what was done."""
  summed = [
    name
    for name, source in plan.wanted.items()
    if matching.is_summed(shapes[name], source, archive.entries[source.name])
  ]
  return {
    'path': str(location),
    'sha256': _sha256(path),
    'layout': archive.layout,
    'names': plan.scheme,
    'loaded': {name: source.name for name, source in plan.wanted.items()},
    'skipped': dict(plan.skipped),
    'new': list(plan.new),
    'summed': summed,
    'description': own_names.description(archive),
  }


def _sha256(path: pathlib.Path) -> str:
  digest = hashlib.sha256()
  with open(path, 'rb') as file:
    while chunk := file.read(_CHUNK_BYTES):
      digest.update(chunk)
  return digest.hexdigest()
