"""Mass or calcification over VGG16: the rows of the source.

python -m mammojax sweep --config=configs/sweeps/cbis_vgg16.py \
  --workdir=runs/cbis_vgg16 --config.data.table=mass_calcification.csv \
  --config.data.root=<folder> --config.model.weights=vgg16.h5 \
  --config.data.input=keras_caffe
15 runs of the size of configs/cbis/vgg16.py, which says what happens without
weights. V2, V3 and V5 of the source read alike; here V2 turns only and V3
undersamples.
"""

from configs import cbis, published
from configs.cbis import vgg16

ROWS = {
  'VGG16_V1': {**cbis.NO_AUGMENTATION, 'train.steps': cbis.epochs(60)},
  'VGG16_V2': cbis.ROTATION,
  'VGG16_V3': {'sampler.name': 'undersample'},
  'VGG16_V6': {'model.cut': 'top+1'},
  'VGG16_V5': {},
}


def get_config():
  return vgg16.get_config()


def get_sweep():
  return {
    'title': 'Mass or calcification over VGG16',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['vgg16'],
    'published_name': 'Acquavia and Mazzini 2021, section 5.3.1',
  }
