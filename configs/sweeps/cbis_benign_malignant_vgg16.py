"""Benign or malignant over VGG16: the five rows of the source.

python -m mammojax sweep \
  --config=configs/sweeps/cbis_benign_malignant_vgg16.py \
  --workdir=runs/cbis_bm_vgg16 --config.data.table=benign_malignant.csv \
  --config.data.root=<folder> --config.model.weights=vgg16.h5 \
  --config.data.input=keras_caffe
15 runs of the size of configs/cbis/benign_malignant_vgg16.py, which says what
happens without weights. The source does not say how many epochs; here 15, as
for its masses.
"""

from configs import cbis, published
from configs.cbis import benign_malignant_vgg16

_SLOW = {'optim.learning_rate': 1e-3}
ROWS = {
  'VGG_1': {
    **_SLOW,
    'sampler.batch_size': 50,
    'train.steps': cbis.epochs(15, batch_size=50),
  },
  'VGG_2': _SLOW,
  'VGG_3': {**_SLOW, 'model.cut': 'block5'},
  'VGG_4': {**_SLOW, **cbis.RMSPROP},
  'BEST_VGG': {},
}


def get_config():
  return benign_malignant_vgg16.get_config()


def get_sweep():
  return {
    'title': 'Benign or malignant over VGG16',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['benign_malignant_vgg16'],
    'published_name': 'Acquavia and Mazzini 2021, section 5.4.1',
  }
