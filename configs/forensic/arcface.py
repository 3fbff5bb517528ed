"""ArcFace on phantom mammograms, a class a subject.

python main.py --config=configs/forensic/arcface.py
1,500 steps of 64 images of 96 px: twenty minutes on one CPU core.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.loss.name = 'arcface'
  config.automargin.mode = 'fixed'
  return config
