"""From grey to colour: three copies, or a learned 1x1 convolution.

python -m mammojax sweep --config=configs/sweeps/cbis_grey.py \
  --workdir=runs/cbis_grey --config.data.table=benign_malignant.csv \
  --config.data.root=<folder> --config.model.weights=inception_v3.h5 \
  --config.data.input=keras_tf
6 runs of the size of configs/cbis/benign_malignant_inception.py, which says
what happens without weights.
"""

from configs import published
from configs.cbis import benign_malignant_inception

ROWS = {
  'Replication': {'model.grey': 'replicate'},
  'Convolutional_Layer': {'model.grey': 'learned'},
}


def get_config():
  return benign_malignant_inception.get_config()


def get_sweep():
  return {
    'title': 'From grey to colour',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['grey'],
    'published_name': 'Acquavia and Mazzini 2021, section 5.2',
  }
