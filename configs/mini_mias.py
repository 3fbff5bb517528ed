"""Right breast against all left breasts on mini-MIAS, five folds by woman.

python main.py --config=configs/mini_mias.py \
  --config.data.table=<folder>/manifest.csv
"""

from configs import base


def get_config():
  config = base.get_config()
  config.data.source = 'table'
  config.data.columns.subject = 'subject_id'
  config.data.columns.diagnosis = 'label'
  config.data.fit = 'pad'
  config.data.mirror = 'L'
  config.data.num_folds = 5
  config.eval.gallery = 'left'
  # A woman has two images, one a breast.
  config.sampler.subjects_per_batch = 32
  config.sampler.images_per_subject = 2
  config.train.steps = 600
  config.train.eval_every = 100
  return config
