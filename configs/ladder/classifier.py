"""First rung: a classifier, whose features before the logits are compared.

python main.py --config=configs/ladder/classifier.py \
  --config.data.table=fashion.csv --config.data.root=<folder>
"""

from configs.ladder import common


def get_config():
  config = common.get_config()
  config.sampler.name = 'shuffle'
  config.model.normalize = False
  config.loss.name = 'cross_entropy'
  return config
