"""Mass or calcification over the features of VGG16 (VGG16_V5 of the source).

python main.py --config=configs/cbis/vgg16.py \
  --config.data.table=mass_calcification.csv --config.data.root=<folder> \
  --config.model.weights=vgg16.h5 --config.data.input=keras_caffe

Published: accuracy 0.83, loss 0.41, AUC 0.82, with weights of ImageNet that
stay as they are. model.weights names such a file (docs/pretrained.md); without
it all layers learn, from scratch, and the report says so.
"""

from configs import cbis
from configs.cbis import scratch


def get_config():
  config = scratch.get_config()
  config.model.name = 'vgg16'
  config.model.grey = 'learned'
  config.model.flatten = True
  config.model.hidden = (512,)
  config.optim.name = 'adam'
  config.optim.freeze_pretrained = ('backbone',)
  config.train.steps = cbis.epochs(15)
  return config
