"""AdaTriplet with AutoMargin on phantom mammograms: the main job.

python main.py --config=configs/adatriplet.py
Expect test mAP 83 [81, 85] against 12 of pixels, 6 to 10 minutes on 2 CPU
cores.
"""

from configs import base


def get_config():
  return base.get_config()
