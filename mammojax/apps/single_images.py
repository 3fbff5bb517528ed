"""What a classifier says of single image files, named by any path."""

from collections.abc import Mapping, Sequence
import pathlib

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.apps import classifiers
from mammojax.data import imagefiles, readers


def probabilities(
  model: classifiers.Classifier,
  paths: Sequence[str],
  *,
  laterality: str = '',
  view: str = '',
  known: Mapping[str, str] | None = None,
) -> np.ndarray:
  """Calibrated probabilities of single images.

  Args:
    model: a classifier.
    paths: files, and # and an index where one holds many images.
    laterality: 'L', 'R' or '', of all of them.
    view: likewise.
    known: of all of them, what a classifier with `columns` is given besides,
      see `clinical.given`.

  Returns:
    float64[n].

  Raises:
    DataError: images that are missing or broken, all of them listed.
  """
  absolute = [pathlib.Path(path).resolve() for path in paths]
  root = pathlib.Path(absolute[0].anchor)
  store = readers.FolderStore(root)
  files = imagefiles.ImageFiles(store, model.network.recipe.options.voi)
  names = [str(path.relative_to(root)) for path in absolute]
  problems = []
  for given, name in zip(paths, names, strict=True):
    try:
      if not files.exists(name):
        problems.append(f'  {given!r} does not exist.')
        continue
      files.image(name)
    except errors.DataError as error:
      # What was typed is shorter than where it leads.
      problems.append(f'  {str(error).replace(repr(name), repr(given))}')
  if problems:
    raise errors.DataError(
      f'{len(problems)} of {len(paths)} images cannot be used:\n'
      + '\n'.join(problems)
    )
  frame = pd.DataFrame({'path': names, 'item': list(paths)})
  frame = frame.assign(laterality=laterality, view=view)
  # Apart: a column may have the name of one of the frame's.
  said = pd.DataFrame([dict(known or {})] * len(paths))
  return model.probability(frame, store, said)
