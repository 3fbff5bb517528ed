"""What triplets do on phantoms: mining, its order, batches, controls.

python -m mammojax sweep --config=configs/sweeps/matching.py \
  --workdir=runs/matching
12 small runs, 600 steps at 64 px.
"""

from configs.matching import resnet18

_OFF = {'curriculum.switch': 'off'}
_BATCH_HARD = {**_OFF, 'loss.name': 'batch_hard'}
_FREE = {'model.normalize': False, 'loss.distance': 'euclidean'}


def get_config():
  config = resnet18.get_config()
  config.data.image_size = 64
  config.train.steps = 600
  config.train.eval_every = 200
  config.train.checkpoint_every = 200
  config.curriculum.at_step = 300
  return config


def get_sweep():
  return {
    'title': 'Matching by triplets on phantom mammograms',
    'rows': {
      'Semi-hard': _OFF,
      'Hard': {**_OFF, 'loss.name': 'hard'},
      'Batch-hard': _BATCH_HARD,
      'Batch-hard, softplus': {**_BATCH_HARD, 'loss.soft': True},
      'Batch-hard, free length': {**_BATCH_HARD, **_FREE},
      'Semi-hard, hard after a stall': {},
      'Semi-hard, hard from the middle': {'curriculum.switch': 'step'},
      'Semi-hard, batch-hard from the middle': {
        'curriculum.switch': 'step',
        'curriculum.then': 'batch_hard',
      },
      'All in the semi-hard region': {**_OFF, 'loss.name': 'triplet'},
      '256 images, 64 at a time': {
        **_OFF,
        'sampler.subjects_per_batch': 64,
        'train.micro_batch': 64,
        'train.steps': 150,
        'train.eval_every': 50,
      },
      'Other breast': {
        **_OFF,
        'data.phantom.identity': 'woman',
        'eval.gallery': 'left',
      },
      'Background only': {**_OFF, 'data.region': 'background'},
    },
    'seeds': 1,
  }
