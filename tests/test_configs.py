"""Every config is base with other values, and builds what it names."""

import importlib
import pathlib
import re

from absl import flags
import ml_collections
import pytest

from configs import base
from mammojax import errors
from mammojax.commands import parsing
from mammojax.training import factory, networks, objectives, optimizers

FOLDER = pathlib.Path(__file__).parents[1] / 'configs'
NAMES = sorted(
  '.'.join(path.relative_to(FOLDER).with_suffix('').parts)
  for path in FOLDER.rglob('*.py')
  # Sections are parts of base and no configs.
  if path.stem != '__init__' and path.parent.name != 'sections'
)


def flat(config, prefix=''):
  fields = {}
  for name, value in config.items():
    if isinstance(value, ml_collections.ConfigDict):
      fields |= flat(value, f'{prefix}{name}.')
    else:
      fields[prefix + name] = type(value)
  return fields


@pytest.mark.parametrize('name', NAMES)
def test_config_has_the_fields_and_types_of_base(name):
  module = importlib.import_module(f'configs.{name}')
  assert flat(module.get_config()) == flat(base.get_config())
  path = f'configs/{name.replace(".", "/")}.py'
  assert name in ('base',) or path in module.__doc__


@pytest.mark.parametrize('name', NAMES)
def test_config_names_what_exists(name):
  config = importlib.import_module(f'configs.{name}').get_config()
  assert callable(objectives.build(config).score)
  assert optimizers.optimizer(config).update
  assert factory.augmentation(config).fill == config.augment.fill
  model = networks.model(config, mean=(0.5,), std=(0.2,), axis_name=None)
  assert len(model.mean) == networks.input_channels(config)


def test_a_misspelt_field_is_an_error():
  config = base.get_config()
  with pytest.raises(AttributeError, match='learning_rate'):
    config.optim.learnin_rate = 0.1
  with pytest.raises(TypeError):
    config.optim.learning_rate = 'fast'


@pytest.mark.filterwarnings('ignore:the load_module')
@pytest.mark.parametrize(
  ('text', 'more', 'message'),
  [
    ('path,subject\na b,c\n', '', 'cannot be used: invalid syntax'),
    ('import no_such_module', '', "No module named 'no_such_module'"),
    ('x = 1', '', 'has no function get_config()'),
    (
      'from configs.base import get_config',
      'data.tabel=x',
      'field \'tabel\' Did you mean "table"',
    ),
  ],
  ids=['table', 'import', 'empty', 'field'],
)
def test_a_file_or_field_that_cannot_be_is_said(tmp_path, text, more, message):
  (tmp_path / 'config.py').write_text(text)
  values = flags.FlagValues()
  arguments = [f'--config={tmp_path}/config.py']
  arguments += [f'--config.{more}'] * bool(more)
  with pytest.raises(errors.UsageError, match=re.escape(message)):
    parsing.define_config(values, arguments)
    parsing.parse(values, 'train', arguments)
    parsing.config(values, 'train')


@pytest.mark.filterwarnings('ignore:the load_module')
def test_fields_are_those_of_the_arguments_not_of_the_process():
  values = flags.FlagValues()
  path = pathlib.Path(base.__file__).with_name('adatriplet.py')
  arguments = [f'--config={path}', '--config.eval.draws=7']
  parsing.define_config(values, arguments)
  assert parsing.parse(values, 'train', arguments) == []
  assert values.config.eval.draws == 7


def test_learning_rate_warms_up_and_falls_to_zero():
  config = base.get_config()
  config.train.steps = 100
  config.optim.warmup_steps = 10
  config.optim.learning_rate = 1.0
  rate = optimizers.schedule(config)
  assert float(rate(0)) == pytest.approx(0.1)
  assert float(rate(9)) == pytest.approx(1.0)
  assert float(rate(10)) == pytest.approx(1.0)
  # Half a cosine over the ninety steps that are left.
  assert float(rate(55)) == pytest.approx(0.5)
  assert float(rate(100)) == pytest.approx(0.0, abs=1e-6)
