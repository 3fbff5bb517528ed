"""Selectively contrastive triplets (SCT) on phantom mammograms.

python main.py --config=configs/forensic/sct.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'sct'
  config.automargin.mode = 'fixed'
  return config
