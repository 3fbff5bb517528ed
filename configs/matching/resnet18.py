"""Matching of phantom mammograms by triplets: semi-hard, then hard.

python main.py --config=configs/matching/resnet18.py
From scratch, 1,500 steps. Negatives turn from semi-hard to hard when the loss
stalls; curriculum.switch='step' turns at curriculum.at_step. The other breast
in place of later visits: --config.data.phantom.identity=woman
--config.eval.gallery=left. The control that sees no breast:
--config.data.region=background.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'semihard'
  # Distances and margin of FaceNet.
  config.loss.distance = 'squared_euclidean'
  config.loss.margin = 0.2
  config.automargin.mode = 'fixed'
  config.curriculum.switch = 'stall'
  config.curriculum.then = 'hard'
  config.curriculum.stall_at = 'anywhere'
  return config
