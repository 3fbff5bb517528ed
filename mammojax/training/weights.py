"""Weights of a file at the start of a run, and a run's network in a file.

A run that starts from a file writes `weights.json`: which arrays came from
where. An exported file holds the run's `preprocess.json`, so no image is needed
to use it.
"""

from collections.abc import Mapping
import logging
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

import mammojax
from mammojax import errors
from mammojax.models import conventions, embedder, pretrained
from mammojax.training import inputs, networks, preparation, saved, transfer
from mammojax.training import state as state_lib
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)
RECORD = 'weights.json'
# Fields of config.data that size the network and what is embedded.
_DATA = ('image_size', 'channels', 'region')
# Fields of config.model that say where the network started.
_START = ('init_from', 'weights', 'allow_other_preparation')


def described(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What the file of weights says about the network in it.

  Args:
    config: the run's; reads `model.weights`.

  Returns:
    JSON values; {} without a file, or if the file is a publisher's.

  Raises:
    UsageError: both model.weights and model.init_from are given, or there is
      no such file.
    DataError: the file cannot be used.
  """
  model = config.model
  if not model.weights:
    return {}
  if model.init_from:
    raise errors.UsageError(
      'model.weights and model.init_from both say where the network starts; '
      'give one of them.'
    )
  return pretrained.describe(pretrained.find(model.weights))


def check_origin(
  config: ml_collections.ConfigDict, description: Mapping[str, Any]
) -> None:
  """Refuses a network of a run that saw images prepared otherwise.

  Args:
    config: the run's; reads `model.init_from`.
    description: of `described`.

  Raises:
    IntegrityError, DataError: see `preparation.check_origin`.
  """
  model = config.model
  if model.init_from:
    saved = preparation.of_run(model.init_from)
  else:
    saved = description.get('preparation', {})
  preparation.check_origin(
    saved,
    inputs.recipe(config),
    model.init_from or model.weights,
    allow=model.allow_other_preparation,
  )


def scaling(
  config: ml_collections.ConfigDict, description: Mapping[str, Any]
) -> conventions.Scaling | None:
  """What the network in a file of our own was fed.

  Args:
    config: the run's; reads `model.weights`.
    description: of `described`.

  Returns:
    Scaling; None where the file says nothing and `data.input` decides.

  Raises:
    UsageError: images of other channels.
    DataError: the file does not say.
  """
  model = config.model
  if not description:
    return None
  found = _scaling(description, model.weights)
  # One value serves all channels.
  if len(found.mean) not in (1, networks.input_channels(config)):
    raise errors.UsageError(
      f'{model.weights!r} is of images of {len(found.mean)} channels; '
      f'data.channels is {config.data.channels} and model.grey '
      f'{model.grey!r}.'
    )
  _LOG.info('The input is scaled as for %s: %s', model.weights, found)
  return found


def _scaling(description, path) -> conventions.Scaling:
  try:
    return conventions.Scaling(
      **{
        name: tuple(values)
        for name, values in description['preparation']['input'].items()
      }
    )
  except (AttributeError, KeyError, TypeError) as error:
    raise errors.DataError(
      f'{str(path)!r} does not say how its input is scaled ({error!r}); export '
      'the run again.'
    ) from error


def start(
  state: state_lib.TrainState,
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
) -> state_lib.TrainState:
  """The state with the weights of `model.weights`, and the record of it.

  Args:
    state: before step 0.
    config: the run's.
    workdir: where process 0 writes `weights.json`.

  Returns:
    TrainState; the parameters of the loss (proxies, class weights) stay as
    they are.

  Raises:
    UsageError, DataError, ResourceError: as pretrained.load; or the run was
      started with another file.
  """
  record = None
  if config.model.weights:
    # Class weights are of the subjects of the run that learnt them.
    loaded = pretrained.load(
      config.model.weights, transfer.network(state.params, state.batch_stats)
    )
    record = loaded.record
    log = _LOG.warning if _is_head_lost(record) else _LOG.info
    log('Weights: %s', loaded.summary())
    state = state.replace(
      params={**state.params, **loaded.variables['params']},
      batch_stats=loaded.variables['batch_stats'],
    )
  if jax.process_index() == 0:
    _remember(workdir / RECORD, record)
  return state


def _is_head_lost(record: Mapping[str, Any]) -> bool:
  """Whether a file of our own gave the backbone and not the head."""
  return bool(record['names'] == 'mammojax' and record['new'])


def _remember(path, record) -> None:
  """Writes the record, or compares it with that of the first start."""
  if path.exists():
    before = workdirs.read_json(path).get('sha256')
    if before != (record or {}).get('sha256'):
      raise errors.UsageError(
        f'model.weights: {record["path"] if record else "no file"!r} is not '
        f'what this run was started with (sha256 {before}). Choose another '
        '--workdir, or give the file it started with.'
      )
  if record:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    workdirs.atomic_write_json(path, record)


def packed(workdir: str | pathlib.Path) -> bytes:
  """The network of a run's best checkpoint as a safetensors file.

  Args:
    workdir: the run's folder.

  Returns:
    The bytes: parameters, without those of the loss, running statistics, and a
    description with the fields of the config that build the network, the run's
    `preprocess.json`, and the step.

  Raises:
    UsageError: the folder holds no checkpoint.
    DataError: its records are missing or damaged.
    IntegrityError: all checkpoints are damaged.
  """
  workdir = pathlib.Path(workdir)
  found, step = transfer.best(workdir, '--workdir')
  variables = transfer.network(**found)
  config = saved.config(workdir)
  with saved.understood(workdir):
    model, data = config.model.to_dict(), config.data.to_dict()
  model = {k: v for k, v in model.items() if k not in _START}
  data = {k: v for k, v in data.items() if k in _DATA}
  description = {
    'version': mammojax.__version__,
    'config': {'model': model, 'data': data},
    'preparation': workdirs.read_json(workdir / preparation.FILE),
    'step': step,
  }
  return pretrained.save(jax.tree.map(np.asarray, variables), description)


def rebuild(
  location: str | pathlib.Path,
) -> tuple[embedder.Embedder, dict[str, Any]]:
  """The network of a file that `export` wrote, ready to embed.

      model, variables = weights.rebuild('model.safetensors')
      embeddings = model.apply(variables, images, train=False)

  Args:
    location: path, or hf://owner/repo[@revision][/file].

  Returns:
    (Embedder, variables).

  Raises:
    UsageError, DataError, ResourceError: as pretrained.load; DataError also
      for files of others.
  """
  path = pretrained.find(location)
  description = pretrained.describe(path)
  if 'config' not in description:
    raise errors.DataError(
      f'{str(path)!r} does not say what network it is of. Only files written '
      'by `python -m mammojax export` do.'
    )
  config = ml_collections.ConfigDict(description['config'])
  fed = _scaling(description, path)
  model = networks.model(config, **fed._asdict(), axis_name=None)
  side, channels = config.data.image_size, networks.image_channels(config)
  shapes = jax.eval_shape(
    lambda key: model.init(
      key, jnp.zeros((1, side, side, channels)), train=False
    ),
    jax.random.key(0),
  )
  loaded = pretrained.load(path, shapes)
  if loaded.record['new']:
    raise errors.DataError(
      f'{str(path)!r} lacks {", ".join(loaded.record["new"])}; export the run '
      'again.'
    )
  return model, loaded.variables
