"""Matching of knees over eight years on OAI, as the authors of AdaTriplet.

python -m mammojax catalog oai --root=<folder> --visits=paper --out=oai.csv
python main.py --config=configs/forensic/oai.py --config.data.table=oai.csv \
  --config.data.root=<folder> --config.model.weights=resnet18.safetensors

Published with AdaTriplet and AutoMargin: mAP 96.9 +- 0.1 over 5 seeds.
model.weights names a ResNet18 of ImageNet, which the authors start from;
without that file the network starts from scratch.

Their 100 epochs are 100 x (training images // 128) steps: train.steps is that
of 32,000 images, and the catalog prints how many there are. Differs: they cut
256 px at random out of 280; here the picture of 256 px is moved by as much,
its edge continued. Their gamma of 0.5 to 1.5 is 0.58 to 1.73, the same ratio;
their noise, on half of the images and of varying strength, is 0.05 on all.
"""

from configs import base


def get_config():
  config = base.get_config()
  config.data.source = 'table'
  config.data.image_size = 256
  config.data.fit = 'crop'
  config.data.mirror = 'R'
  config.sampler.subjects_per_batch = 32
  config.sampler.images_per_subject = 4
  config.augment.rotation_degrees = 10.0
  config.augment.shift = 12 / 256
  config.augment.zoom = 0.0
  config.augment.brightness = 0.0
  config.augment.contrast = 0.0
  config.augment.gamma = 0.73
  config.augment.noise = 0.05
  config.model.width = 0
  config.model.embedding_dim = 128
  config.loss.form = 'code'
  config.automargin.mode = 'epoch'
  config.optim.name = 'adam'
  config.optim.learning_rate = 1e-4
  config.optim.warmup_steps = 0
  config.optim.schedule = 'constant'
  config.optim.weight_decay = 1e-4
  config.optim.clip_norm = 0.0
  config.train.steps = 25000
  config.train.eval_every = 1000
  config.train.checkpoint_every = 1000
  # A knee has no breast to black out.
  config.eval.masked_baseline = False
  return config
