"""Malignant lesions of HAM10000 by AdaTriplet: a wide embedding, double width.

python main.py --config=configs/ham10000.py \
  --config.data.table=<folder>/manifest.csv --workdir=runs/lesions
python main.py --config=configs/melanoma/adatriplet.py \
  --config.data.table=<folder>/manifest.csv \
  --config.model.init_from=runs/lesions --workdir=runs/wide
python -m mammojax classify --workdir=runs/wide --positive=mel,bcc,akiec \
  --class_weight=balanced --balanced --out=runs/wide/malignant
The margins ask of two images of one class a cosine of no more than about 0.55,
so a class need not shrink to a point. Zoom hides a lesion's size, and changed
colours hide its colour: both are mild here.
"""

from configs.melanoma import small


def get_config():
  config = small.get_config()
  config.model.width = 32
  config.augment.zoom = 0.1
  config.augment.brightness = 0.0
  config.augment.contrast = 0.0
  config.augment.gamma = 0.0
  config.loss.name = 'adatriplet'
  config.loss.distance = 'cosine'
  config.loss.margin = 0.25
  config.loss.beta = 0.3
  config.train.steps = 2600
  config.train.eval_every = 520
  config.train.checkpoint_every = 520
  return config
