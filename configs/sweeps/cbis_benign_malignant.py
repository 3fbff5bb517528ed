"""Benign or malignant from scratch: the six rows of the source.

python -m mammojax sweep --config=configs/sweeps/cbis_benign_malignant.py \
  --workdir=runs/cbis_bm --config.data.table=benign_malignant.csv \
  --config.data.root=<folder>
18 runs of the size of configs/cbis/benign_malignant.py. V3 and V6 of the source
read alike; here V3 flips too.
"""

from configs import cbis, published
from configs.cbis import benign_malignant

ROWS = {
  'SCRATCH_BM_V1': {
    **cbis.ADAM,
    **cbis.NO_AUGMENTATION,
    **cbis.NO_CONTRAST,
    'train.steps': cbis.epochs(45),
  },
  'SCRATCH_BM_V2': cbis.ADAM,
  'SCRATCH_BM_V3': cbis.BOTH,
  'SCRATCH_BM_V4': cbis.NO_CONTRAST,
  'SCRATCH_BM_V5': {**cbis.ADAM, **cbis.NO_CONTRAST},
  'SCRATCH_BM_V6': {},
}


def get_config():
  return benign_malignant.get_config()


def get_sweep():
  return {
    'title': 'Benign or malignant, from scratch',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['benign_malignant'],
    'published_name': 'Acquavia and Mazzini 2021, section 4.2',
  }
