"""Cross-validation by subject: one run a fold, all queries pooled.

Every subject is a query once, searched for by a network that never saw it, in
the one gallery of everybody. Each fold lives in a folder of its own and is
resumed, or passed over when finished, like any run.
"""

from collections.abc import Sequence
import logging
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from mammojax.metrics import bootstrap
from mammojax.training import decisions, evaluate, inputs, networks, train
from mammojax.training import workdir as workdirs

_LOG = logging.getLogger(__name__)


def run(
  config: ml_collections.ConfigDict,
  workdir: str | pathlib.Path,
  command: Sequence[str] = (),
) -> dict[str, Any]:
  """Runs what is missing of all folds and pools them, or runs plainly.

  Args:
    config: the run's; `data.num_folds` of 0 or a `data.fold` of 0 and more
      make it a plain run.
    workdir: the run's folder; folds go to `fold_0`, `fold_1`, ... in it.
    command: the command line, for the record.

  Returns:
    What `metrics.json` of the workdir holds; of folds only in process 0, which
    pools them, and {} in the others.

  Raises:
    MammojaxError: as `train.run`.
  """
  if not config.data.num_folds or config.data.fold >= 0:
    return train.run(config, workdir, command)
  workdir = pathlib.Path(workdir)
  # A fold knows its own folder only; all of this one is handed on.
  inputs.key(config, workdir)
  folders, parts = [], []
  for fold in range(config.data.num_folds):
    # ConfigDict(config) would share the nested fields with the caller.
    one = config.copy_and_resolve_references()
    one.data.fold = fold
    folders.append(workdir / f'fold_{fold}')
    _LOG.info('Fold %d of %d.', fold + 1, config.data.num_folds)
    parts.append(train.run(one, folders[-1], command))
  lock = workdirs.prepare(
    workdir,
    config.to_dict(),
    command,
    devices=[device.device_kind for device in jax.devices()],
    process_index=jax.process_index(),
  )
  if lock is None:
    return {}
  with lock:
    results = pool(config, workdir, folders, parts)
    workdirs.atomic_write_json(workdir / 'metrics.json', results)
  return results


def pool(
  config: ml_collections.ConfigDict,
  workdir: pathlib.Path,
  folders: Sequence[pathlib.Path],
  parts: Sequence[dict[str, Any]],
) -> dict[str, Any]:
  """Metrics over the queries, or the decisions, of all folds.

  Args:
    config: the run's.
    workdir: of the run, for the pooled `evaluation.npz` of decisions.
    folders: of the folds; each holds `evaluation.npz`.
    parts: what `metrics.json` of each holds.

  Returns:
    The same record as of one run. Baselines and chance, which need no
    training, are pooled in the same way; 'folds' keeps each fold's own mAP, or
    of decisions the AUC.
  """
  files = [
    evaluate.load_details(folder / 'evaluation.npz') for folder in folders
  ]

  common = {
    'seed': config.seed,
    'steps': config.train.steps,
    'loss': config.loss.name,
    'start': networks.start(config),
    'warnings': [
      f'Fold {fold}: {text}'
      for fold, part in enumerate(parts)
      for text in part['warnings']
    ],
    'seconds': sum(part['seconds'] for part in parts),
    **{
      name: float(np.mean([part[name] for part in parts]))
      for name in ('input_wait_fraction', 'images_per_second')
    },
  }
  if networks.decides(config):
    found = decisions.pool(config, files, workdir / 'evaluation.npz')
    areas = [part['test']['all']['auc']['value'] for part in parts]
    return {**found, 'folds': areas, **common}
  return {**_pooled_matching(config, files, parts), **common}


def _pooled_matching(config, files, parts) -> dict[str, Any]:
  """Metrics of retrieval over the queries of all folds."""

  def pooled(prefix):
    # A fold with a small gallery lacks those of deeper ranks.
    names = [
      name
      for name in evaluate.METRICS
      if all(f'{prefix}_{name}' in file for file in files)
    ]
    subjects = np.concatenate([file['query_subject'] for file in files])
    return {
      'all': {
        name: bootstrap.interval(
          np.concatenate([file[f'{prefix}_{name}'] for file in files]),
          subjects,
          draws=config.eval.draws,
          seed=config.seed,
        )
        for name in names
      }
    }

  queries, lost = (
    [part['counts'].get(name, 0) for part in parts]
    for name in ('queries', 'queries_without_mate')
  )
  # As every mean, that of chance is over the queries with a mate.
  mated = np.subtract(queries, lost)
  chances = [part['baselines']['chance']['all'] for part in parts]
  chance = {
    name: {
      'value': float(
        np.average([one[name]['value'] for one in chances], weights=mated)
      )
    }
    for name in chances[0]
    if all(name in one for one in chances)
  }
  baselines = {
    name: None if parts[0]['baselines'][name] is None else pooled(name)
    for name in ('pixel', 'masked')
  }
  return {
    'test': pooled('query'),
    'baselines': {**baselines, 'chance': {'all': chance}},
    'counts': {
      'queries': sum(queries),
      'queries_without_mate': sum(lost),
      **_same_counts(parts),
    },
    'folds': [part['test']['all']['map']['value'] for part in parts],
  }


def _same_counts(parts):
  galleries = {part['counts']['gallery'] for part in parts}
  return {'gallery': galleries.pop()} if len(galleries) == 1 else {}
