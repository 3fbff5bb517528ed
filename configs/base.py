"""The whole schema of a run; every other config is a few differences.

What the fields mean is said where they are given their values, in
`configs/sections`.
"""

import ml_collections

from configs.sections import batches, data, loss, model, training


def get_config() -> ml_collections.ConfigDict:
  """Phantom mammograms, ResNet18, AdaTriplet with AutoMargin."""
  config = ml_collections.ConfigDict()
  config.seed = 0
  config.data = data.data()
  config.sampler = batches.sampler()
  config.augment = batches.augment()
  config.model = model.model()
  config.loss = loss.loss()
  config.automargin = loss.automargin()
  config.curriculum = loss.curriculum()
  config.memory = loss.memory()
  config.optim = training.optim()
  config.train = training.train()
  config.eval = training.eval()
  config.parallel = training.parallel()
  config.logging = training.logging()
  return config.lock()
