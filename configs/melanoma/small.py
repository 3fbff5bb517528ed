"""Malignant lesions of HAM10000 by triplets, at a size for two CPU cores.

python main.py --config=configs/melanoma/small.py \
  --config.data.table=<folder>/manifest.csv
python -m mammojax classify --workdir=runs/small --positive=mel,bcc,akiec \
  --class_weight=balanced --balanced --out=runs/small/malignant
"""

from configs import ham10000


def get_config():
  config = ham10000.get_config()
  config.data.positive = ('mel', 'bcc', 'akiec')
  # Metric labels are the seven diagnoses; batches are half malignant.
  config.sampler.name = 'balanced'
  config.sampler.label = 'diagnosis'
  config.sampler.balance = 'target'
  config.sampler.batch_size = 64
  config.model.width = 16
  config.loss.name = 'triplet'
  config.loss.selection = 'all'
  config.loss.distance = 'squared_euclidean'
  config.loss.margin = 0.4
  config.automargin.mode = 'fixed'
  config.optim.name = 'adam'
  # 60 epochs of 2 x 2,192 images.
  config.train.steps = 4110
  config.train.eval_every = 411
  config.train.checkpoint_every = 411
  config.eval.label = 'target'
  return config
