"""Mass or calcification, a small network from scratch (SCRATCH_6).

python -m mammojax catalog cbis_npy --task=mass_calcification \
  --root=<folder of the arrays> --out=mass_calcification.csv
python main.py --config=configs/cbis/scratch.py \
  --config.data.table=mass_calcification.csv --config.data.root=<folder>

Published: accuracy 0.87, loss 0.31, AUC 0.87. `python -m mammojax patches`
draws arrays of phantoms in the same layout.
"""

from configs import base, cbis


def get_config():
  config = base.get_config()
  config.data.source = 'table'
  config.data.steps = ('fit',)
  config.data.image_size = 150
  config.data.positive = ('calcification',)
  # Of the training patches a fifth chooses.
  config.data.split_rule = 'shuffled'
  config.data.split_fractions = (0.8, 0.2, 0.0)
  config.data.keep_test = True
  config.sampler.name = 'oversample'
  config.sampler.label = 'target'
  config.sampler.batch_size = 32
  config.augment.horizontal_flip = True
  config.augment.rotate90 = True
  for name in (
    'rotation_degrees', 'shift', 'zoom', 'brightness', 'contrast', 'gamma',
  ):  # fmt: skip
    config.augment[name] = 0.0
  config.model.name = 'patch_net'
  config.model.width = 0
  config.model.head = 'classifier'
  config.model.embedding_dim = 1
  config.loss.name = 'logistic'
  config.automargin.mode = 'fixed'
  config.optim.name = 'rmsprop'
  config.optim.learning_rate = 1e-3
  config.optim.schedule = 'constant'
  config.optim.warmup_steps = 0
  config.optim.weight_decay = 0.0
  config.optim.clip_norm = 0.0
  config.eval.choose_by = 'log_loss'
  config.train.steps = cbis.epochs(35)
  config.train.eval_every = cbis.STEPS_PER_EPOCH
  config.train.checkpoint_every = cbis.STEPS_PER_EPOCH
  return config
