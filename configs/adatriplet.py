"""AdaTriplet with AutoMargin on phantom mammograms: the main job.

python main.py --config=configs/adatriplet.py
Expect test mAP 83 to 88 against 12 of pixels, two runs of one seed, 6 minutes
on 2 CPU cores.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.train.steps = 1250
  return config
