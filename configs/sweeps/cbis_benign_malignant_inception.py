"""Benign or malignant over InceptionV3: the eight rows of the source.

python -m mammojax sweep \
  --config=configs/sweeps/cbis_benign_malignant_inception.py \
  --workdir=runs/cbis_bm_inception --config.data.table=benign_malignant.csv \
  --config.data.root=<folder> --config.model.weights=inception_v3.h5 \
  --config.data.input=keras_tf
24 runs of the size of configs/cbis/benign_malignant_inception.py, which says
what happens without weights. Rows 2 and 3, 4 and 5 of the source read alike and
differ in F2; here 2 and 4 take the classes as they come.
"""

from configs import cbis, published
from configs.cbis import benign_malignant_inception

_TEN = {'train.steps': cbis.epochs(10)}
_AS_IT_COMES = {'sampler.name': 'shuffle'}
ROWS = {
  'INCEPTION_1': {'model.cut': 'top'},
  'INCEPTION_2': {**_TEN, **_AS_IT_COMES},
  'INCEPTION_3': _TEN,
  'INCEPTION_4': {**_TEN, **_AS_IT_COMES, **cbis.RMSPROP},
  'INCEPTION_5': {**_TEN, **cbis.RMSPROP},
  'INCEPTION_6': cbis.RMSPROP,
  'INCEPTION_7': {'model.cut': 'top+2'},
  'BEST_INCEPTION': {},
}


def get_config():
  return benign_malignant_inception.get_config()


def get_sweep():
  return {
    'title': 'Benign or malignant over InceptionV3',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['benign_malignant_inception'],
    'published_name': 'Acquavia and Mazzini 2021, section 5.4.2',
  }
