"""Matching of skin lesions on HAM10000 with a ConvNeXt.

python main.py --config=configs/ham10000_convnext.py \
  --config.data.table=<folder>/manifest.csv
Rate and decay are first guesses that no trial has confirmed; no result yet.
"""

from configs import ham10000


def get_config():
  config = ham10000.get_config()
  config.model.name = 'convnext_atto'
  config.model.width = 0
  config.optim.learning_rate = 2e-3
  config.optim.weight_decay = 0.05
  return config
