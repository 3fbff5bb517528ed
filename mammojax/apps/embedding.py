"""Embeddings of any table's images by the network of a finished run."""

import os
import pathlib
import tempfile

import jax
import numpy as np
import pandas as pd

from mammojax.data import images as table_images
from mammojax.data import readers
from mammojax.models import views as image_views
from mammojax.training import evaluate, inputs, saved, weights


def embed_table(
  workdir: str | os.PathLike[str],
  frame: pd.DataFrame,
  store: readers.Store,
  rows: np.ndarray,
) -> np.ndarray:
  """Embeds rows of a table as the run embedded its own.

  The images are prepared and scaled as the run's records say; neither its own
  images nor the file that it started from need be there.

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
    model, variables = _network(folder)
    images = _images(config, frame, store)
  found = embed_images(
    model.apply,
    variables,
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


def _network(folder: pathlib.Path):
  """Model and variables of the run's best checkpoint, of its record alone."""
  with tempfile.TemporaryDirectory() as place:
    path = pathlib.Path(place) / 'network.safetensors'
    path.write_bytes(weights.packed(folder))
    return weights.rebuild(path)


def _images(config, frame, store) -> table_images.TableImages:
  # Every image is asked for once.
  return table_images.TableImages(
    frame, store, inputs.recipe(config), cache_mb=0
  )
