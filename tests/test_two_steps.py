"""Configs of matching take two steps on tiny phantoms, with their own settings.

Those whose images come from elsewhere see phantoms here.
"""

import importlib
import pathlib

import numpy as np
import pytest
import tiny

from mammojax.training import train

FOLDER = pathlib.Path(__file__).parents[1] / 'configs'
# These draw no phantoms, and have tests of their own.
OTHERS = ('ladder', 'cbis', 'melanoma', 'sweeps', 'sections')
NAMES = sorted(
  '.'.join(path.relative_to(FOLDER).with_suffix('').parts)
  for path in FOLDER.rglob('*.py')
  if path.stem not in ('__init__', 'base')
  and not set(path.relative_to(FOLDER).parts) & set(OTHERS)
)
FAST = ('forensic.contrastive', 'matching.resnet18')


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp('phantoms')


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in NAMES
  ],
)
def test_a_config_takes_two_steps(name, cache, tmp_path):
  config = importlib.import_module(f'configs.{name}').get_config()
  own = config.loss.to_dict(), config.automargin.to_dict()
  size = max(config.data.image_size // 8, 32)
  config.data.source = 'phantom'
  config.data.num_folds = 0
  if config.eval.gallery == 'left':
    # The other breast of a woman is a mate only where she is the subject.
    config.data.phantom.identity = 'woman'
  config.model.weights = config.model.init_from = ''
  if config.train.micro_batch:
    config.train.micro_batch = 4
  width = 0 if config.model.name.startswith('convnext') else 4
  tiny.shrink(
    config,
    cache,
    data__image_size=size,
    data__channels=1,
    model__width=width,
    train__steps=2,
    train__log_every=1,
    train__eval_every=2,
    train__checkpoint_every=2,
  )
  assert (config.loss.to_dict(), config.automargin.to_dict()) == own
  found = train.run(config, tmp_path / 'run')
  assert found['steps'] == 2
  assert 0 < found['test']['all']['map']['value'] <= 1
  assert np.isfinite(found['test']['all']['map']['low'])
