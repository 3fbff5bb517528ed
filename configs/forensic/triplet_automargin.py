"""Triplet loss whose margin AutoMargin moves, on phantom mammograms.

python main.py --config=configs/forensic/triplet_automargin.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'triplet'
  return config
