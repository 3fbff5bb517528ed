"""Benign or malignant, a small network from scratch (SCRATCH_BM_V6).

python -m mammojax catalog cbis_npy --task=benign_malignant \
  --root=<folder of the arrays> --out=benign_malignant.csv
python main.py --config=configs/cbis/benign_malignant.py \
  --config.data.table=benign_malignant.csv --config.data.root=<folder>

Published: accuracy 0.65, loss 0.61, F2 0.61, AUC 0.65.
"""

from configs import cbis
from configs.cbis import scratch


def get_config():
  config = scratch.get_config()
  config.data.positive = ('malignant',)
  config.data.steps = ('fit', 'contrast')
  config.data.preprocess.contrast_factor = 2.0
  config.augment.horizontal_flip = False
  config.train.steps = cbis.epochs(30)
  return config
