"""Matching of mammograms by triplets with VGG16 of ImageNet.

python main.py --config=configs/matching/vgg16.py \
  --config.model.weights=vgg16_notop.h5
Keras' file without its top; without model.weights the network starts from
scratch, which needs more than these steps. Grey pictures are fed as three equal
channels, in the order and about the means that its publisher used. Phantoms,
unless data.source is 'table'. Batches go through in parts of 16 images.
"""

from configs.matching import resnet18


def get_config():
  config = resnet18.get_config()
  config.data.image_size = 224
  config.data.input = 'keras_caffe'
  config.model.name = 'vgg16'
  config.model.width = 0
  config.model.grey = 'replicate'
  config.train.micro_batch = 16
  config.optim.learning_rate = 1e-4
  return config
