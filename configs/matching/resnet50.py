"""Matching of mammograms by triplets with ResNet50 of ImageNet.

python main.py --config=configs/matching/resnet50.py \
  --config.model.weights=resnet50_notop.h5
As configs/matching/vgg16.py, with the ResNet50 of Keras.
"""

from configs.matching import vgg16


def get_config():
  config = vgg16.get_config()
  config.model.name = 'resnet50_keras'
  return config
