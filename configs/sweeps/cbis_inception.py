"""Mass or calcification over InceptionV3: the rows of the source.

python -m mammojax sweep --config=configs/sweeps/cbis_inception.py \
  --workdir=runs/cbis_inception --config.data.table=mass_calcification.csv \
  --config.data.root=<folder> --config.model.weights=inception_v3.h5 \
  --config.data.input=keras_tf
18 runs of the size of configs/cbis/inception.py, which says what happens
without weights. Rows 2 and 5 of the source read alike; here row 2 turns only.
"""

from configs import cbis, published
from configs.cbis import inception

_TWENTY = {'train.steps': cbis.epochs(20), 'model.dropout': 0.0}
ROWS = {
  'INCEPTION_1': {**_TWENTY, **cbis.NO_AUGMENTATION},
  'INCEPTION_2': {**_TWENTY, **cbis.ROTATION},
  'INCEPTION_3': {},
  'INCEPTION_4': {**_TWENTY, **cbis.RMSPROP},
  'INCEPTION_5': _TWENTY,
  'INCEPTION_6': {**_TWENTY, 'model.cut': 'top+1'},
}


def get_config():
  return inception.get_config()


def get_sweep():
  return {
    'title': 'Mass or calcification over InceptionV3',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['inception'],
    'published_name': 'Acquavia and Mazzini 2021, section 5.3.2',
  }
