"""Matching of chest radiographs over twelve years on NIH ChestX-ray14.

python -m mammojax catalog nih_cxr14 --root=<folder> --out=nih.csv
python main.py --config=configs/forensic/nih.py --config.data.table=nih.csv \
  --config.data.root=<folder> --config.model.weights=resnet18.safetensors

Published with AdaTriplet and AutoMargin: mAP 74.5 +- 0.4 over 5 seeds.
Settings of the authors as in configs/forensic/oai.py. model.weights names a
ResNet18 of ImageNet; without that file the network starts from scratch.
train.steps is 100 epochs of the seven eighths of the 86,524 listed images that
train. Decoding takes longest: data.prepared=<folder> does it once.
"""

from configs.forensic import oai


def get_config():
  config = oai.get_config()
  # A chest is whole on its picture, and has two sides on one.
  config.data.fit = 'pad'
  config.data.steps = ('fit',)
  config.train.steps = 59100
  return config
