"""Losses on HAM10000, by lesion: four of those of AdaTriplet's tables.

python -m mammojax sweep --config=configs/sweeps/losses_ham10000.py \
  --workdir=runs/losses_ham10000 --config.data.table=<folder>/manifest.csv
20 runs of configs/ham10000.py, of 1,300 steps: 10 minutes each on 2 CPU cores.
"""

from configs import ham10000
from configs.sweeps import losses

NAMES = ('AdaTriplet', 'AdaTriplet, fixed', 'Triplet', 'Contrastive')


def get_config():
  config = ham10000.get_config()
  config.train.steps = 1300
  return config


def get_sweep():
  return {
    'title': 'Losses on HAM10000',
    'rows': {name: losses.ROWS[name] for name in NAMES},
  }
