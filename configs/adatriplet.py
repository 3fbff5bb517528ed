"""AdaTriplet with AutoMargin on phantom mammograms: the main job.

python main.py --config=configs/adatriplet.py
Expect test mAP 85 against 12 of pixels, 6 minutes on 2 CPU cores.
"""

from configs import base


def get_config():
  config = base.get_config()
  # Of 0, 0.5, 1 and 2 the best on validation women, see RESULTS.md; 1 is the
  # paper's.
  config.loss.negative_weight = 2.0
  config.train.steps = 1000
  return config
