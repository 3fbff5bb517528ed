"""Embeddings of any table's images by the network of a finished run."""

import os
import pathlib

import jax
import numpy as np
import pandas as pd

from mammojax.data import images as table_images
from mammojax.data import readers
from mammojax.models import conventions
from mammojax.models import views as image_views
from mammojax.training import (
  evaluate,
  inputs,
  margins,
  networks,
  optimizers,
  saved,
  transfer,
  weights,
)
from mammojax.training import state as state_lib


def embed_table(
  workdir: str | os.PathLike[str],
  frame: pd.DataFrame,
  store: readers.Store,
  rows: np.ndarray,
) -> np.ndarray:
  """Embeds rows of a table as the run embedded its own.

  The images are prepared and scaled as the run's config says. Where
  the run learned its scaling, its own images are read again.

  Args:
    workdir: folder of a run with config.json and checkpoints.
    frame: columns of `mammojax.data.table`.
    store: where its paths lead.
    rows: int64[m], the rows to embed.

  Returns:
    float32[n, d] for all n rows of the frame; zeros for those left out.

  Raises:
    UsageError: no folder of a run.
    DataError: a config.json that is damaged or of another version, images
      that cannot be read.
    IntegrityError: damaged checkpoints.
  """
  folder = pathlib.Path(workdir)
  config = saved.config(folder)
  with saved.understood(folder):
    state = _state(config, folder)
    images = _images(config, frame, store)
  found = embed_images(
    state.apply_fn,
    {'params': state.params, 'batch_stats': state.batch_stats},
    images,
    rows,
    batch_size=config.eval.batch_size,
    region=config.data.region,
  )
  result = np.zeros((len(frame), found.shape[1]), np.float32)
  result[rows] = found
  return result


def embed_images(
  apply_fn,
  variables,
  images,
  rows: np.ndarray,
  *,
  batch_size: int,
  region: str,
  views: str = 'one',
) -> np.ndarray:
  """Embeds rows of a set of images.

  Args:
    apply_fn: (variables, images, train) -> float32[b, d].
    variables: 'params' and 'batch_stats'.
    images: ImageSet.
    rows: int64[n].
    batch_size: images at a time.
    region: of the images, see ImageSet.
    views: of each image, see `views.averaged`.

  Returns:
    float32[n, d].

  Raises:
    UsageError: unknown views.
    DataError: images that cannot be read, embeddings that are not finite.
  """
  variables = jax.device_put(variables)
  compiled = jax.jit(image_views.averaged(apply_fn, views))
  return evaluate.embed(
    lambda batch: compiled(variables, batch),
    images,
    rows,
    batch_size=batch_size,
    region=region,
  )


def _state(config, folder: pathlib.Path) -> state_lib.TrainState:
  """The network of the run's best checkpoint."""
  data = config.data
  scaling = weights.scaling(config, weights.described(config))
  if scaling is None and data.input in conventions.PUBLISHED:
    scaling = conventions.scaling(data.input, networks.input_channels(config))
  elif scaling is None:
    own = inputs.image_set(config, folder)
    train = np.flatnonzero(own.frame['split'] == 'train')
    scaling = inputs.scaling(config, own, train)
  state = state_lib.create(
    networks.model(config, **scaling._asdict(), axis_name=None),
    optimizers.optimizer(config),
    margins.state(config, steps_per_epoch=1),
    seed=config.seed,
    image_shape=(
      data.image_size,
      data.image_size,
      networks.image_channels(config),
    ),
  )
  return transfer.from_run(state, folder)


def _images(config, frame, store) -> table_images.TableImages:
  # Every image is asked for once.
  return table_images.TableImages(
    frame, store, inputs.recipe(config), cache_mb=0
  )
