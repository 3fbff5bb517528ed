"""pytorch-metric-learning's losses, on PyTorch, where they are installed."""

from collections.abc import Callable
import importlib.metadata
import importlib.util

import numpy as np

MARGIN = 0.2


def available() -> bool:
  """Whether the peer can be imported."""
  return importlib.util.find_spec('pytorch_metric_learning') is not None


def describe() -> str:
  """Name and versions, for the page."""
  if not available():
    return 'none installed'
  names = ('pytorch-metric-learning', 'torch')
  return ', '.join(
    f'{name} {importlib.metadata.version(name)}' for name in names
  )


def _batch_all():
  from pytorch_metric_learning import distances, losses

  distance = distances.CosineSimilarity()
  return losses.TripletMarginLoss(margin=MARGIN, distance=distance), None


def _semihard_region():
  from pytorch_metric_learning import distances, losses, miners

  distance = distances.CosineSimilarity()
  miner = miners.TripletMarginMiner(
    margin=MARGIN, distance=distance, type_of_triplets='semihard'
  )
  return losses.TripletMarginLoss(margin=MARGIN, distance=distance), miner


def _batch_hard():
  from pytorch_metric_learning import distances, losses, miners

  distance = distances.CosineSimilarity()
  miner = miners.BatchHardMiner(distance=distance)
  return losses.TripletMarginLoss(margin=MARGIN, distance=distance), miner


LOSSES = {
  'batch_all': _batch_all,
  'semihard_region': _semihard_region,
  'batch_hard': _batch_hard,
}


def runner(
  name: str, embeddings: np.ndarray, labels: np.ndarray
) -> Callable[[], object]:
  """One evaluation of loss and gradient, ready to be timed."""
  import torch

  loss_fn, miner = LOSSES[name]()
  x = torch.tensor(embeddings, requires_grad=True)
  y = torch.tensor(labels.astype(np.int64))

  def run():
    x.grad = None
    chosen = None if miner is None else miner(x, y)
    loss_fn(x, y, chosen).backward()
    return x.grad.numpy()

  return run
