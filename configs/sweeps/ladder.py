"""The ladder: five objectives, five sizes, three distances, two classes away.

python -m mammojax sweep --config=configs/sweeps/ladder.py \
  --config.data.table=fashion.csv --config.data.root=<folder> \
  --config.data.prepared=<folder> --workdir=runs/ladder
python -m mammojax examine --workdir=runs/ladder

Twelve runs of three to four minutes on one core, then a minute each. A rung is
what the config of that name in configs/ladder/ changes.
"""

import ml_collections

from configs.ladder import (
  classifier,
  common,
  contrastive,
  siamese,
  triplet_mined,
  triplet_random,
)

# The sizes and distances beside 32 and the Euclidean one.
SIZES = (2, 4, 8, 128)
HELD_OUT = ('Bag', 'Sandal')


def _fields(config, prefix=''):
  found = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      found |= _fields(value, f'{prefix}{name}.')
    else:
      found[prefix + name] = value
  return found


def _changes(module):
  """What a rung changes, as rows of a sweep want it."""
  before = _fields(common.get_config())
  after = _fields(module.get_config())
  return {name: value for name, value in after.items() if value != before[name]}


def get_config():
  return common.get_config()


def get_sweep():
  mined = _changes(triplet_mined)
  return {
    'title': 'The ladder',
    'seeds': 1,
    'rows': {
      'Classifier': _changes(classifier),
      'Siamese': _changes(siamese),
      'Contrastive': _changes(contrastive),
      'Triplet, random': _changes(triplet_random),
      'Triplet, mined': mined,
      **{
        f'Triplet, mined, {size} values': {**mined, 'model.embedding_dim': size}
        for size in SIZES
      },
      'Triplet, mined, cosine': {
        **mined,
        'loss.distance': 'cosine',
        'loss.margin': 0.3,
      },
      # Between unit vectors of 32 values, about 4.5 times the Euclidean one.
      'Triplet, mined, L1': {
        **mined,
        'loss.distance': 'manhattan',
        'loss.margin': 1.35,
      },
      'Triplet, mined, two classes held out': {
        **mined,
        'data.held_out': HELD_OUT,
      },
    },
  }
