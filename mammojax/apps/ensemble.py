"""Several runs that decide, as one: the average of their probabilities.

    results = ensemble.run(['runs/scratch', 'runs/vgg16'], out)

The runs must have judged the same images. The folder of the ensemble holds
what that of a run does: `metrics.json` and `evaluation.npz`.

Source: Acquavia and Mazzini, 2021, section 7.
"""

from collections.abc import Sequence
import os
import pathlib
from typing import Any

import numpy as np
from scipy import special

from mammojax import errors
from mammojax.metrics import choosing
from mammojax.training import decisions, evaluate, saved
from mammojax.training import workdir as workdirs

_SPLITS = ('validation', 'test')
# A probability of exactly 0 or 1 has no logit.
_LEAST = 1e-12


def run(
  workdirs_: Sequence[str | os.PathLike[str]], out: pathlib.Path
) -> dict[str, Any]:
  """Averages, measures and writes.

  The threshold is chosen by the rule of the first run, on the averages of the
  validation.

  Args:
    workdirs_: folders of finished runs, at least two.
    out: folder of the ensemble; it exists.

  Returns:
    What `metrics.json` of `out` holds: as of a run, and 'members', the test
    metrics of each run by its name.

  Raises:
    UsageError: fewer than two runs, one that is named twice, or a folder that
      is no finished run.
    DataError: runs that embed, damaged files, or runs of other images, other
      truths or other positive classes.
  """
  if len(workdirs_) < 2:
    raise errors.UsageError(
      'An ensemble needs the folders of two runs or more.'
    )
  members = [
    _member(pathlib.Path(folder), name)
    for folder, name in zip(workdirs_, _names(workdirs_), strict=True)
  ]
  first = members[0]
  for one in members[1:]:
    if set(one['metrics']['positive']) != set(first['metrics']['positive']):
      raise errors.DataError(
        f'{one["name"]!r} calls {one["metrics"]["positive"]} positive, and '
        f'{first["name"]!r} {first["metrics"]["positive"]}.'
      )
  found = {
    split: _averaged(members, split)
    for split in _SPLITS
    if all(decisions.columns(one['file'], split) for one in members)
  }
  config = first['config']
  if config.eval.threshold != 'half' and 'validation' not in found:
    raise errors.DataError(
      f'eval.threshold={config.eval.threshold} needs a validation split, and '
      'these runs have none in common.'
    )
  decisions.set_threshold(found, config.eval.threshold)
  results = {
    **decisions.summary(config, found),
    'members': {one['name']: one['metrics']['test']['all'] for one in members},
    'start': f'{len(members)} runs, their probabilities averaged',
    'warnings': list(
      dict.fromkeys(text for m in members for text in m['metrics']['warnings'])
    ),
  }
  decisions.save(out / 'evaluation.npz', found)
  workdirs.atomic_write_json(out / 'metrics.json', results)
  return results


def _names(workdirs_) -> list[str]:
  """The ends of the paths, as long as it takes to tell the runs apart."""
  folders = [pathlib.Path(folder).resolve() for folder in workdirs_]
  for place, folder in enumerate(folders):
    if folder in folders[:place]:
      raise errors.UsageError(
        f'{str(workdirs_[place])!r} is named twice, and would count twice.'
      )
  # Runs of a sweep are all called seed_0, seed_1, ...
  length = 2
  while len({folder.parts[-length:] for folder in folders}) < len(folders):
    length += 1
  return ['/'.join(folder.parts[-length:]) for folder in folders]


def _member(folder: pathlib.Path, name: str) -> dict[str, Any]:
  path = folder / 'metrics.json'
  if not path.is_file():
    raise errors.UsageError(
      f'{str(folder)!r} is no folder of a finished run: it has no metrics.json.'
    )
  metrics = workdirs.read_json(path)
  if metrics.get('kind') != decisions.KIND:
    raise errors.DataError(
      f'{str(folder)!r} is of a run that embeds; an ensemble is of runs with '
      "model.head='classifier' or 'siamese'."
    )
  return {
    'name': name,
    'metrics': metrics,
    'config': saved.config(folder),
    'file': evaluate.load_details(folder / 'evaluation.npz'),
  }


def _averaged(members, split: str) -> dict[str, np.ndarray]:
  """Columns of a split, the logit being that of the mean probability."""
  parts = []
  for one in members:
    part = decisions.columns(one['file'], split)
    order = np.argsort(part['item'])
    parts.append({name: values[order] for name, values in part.items()})
  for one, part in zip(members[1:], parts[1:], strict=True):
    for name in ('item', 'positive'):
      if not np.array_equal(part[name], parts[0][name]):
        raise errors.DataError(
          f'{one["name"]!r} and {members[0]["name"]!r} differ in the {name} of '
          f'their {split} images; the members of an ensemble need the same '
          'table and split.'
        )
  mean = np.mean(
    [choosing.probability(part['logit']) for part in parts], axis=0
  )
  logit = special.logit(np.clip(mean, _LEAST, 1.0 - _LEAST))
  kept = {name: parts[0][name] for name in ('positive', 'subject', 'item')}
  return {'logit': logit, **kept}
