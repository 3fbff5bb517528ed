"""Benign or malignant over the features of VGG16 (BEST VGG of the source).

python main.py --config=configs/cbis/benign_malignant_vgg16.py \
  --config.data.table=benign_malignant.csv --config.data.root=<folder> \
  --config.model.weights=vgg16.h5 --config.data.input=keras_caffe

Published: accuracy 0.648, loss 0.63, F2 0.68, AUC 0.67; without model.weights
as in configs/cbis/vgg16.py.
"""

from configs.cbis import vgg16


def get_config():
  config = vgg16.get_config()
  config.data.positive = ('malignant',)
  config.data.steps = ('fit', 'contrast')
  config.data.preprocess.contrast_factor = 1.5
  config.optim.learning_rate = 3e-3
  return config
