"""Mass or calcification beside healthy tissue: pairs (SIAMESE_5 of the source).

python -m mammojax catalog cbis_npy --task=pairs \
  --root=<folder of the arrays> --out=pairs.csv
python main.py --config=configs/cbis/siamese.py \
  --config.data.table=pairs.csv --config.data.root=<folder>

Published: accuracy 0.84, loss 0.36, AUC 0.83.
"""

from configs import cbis
from configs.cbis import scratch


def get_config():
  config = scratch.get_config()
  config.model.head = 'siamese'
  config.model.hidden = (512,)
  config.model.dropout = 0.4
  config.augment.horizontal_flip = False
  config.train.steps = cbis.epochs(50)
  return config
