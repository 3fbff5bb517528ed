"""Matching of skin lesions on HAM10000 with a ConvNeXt.

python main.py --config=configs/ham10000_convnext.py \
  --config.data.table=<folder>/manifest.csv
Of two rates, 1e-3 and 4e-3, tried for 150 steps, the first had the better
validation. A step takes twice as long as that of configs/ham10000.py, and
teaches less: expect mAP 22.9 [20.1, 26.1] of --config.train.steps=430, 14
minutes on a CPU core, where ResNet18 reaches 59.3.
"""

from configs import ham10000


def get_config():
  config = ham10000.get_config()
  config.model.name = 'convnext_atto'
  config.model.width = 0
  config.optim.learning_rate = 1e-3
  config.optim.weight_decay = 0.05
  return config
