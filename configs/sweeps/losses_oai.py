"""Table 4 of AdaTriplet: nine losses on OAI, as the authors train.

python -m mammojax sweep --config=configs/sweeps/losses_oai.py \
  --workdir=runs/losses_oai --config.data.table=oai.csv \
  --config.data.root=<folder> --config.model.weights=resnet18.safetensors
45 runs of the size of configs/forensic/oai.py, which says where the table and
the weights come from; without model.weights they start from scratch.
"""

from configs import published
from configs.forensic import oai
from configs.sweeps import losses


def get_config():
  return oai.get_config()


def get_sweep():
  return {
    'title': 'Losses on OAI',
    'rows': losses.ROWS,
    'published': published.OAI,
    'published_name': 'OAI, table 4',
  }
