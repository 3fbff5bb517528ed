"""Matching of skin lesions on HAM10000, by lesion.

python main.py --config=configs/ham10000.py \
  --config.data.table=<folder>/manifest.csv
Expect test mAP 73.6 +- 0.9 and CMC@1 62.9 +- 1.3 over 3 seeds, 40 minutes on
one CPU core or 25 on two.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.data.source = 'table'
  config.data.columns.subject = 'subject_id'
  config.data.columns.diagnosis = 'label'
  config.data.channels = 3
  config.data.fit = 'crop'
  config.data.steps = ('fit',)
  # A lesion has no upright: every orientation is as good as the next.
  config.augment.horizontal_flip = True
  config.augment.rotate90 = True
  config.augment.rotation_degrees = 15.0
  config.augment.shift = 0.08
  config.augment.zoom = 0.4
  config.augment.brightness = 0.08
  config.augment.contrast = 0.15
  config.augment.noise = 0.0
  config.model.width = 32
  config.sampler.min_images = 2
  config.optim.learning_rate = 1e-3
  config.train.steps = 3000
  config.train.eval_every = 500
  config.train.checkpoint_every = 250
  config.eval.gallery = 'first_image'
  config.eval.masked_baseline = False
  return config
