"""Fourth rung: the triplet loss on random triplets, with a margin of 1.

python main.py --config=configs/ladder/triplet_random.py \
  --config.data.table=fashion.csv --config.data.root=<folder>
"""

from configs.ladder import common


def get_config():
  config = common.get_config()
  config.sampler.name = 'triplets'
  config.sampler.relate = 'drawn'
  # 48 triplets: a step takes as long as one of the other rungs.
  config.sampler.batch_size = 144
  config.loss.name = 'triplet'
  config.loss.selection = 'all'
  config.loss.distance = 'euclidean'
  config.loss.margin = 1.0
  return config
