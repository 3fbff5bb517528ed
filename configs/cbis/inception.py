"""Mass or calcification over the features of InceptionV3 (INCEPTION_3).

python main.py --config=configs/cbis/inception.py \
  --config.data.table=mass_calcification.csv --config.data.root=<folder> \
  --config.model.weights=inception_v3.h5 --config.data.input=keras_tf

Published: accuracy 0.86, loss 0.36, AUC 0.87, with weights of ImageNet that
stay as they are; without model.weights as in configs/cbis/vgg16.py.
"""

from configs.cbis import vgg16


def get_config():
  config = vgg16.get_config()
  config.model.name = 'inception_v3'
  # The source does not state its rate here; it is that of its pair network.
  config.model.dropout = 0.4
  return config
