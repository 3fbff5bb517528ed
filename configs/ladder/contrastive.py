"""Third rung: the contrastive loss on random pairs, with a margin of 1.

python main.py --config=configs/ladder/contrastive.py \
  --config.data.table=fashion.csv --config.data.root=<folder>
"""

from configs.ladder import common


def get_config():
  config = common.get_config()
  config.sampler.name = 'pairs'
  config.sampler.relate = 'drawn'
  config.loss.name = 'contrastive'
  config.loss.distance = 'euclidean'
  config.loss.margin = 1.0
  return config
