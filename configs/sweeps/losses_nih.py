"""Table 5 of AdaTriplet: nine losses on NIH, as the authors train.

python -m mammojax sweep --config=configs/sweeps/losses_nih.py \
  --workdir=runs/losses_nih --config.data.table=nih.csv \
  --config.data.root=<folder> --config.model.weights=resnet18.safetensors
45 runs of the size of configs/forensic/nih.py, which says where the table and
the weights come from; without model.weights they start from scratch.
"""

from configs import published
from configs.forensic import nih
from configs.sweeps import losses


def get_config():
  return nih.get_config()


def get_sweep():
  return {
    'title': 'Losses on NIH',
    'rows': losses.ROWS,
    'published': published.NIH,
    'published_name': 'NIH, table 5',
  }
