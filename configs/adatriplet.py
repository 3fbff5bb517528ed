"""AdaTriplet with AutoMargin on phantom mammograms: the main job.

python main.py --config=configs/adatriplet.py
"""

from configs import base


def get_config():
  return base.get_config()
