"""Mass or calcification beside healthy tissue: the five rows of the source.

python -m mammojax sweep --config=configs/sweeps/cbis_siamese.py \
  --workdir=runs/cbis_siamese --config.data.table=pairs.csv \
  --config.data.root=<folder>
15 runs of the size of configs/cbis/siamese.py. The source does not state its
optimizer, and rows 1 to 3 read alike; here 2 is of Adam and 3 of three times
the rate.
"""

from configs import cbis, published
from configs.cbis import siamese

_NO_DROPOUT = {'model.dropout': 0.0}
ROWS = {
  'SIAMESE_1': {**_NO_DROPOUT, **cbis.BOTH},
  'SIAMESE_2': {**_NO_DROPOUT, **cbis.BOTH, **cbis.ADAM},
  'SIAMESE_3': {**_NO_DROPOUT, **cbis.BOTH, 'optim.learning_rate': 3e-3},
  'SIAMESE_4': {**_NO_DROPOUT, 'train.steps': cbis.epochs(30)},
  'SIAMESE_5': {},
}


def get_config():
  return siamese.get_config()


def get_sweep():
  return {
    'title': 'Mass or calcification in pairs with healthy tissue',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['siamese'],
    'published_name': 'Acquavia and Mazzini 2021, section 6',
  }
