"""What the rungs of the ladder share: data, backbone, schedule, evaluation.

configs/ladder/common.py is no rung itself: each of the other files adds an
objective. The table is that of Fashion-MNIST or MNIST:

python -m mammojax catalog fashion_mnist --root=<folder> --identity=class \
  --out=fashion.csv
"""

from configs import base


def get_config():
  config = base.get_config()
  config.data.source = 'table'
  config.data.image_size = 28
  config.data.steps = ('fit',)
  for field in (
    'rotation_degrees', 'shift', 'zoom', 'brightness', 'contrast', 'gamma',
  ):  # fmt: skip
    config.augment[field] = 0.0
  # 429,176 values with embeddings of 32.
  config.model.name = 'double_conv'
  config.model.width = 0
  config.model.head = 'none'
  config.model.embedding_dim = 32
  config.sampler.label = 'diagnosis'
  config.sampler.batch_size = 128
  config.automargin.mode = 'fixed'
  config.optim.name = 'adam'
  config.optim.weight_decay = 0.0
  config.optim.learning_rate = 2e-3
  config.train.steps = 2500
  config.train.log_every = 100
  config.train.eval_every = 500
  config.train.checkpoint_every = 500
  config.eval.gallery = 'first_image'
  config.eval.gallery_images = 100
  config.eval.masked_baseline = False
  return config
