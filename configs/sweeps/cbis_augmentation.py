"""What augmentation does to mass or calcification, at equal length.

python -m mammojax sweep --config=configs/sweeps/cbis_augmentation.py \
  --workdir=runs/cbis_augmentation --config.data.table=mass_calcification.csv \
  --config.data.root=<folder>
12 runs of the size of configs/cbis/scratch.py.
"""

from configs import cbis
from configs.cbis import scratch


def get_config():
  return scratch.get_config()


def get_sweep():
  return {
    'title': 'Augmentation of patches',
    'rows': {
      'none': cbis.NO_AUGMENTATION,
      'flip': cbis.FLIP,
      'rotation by 90 degrees': cbis.ROTATION,
      'both': cbis.BOTH,
    },
    'seeds': 3,
  }
