"""Melanoma on ISIC 2020 by semi-hard triplets: InceptionV3, the light model.

python main.py --config=configs/melanoma/light.py \
  --config.data.table=isic.csv --config.data.root=<folder> \
  --config.model.weights=<ImageNet weights of Keras>.h5
Everything else as configs/melanoma/full.py, whose docstring has the other
commands. The source's best run: this network on the full data, about 79 %.
"""

from configs.melanoma import full


def get_config():
  config = full.get_config()
  config.model.name = 'inception_v3'
  config.data.input = 'keras_tf'
  return config
