"""Mass or calcification from scratch: the six rows of the source.

python -m mammojax sweep --config=configs/sweeps/cbis_scratch.py \
  --workdir=runs/cbis_scratch --config.data.table=mass_calcification.csv \
  --config.data.root=<folder>
18 runs of the size of configs/cbis/scratch.py. Rows 2 and 3 of the source read
alike; here the one undersamples.
"""

from configs import cbis, published
from configs.cbis import scratch

_FIFTY = {'train.steps': cbis.epochs(50)}
ROWS = {
  'SCRATCH_1': {**_FIFTY, **cbis.ADAM, **cbis.NO_AUGMENTATION},
  'SCRATCH_2': {**_FIFTY, **cbis.ADAM, 'sampler.name': 'undersample'},
  'SCRATCH_3': {**_FIFTY, **cbis.ADAM},
  'SCRATCH_4': {**_FIFTY},
  'SCRATCH_5': {**_FIFTY, 'optim.learning_rate': 3e-3},
  'SCRATCH_6': {},
}


def get_config():
  return scratch.get_config()


def get_sweep():
  return {
    'title': 'Mass or calcification, from scratch',
    'rows': ROWS,
    'seeds': 3,
    'published': published.CBIS['scratch'],
    'published_name': 'Acquavia and Mazzini 2021, section 4.1',
  }
