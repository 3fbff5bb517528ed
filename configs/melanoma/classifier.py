"""Malignant lesions of HAM10000 by a classifier, with the budget of small.py.

python main.py --config=configs/melanoma/classifier.py \
  --config.data.table=<folder>/manifest.csv
python -m mammojax classify --workdir=runs/classifier --head=own --balanced \
  --positive=mel,bcc,akiec --out=runs/classifier/malignant
The same network, images, batches, steps and rates, trained by its decision.
"""

from configs.melanoma import small


def get_config():
  config = small.get_config()
  config.sampler.label = 'target'
  config.sampler.balance = ''
  config.model.head = 'classifier'
  config.model.hidden = (128,)
  config.model.embedding_dim = 1
  config.loss.name = 'logistic'
  return config
