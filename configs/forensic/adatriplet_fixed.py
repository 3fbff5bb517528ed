"""AdaTriplet with fixed margins on phantom mammograms.

python main.py --config=configs/forensic/adatriplet_fixed.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.automargin.mode = 'fixed'
  config.loss.margin = 0.25
  config.loss.beta = 0.1
  return config
