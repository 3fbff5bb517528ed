"""SoftTriplet on phantom mammograms, five centres a subject.

python main.py --config=configs/forensic/soft_triplet.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'soft_triplet'
  config.automargin.mode = 'fixed'
  return config
