"""Second rung: "the same or not", by dense layers on both embeddings.

python main.py --config=configs/ladder/siamese.py \
  --config.data.table=fashion.csv --config.data.root=<folder>
"""

from configs.ladder import common


def get_config():
  config = common.get_config()
  config.sampler.name = 'pairs'
  config.model.normalize = False
  config.loss.name = 'siamese'
  return config
