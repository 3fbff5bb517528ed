"""Benign or malignant over the features of InceptionV3 (BEST INCEPTION).

python main.py --config=configs/cbis/benign_malignant_inception.py \
  --config.data.table=benign_malignant.csv --config.data.root=<folder> \
  --config.model.weights=inception_v3.h5 --config.data.input=keras_tf

Published: accuracy 0.69, loss 0.58, F2 0.69, AUC 0.70; without model.weights as
in configs/cbis/vgg16.py.
"""

from configs import cbis
from configs.cbis import inception


def get_config():
  config = inception.get_config()
  config.data.positive = ('malignant',)
  config.data.steps = ('fit', 'contrast')
  config.data.preprocess.contrast_factor = 1.5
  config.model.cut = 'top+1'
  config.model.hidden = (512, 256)
  config.model.dropout = 0.0
  config.train.steps = cbis.epochs(20)
  return config
