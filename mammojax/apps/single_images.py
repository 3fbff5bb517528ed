"""What a classifier says of single image files, named by any path."""

from collections.abc import Mapping, Sequence
import pathlib

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.apps import classifiers
from mammojax.data import imagefiles, readers, steps


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
    UsageError: a step of the model goes by the laterality or the view, and it
      is not given.
    DataError: images that are missing or broken, all of them listed.
  """
  given = {'laterality': laterality, 'view': view}
  for step in model.network.recipe.names:
    column = steps.STEPS[step].column
    if column and not given[column]:
      raise errors.UsageError(
        f'The step {step!r} of this model goes by the {column} of an image: '
        f'give --{column}; images of another one take a call of their own.'
      )
  absolute = [pathlib.Path(path).resolve() for path in paths]
  root = pathlib.Path(absolute[0].anchor)
  store = readers.FolderStore(root)
  files = imagefiles.ImageFiles(store, model.network.recipe.options.voi)
  names = [str(path.relative_to(root)) for path in absolute]
  problems = []
  for path, name in zip(paths, names, strict=True):
    try:
      if not files.exists(name):
        problems.append(f'  {path!r} does not exist.')
        continue
      files.image(name)
    except errors.DataError as error:
      # What was typed is shorter than where it leads.
      problems.append(f'  {str(error).replace(repr(name), repr(path))}')
  if problems:
    raise errors.DataError(
      f'{len(problems)} of {len(paths)} images cannot be used:\n'
      + '\n'.join(problems)
    )
  frame = pd.DataFrame({'path': names, 'item': list(paths)})
  frame = frame.assign(**given)
  # Apart: a column may have the name of one of the frame's.
  said = pd.DataFrame([dict(known or {})] * len(paths))
  return model.probability(frame, store, said)
