"""A classifier in a folder of its own: network, head and threshold.

    network, _ = classifiers.take_network(run, folder)
    classifiers.save(folder, network, result, positive=('mel',))
    model = classifiers.load(folder)
    probability = model.probability(frame, store)

`head.json` holds temperature, threshold, what is done to pictures, and the
sha256 of network and head, so that a head is never used with a network, or with
pictures, that it was not fitted on. Nothing is unpickled.
"""

from collections.abc import Sequence
import hashlib
import pathlib
import tempfile
from typing import Any, NamedTuple

import ml_collections
import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.apps import classify, clinical, embedding, probes
from mammojax.data import images as table_images
from mammojax.data import readers, recipes
from mammojax.metrics import choosing
from mammojax.models.weights import content, tensors
from mammojax.training import inputs, saved, weights
from mammojax.training import workdir as workdirs

NETWORK, HEAD, RECORD = 'network.safetensors', 'head.safetensors', 'head.json'
# Fields of config.data that say what is done to a picture.
_DATA = (
  'source', 'steps', 'image_size', 'channels', 'voi', 'mirror', 'fit',
  'preprocess', 'region',
)  # fmt: skip
_BATCH = 32


class Network(NamedTuple):
  """The network of a run, and what it wants done to pictures.

  Attributes:
    model: flax module.
    variables: of it.
    data: the fields of the run's config.data, JSON values.
    recipe: of the pictures.
    sha256: of the file.
    views: of each image, whose embeddings are averaged; see `models.views`.
    packed: the file; b'' where it lies in the folder of a classifier already.
  """

  model: Any
  variables: dict[str, Any]
  data: dict[str, Any]
  recipe: recipes.Recipe
  sha256: str
  views: str = 'one'
  packed: bytes = b''

  def embed(self, images, rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Embeddings of rows of an ImageSet, float32[n, d]."""
    return embedding.embed_images(
      self.model.apply,
      self.variables,
      images,
      rows,
      batch_size=batch_size,
      region=self.data['region'],
      views=self.views,
    )

  def images(
    self, frame: pd.DataFrame, store: readers.Store
  ) -> table_images.TableImages:
    """The images of a table, prepared as this network wants them."""
    return table_images.TableImages(frame, store, self.recipe, cache_mb=0)


class Classifier(NamedTuple):
  """What `save` wrote.

  Attributes:
    network: of the run.
    head: on its embeddings.
    temperature: of its logits.
    threshold: from which an image is positive.
    positive: the names of the positive class.
    columns: what the head is given beside an embedding, see `clinical`.
  """

  network: Network
  head: probes.Head
  temperature: float
  threshold: float
  positive: tuple[str, ...]
  columns: tuple[clinical.Column, ...] = ()

  def probability(
    self,
    frame: pd.DataFrame,
    store: readers.Store,
    known: pd.DataFrame | None = None,
  ) -> np.ndarray:
    """Calibrated probability of each row of a table, float64[n].

    Args:
      frame: of the table.
      store: of its images.
      known: str, a row an image and a column for each of `columns`; None
        where there are none.

    Raises:
      UsageError: `known` is wanted and not given.
      DataError: images that cannot be read.
    """
    rows = np.arange(len(frame))
    embeddings = self.network.embed(
      self.network.images(frame, store), rows, batch_size=_BATCH
    )
    if self.columns:
      if known is None:
        names = ', '.join(column.name for column in self.columns)
        raise errors.UsageError(f'This classifier is to be told {names}.')
      numbers = clinical.encode(self.columns, known)
      embeddings = np.concatenate([embeddings, numbers], axis=1)
    logits = probes.logits(self.head, embeddings)
    return choosing.probability(logits, self.temperature)


def take_network(
  workdir: str | pathlib.Path, folder: pathlib.Path, views: str = 'one'
) -> tuple[Network, ml_collections.ConfigDict]:
  """Opens the network of a run's best checkpoint as `load` will find it.

  Args:
    workdir: folder of the run.
    folder: of the classifier; what lies in it stays until `save`.
    views: of each image.

  Returns:
    (Network, the run's config).

  Raises:
    UsageError: the workdir is no folder of a run with checkpoints.
    DataError: its records are missing or damaged.
    IntegrityError: its checkpoints are damaged, or this version prepares its
      pictures otherwise.
  """
  workdir = pathlib.Path(workdir)
  config = saved.config(workdir)
  with saved.understood(workdir):
    kept = {name: getattr(config.data, name) for name in _DATA}
    data = ml_collections.ConfigDict(kept).to_dict()
    packed = weights.packed(workdir)
    with tempfile.TemporaryDirectory(prefix='.', dir=folder) as made:
      workdirs.atomic_write_bytes(pathlib.Path(made) / NETWORK, packed)
      network = _network(pathlib.Path(made), data, views)
    return network._replace(packed=packed), config


def save(
  folder: pathlib.Path,
  network: Network,
  found: classify.Result,
  positive: Sequence[str],
  columns: Sequence[clinical.Column] = (),
) -> None:
  """Writes a network and its head.

  Args:
    folder: of the classifier.
    network: of `take_network`.
    found: of `classify.run`.
    positive: names of the positive class.
    columns: what the head was given beside the embeddings.

  Raises:
    ResourceError: the disk is full.
  """
  packed = tensors.pack(found.head.arrays, {'network_sha256': network.sha256})
  workdirs.atomic_write_bytes(folder / NETWORK, network.packed)
  workdirs.atomic_write_bytes(folder / HEAD, packed)
  workdirs.atomic_write_json(
    folder / RECORD,
    {
      'network_sha256': network.sha256,
      'head_sha256': hashlib.sha256(packed).hexdigest(),
      'preprocess_id': network.recipe.identity,
      'positive': list(positive),
      'kind': found.head.kind,
      'options': found.head.options,
      'temperature': found.temperature,
      'threshold': found.threshold,
      'data': network.data,
      'views': network.views,
      'clinical': clinical.to_json(columns),
    },
  )


def load(folder: str | pathlib.Path) -> Classifier:
  """Reads what `save` wrote.

  Args:
    folder: of the classifier.

  Returns:
    Classifier.

  Raises:
    UsageError: the folder holds no classifier.
    DataError: a damaged file.
    IntegrityError: network, head or pictures are not those of the fit.
  """
  folder = pathlib.Path(folder)
  if not (folder / RECORD).is_file():
    raise errors.UsageError(
      f'{str(folder)!r} holds no classifier: it has no {RECORD}. '
      '`python -m mammojax classify` writes one.'
    )
  record = workdirs.read_json(folder / RECORD)
  try:
    for name, file in (('network_sha256', NETWORK), ('head_sha256', HEAD)):
      _check_sum(folder / file, record[name])
    network = _network(folder, record['data'], record.get('views', 'one'))
    if network.recipe.identity != record['preprocess_id']:
      raise errors.IntegrityError(
        f'The head of {str(folder)!r} was fitted on pictures prepared '
        f'otherwise (preprocess_id {record["preprocess_id"][:12]}, now '
        f'{network.recipe.identity[:12]}): head.json or this program has '
        'changed since. Fit it again.'
      )
    head = probes.Head(
      record['kind'], record['options'], _arrays(folder / HEAD), {}
    )
    if head.kind not in probes.HEADS:
      raise errors.unknown('head', head.kind, probes.HEADS)
    return Classifier(
      network,
      head,
      float(record['temperature']),
      float(record['threshold']),
      tuple(record['positive']),
      clinical.from_json(record.get('clinical', ())),
    )
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    if isinstance(error, errors.MammojaxError):
      raise
    raise errors.DataError(
      f'{str(folder / RECORD)!r} is damaged or of another version: {error!r}. '
      'Fit the head again.'
    ) from error


def _network(folder: pathlib.Path, data: dict[str, Any], views: str) -> Network:
  path = folder / NETWORK
  model, variables = weights.rebuild(path)
  config = ml_collections.ConfigDict({'data': data})
  return Network(
    model,
    # A network without batch norm has no statistics.
    {name: variables.get(name, {}) for name in ('params', 'batch_stats')},
    data,
    inputs.recipe(config),
    hashlib.sha256(path.read_bytes()).hexdigest(),
    views,
  )


def _check_sum(path: pathlib.Path, wanted: str) -> None:
  if not path.is_file():
    raise errors.DataError(f'{str(path)!r} is missing; fit the head again.')
  found = hashlib.sha256(path.read_bytes()).hexdigest()
  if found != wanted:
    raise errors.IntegrityError(
      f'{str(path)!r} is not the file of this classifier: its sha256 is '
      f'{found[:12]}, and {RECORD} says {str(wanted)[:12]}. Network and head '
      'belong together; fit the head again.'
    )


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  if content.layout(path) != 'safetensors':
    raise errors.DataError(f'{str(path)!r} is no file of safetensors.')
  with tensors.opened(path) as archive:
    return {name: entry.float32() for name, entry in archive.entries.items()}
