"""Contrastive loss on phantom mammograms, Euclidean.

python main.py --config=configs/forensic/contrastive.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'contrastive'
  config.loss.distance = 'euclidean'
  # A batch has about twenty negative pairs for each positive one, most of them
  # far apart: only pairs with a loss are averaged. 004 names no margins.
  config.loss.reduction = 'mean_active'
  config.loss.positive_margin = 0.0
  config.loss.margin = 1.0
  config.automargin.mode = 'fixed'
  return config
