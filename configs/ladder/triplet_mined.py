"""Fifth rung: the triplet loss on all triplets of a batch that are not easy.

python main.py --config=configs/ladder/triplet_mined.py \
  --config.data.table=fashion.csv --config.data.root=<folder>
"""

from configs.ladder import common


def get_config():
  config = common.get_config()
  config.sampler.name = 'balanced'
  config.loss.name = 'triplet'
  config.loss.selection = 'all'
  config.loss.reduction = 'mean_active'
  config.loss.distance = 'euclidean'
  config.loss.margin = 0.3
  return config
