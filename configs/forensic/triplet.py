"""Triplet loss with a fixed margin on phantom mammograms: semi-hard region.

python main.py --config=configs/forensic/triplet.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'triplet'
  config.loss.selection = 'semihard_region'
  config.loss.margin = 0.25
  config.automargin.mode = 'fixed'
  return config
