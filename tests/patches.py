"""Patches in pairs, as the arrays of the catalog's cbis_npy, and their config.

Abnormal patches of one class are brighter in the middle, so a network can
learn to tell them apart in a few steps.
"""

import numpy as np

from mammojax.data.catalog import cbis_npy

# Labels of abnormal patches, by turns.
CODES = (1, 2, 3, 4)


def arrays(rng, pairs, side=12, bright=(2, 4)):
  """(uint16[2 pairs, side, side], int64[2 pairs]); codes `bright` shine."""
  labels = np.zeros(2 * pairs, np.int64)
  labels[1::2] = np.resize(CODES, pairs)
  images = rng.uniform(0.2, 0.5, (2 * pairs, side, side))
  middle = slice(side // 4, -side // 4)
  images[np.isin(labels, bright), middle, middle] += 0.4
  return np.rint(images * 65535).astype(np.uint16), labels


def folder(path, *, train=24, test=8, seed=0, **options):
  """Writes the four arrays of a data set into a folder."""
  rng = np.random.default_rng(seed)
  path.mkdir(parents=True, exist_ok=True)
  for name, pairs in (('train', train), ('public_test', test)):
    images, labels = arrays(rng, pairs, **options)
    np.save(path / f'{name}_tensor.npy', images)
    np.save(path / f'{name}_labels.npy', labels)
  return path


def table(path, task='benign_malignant', **options):
  """The table of a folder of arrays, made beside them; its path."""
  found = cbis_npy.read(folder(path, **options), task=task)
  out = path / f'{task}.csv'
  found.frame.to_csv(out, index=False)
  return out


def use(config, path, positive, head='classifier'):
  """Makes a tiny config one of decisions on a table."""
  config.data.source = 'table'
  config.data.table = str(path)
  config.data.steps = ('fit',)
  config.data.image_size = 12
  config.data.positive = positive
  config.data.split_rule = 'shuffled'
  config.data.split_fractions = (0.75, 0.25, 0.0)
  config.data.keep_test = True
  config.sampler.name = 'oversample'
  config.sampler.label = 'target'
  config.sampler.batch_size = 8
  config.model.name, config.model.cut = 'double_conv', ''
  config.model.width = 2
  config.model.head = head
  config.model.embedding_dim = 1
  config.loss.name = 'logistic'
  config.automargin.mode = 'fixed'
  config.train.steps = 4
  config.train.eval_every = 2
  return config
