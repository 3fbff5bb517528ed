"""Selectively contrastive triplets (SCT) on phantom mammograms.

python main.py --config=configs/forensic/sct.py
The size of the main job: 1,500 steps of 64 images of 96 px.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'sct'
  config.automargin.mode = 'fixed'
  return config
