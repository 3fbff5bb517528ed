"""What is kept of decisions, and what is said of them.

`evaluation.npz` of a run that decides holds, of the splits 'validation' and
'test', `<split>_logit` float64[n], `_positive` bool[n], `_threshold` float64[n]
of the probability, `_subject` and `_item` str[n]: enough for ensembles, and for
thresholds and temperatures of one's own.
"""

from collections.abc import Mapping, Sequence
import io
import pathlib
from typing import Any

import ml_collections
import numpy as np

from mammojax.metrics import bootstrap, choosing, classification
from mammojax.training import workdir as workdirs

KIND = 'classification'
DEFINITIONS = {
  **classification.DEFINITIONS,
  'log_loss': 'mean of -log of the probability of what an image is',
}
_COLUMNS = ('logit', 'positive', 'threshold', 'subject', 'item')


def set_threshold(
  found: Mapping[str, dict[str, np.ndarray]], rule: str
) -> None:
  """Adds the column `threshold`: one half, or what is best on validation.

  Args:
    found: split -> columns of `evaluation.npz`, the threshold not among them.
    rule: of `choosing.RULES`; 'half' needs no validation images.
  """
  cut = choosing.HALF
  if rule != 'half':
    chooses = found['validation']
    cut = choosing.threshold(
      chooses['positive'],
      choosing.probability(chooses['logit']),
      split='validation',
      by=rule,
    )
  for part in found.values():
    part['threshold'] = np.full(len(part['logit']), cut)


def summary(
  config: ml_collections.ConfigDict,
  found: Mapping[str, Mapping[str, np.ndarray]],
) -> dict[str, Any]:
  """What metrics.json says of decisions.

  Args:
    config: of the run.
    found: split -> columns of `evaluation.npz`; 'test' is there.

  Returns:
    'kind'; 'test' and 'validation', each with its metrics under 'all' as
    retrieval has them; 'baselines' ('most_common': everything is called what
    most are); 'confusion' by split; 'threshold'; 'positive', the names;
    'counts'; 'definitions'.
  """
  options = {'draws': config.eval.draws, 'seed': config.seed}
  measured = {name: measure(part, **options) for name, part in found.items()}
  test = found['test']
  common = max(test['positive'].mean(), 1.0 - test['positive'].mean())
  cuts = np.unique(test['threshold'])
  return {
    'kind': KIND,
    **{name: {'all': part['metrics']} for name, part in measured.items()},
    'baselines': {
      'most_common': {'all': {'accuracy': {'value': float(common)}}}
    },
    'confusion': {name: part['confusion'] for name, part in measured.items()},
    'threshold': {
      'value': float(cuts[0]) if len(cuts) == 1 else None,
      'rule': config.eval.threshold,
      'chosen_on': None if config.eval.threshold == 'half' else 'validation',
    },
    'positive': list(config.data.positive),
    'choose_by': config.eval.choose_by,
    'counts': {
      'images': len(test['positive']),
      'positive': int(test['positive'].sum()),
      'subjects': len(np.unique(test['subject'])),
    },
    'definitions': DEFINITIONS,
  }


def measure(
  part: Mapping[str, np.ndarray], *, draws: int, seed: int
) -> dict[str, Any]:
  """`classification.measure` of the columns of a split, and the log loss."""
  found = classification.measure(
    part['positive'],
    choosing.probability(part['logit']),
    part['subject'],
    threshold=part['threshold'],
    draws=draws,
    seed=seed,
  )
  signed = np.where(part['positive'], -part['logit'], part['logit'])
  found['metrics']['log_loss'] = bootstrap.interval(
    np.logaddexp(0.0, signed), part['subject'], draws=draws, seed=seed
  )
  return found


def save(
  path: pathlib.Path, found: Mapping[str, Mapping[str, np.ndarray]]
) -> None:
  """Writes `evaluation.npz`, see the module.

  Raises:
    ResourceError: the disk is full.
  """
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    **{
      f'{split}_{name}': part[name]
      for split, part in found.items()
      for name in _COLUMNS
    },
  )
  workdirs.atomic_write_bytes(path, buffer.getvalue())


def columns(
  file: Mapping[str, np.ndarray], split: str
) -> dict[str, np.ndarray]:
  """The columns of a split in what `evaluate.load_details` read; {} if none."""
  if f'{split}_logit' not in file:
    return {}
  return {name: file[f'{split}_{name}'] for name in _COLUMNS}


def pool(
  config: ml_collections.ConfigDict,
  files: Sequence[Mapping[str, np.ndarray]],
  path: pathlib.Path,
) -> dict[str, Any]:
  """The test images of all folds together, each judged by its own fold.

  Args:
    config: of the run.
    files: `evaluation.npz` of each fold.
    path: where the pooled one is written.

  Returns:
    What `summary` gives.
  """
  parts = [columns(file, 'test') for file in files]
  found = {
    'test': {
      name: np.concatenate([part[name] for part in parts]) for name in _COLUMNS
    }
  }
  save(path, found)
  return summary(config, found)
