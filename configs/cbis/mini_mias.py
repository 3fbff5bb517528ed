"""Benign or malignant on patches of mini-MIAS, five folds by woman.

python -m mammojax catalog mini_mias --root=<folder> --out=mias.csv
python -m mammojax cut --table=mias.csv --root=<folder> --out=mias_patches
python main.py --config=configs/cbis/mini_mias.py \
  --config.data.table=mias_patches/patches.csv \
  --config.model.init_from=runs/benign_malignant
The network starts from a run of configs/cbis/benign_malignant.py on phantoms;
without init_from it starts at random. Expect no better than chance: AUC 40 [30,
50] over 104 women; docs/cbis.md.
"""

from configs.cbis import benign_malignant


def get_config():
  config = benign_malignant.get_config()
  config.data.split_rule = 'stratified'
  config.data.keep_test = False
  config.data.num_folds = 5
  config.optim.learning_rate = 1e-4
  config.augment.horizontal_flip = True
  config.train.steps = 80
  config.train.eval_every = 10
  config.train.checkpoint_every = 40
  return config
