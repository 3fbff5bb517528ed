"""Figure 3 and tables 4 and 5 of AdaTriplet on phantoms: nine losses.

python -m mammojax sweep --config=configs/sweeps/losses.py \
  --workdir=runs/losses
45 runs of 1,500 steps, twenty minutes each on one CPU core. A row is what the
config of that name in configs/forensic/ changes.
"""

from configs import base, published

FIXED = {'automargin.mode': 'fixed'}
ROWS = {
  'AdaTriplet': {},
  'AdaTriplet, fixed': {**FIXED, 'loss.margin': 0.25, 'loss.beta': 0.1},
  'Triplet, AutoMargin': {'loss.name': 'triplet'},
  'Triplet': {
    **FIXED,
    'loss.name': 'triplet',
    'loss.selection': 'semihard_region',
    'loss.margin': 0.25,
  },
  'Contrastive': {
    **FIXED,
    'loss.name': 'contrastive',
    'loss.distance': 'euclidean',
    'loss.reduction': 'mean_active',
    'loss.positive_margin': 0.0,
    'loss.margin': 1.0,
  },
  'SCT': {**FIXED, 'loss.name': 'sct'},
  'WAT': {**FIXED, 'loss.name': 'wat'},
  'ArcFace': {**FIXED, 'loss.name': 'arcface'},
  'SoftTriplet': {**FIXED, 'loss.name': 'soft_triplet'},
}


def get_config():
  return base.get_config()


def get_sweep():
  return {
    'title': 'Losses on phantom mammograms',
    'rows': ROWS,
    'published': published.OAI,
    'published_name': 'OAI, table 4',
  }
