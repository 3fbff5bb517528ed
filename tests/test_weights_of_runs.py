"""A run exported, started from, rebuilt: the same embeddings, bit by bit."""

import json
import pathlib
import stat

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mammojax import __main__ as command_line
from mammojax import errors
from mammojax.models import embedder, pretrained
from mammojax.training import (
  checkpoints,
  inputs,
  preparation,
  state,
  train,
  transfer,
  weights,
)
from tests import tiny


@pytest.fixture(scope='module')
def finished(tmp_path_factory, cache):
  """A run, and the file that the command makes of it."""
  folder = tmp_path_factory.mktemp('first')
  train.run(tiny.config(cache), folder / 'run')
  out = folder / 'net work.safetensors'
  command = ['export', f'--workdir={folder / "run"}', f'--out={out}']
  assert command_line.main(command) == 0
  return folder / 'run', out


def embed(trainer, state):
  return trainer.embed(state, np.arange(8))


def test_a_run_starts_from_an_exported_file(finished, tmp_path, cache):
  workdir, out = finished
  first = train.Trainer(tiny.config(cache), workdir)
  with checkpoints.Checkpoints(
    workdir / 'checkpoints', read_only=True
  ) as saved:
    state, step, _ = saved.restore(first.state, 'best')
  # Other training women would measure another mean and spread.
  config = tiny.config(
    cache, model__weights=str(out), data__phantom__train_women=7
  )
  second = train.Trainer(config, tmp_path / 'second')
  images = jnp.asarray(first.images.images(np.arange(8)))
  want = first.embed_fn(state.params, state.batch_stats, images)
  started = second.state
  got = second.embed_fn(started.params, started.batch_stats, images)
  np.testing.assert_array_equal(got, want)
  model, variables = weights.rebuild(out)
  again = jax.jit(lambda v, x: model.apply(v, x, train=False))(
    variables, images
  )
  np.testing.assert_array_equal(again, want)
  assert pretrained.describe(out)['step'] == step
  record = json.loads((tmp_path / 'second' / weights.RECORD).read_text())
  assert record['names'] == 'mammojax'
  assert record['new'] == record['summed'] == []
  scaling = json.loads((workdir / 'preprocess.json').read_text())['input']
  assert second.preparation['input'] == scaling


def test_the_file_is_private_and_holds_no_path(finished):
  workdir, out = finished
  assert stat.S_IMODE(out.stat().st_mode) == 0o600
  text = json.dumps(pretrained.describe(out))
  assert str(workdir.parent) not in text and 'table' not in text


def test_another_file_in_the_same_workdir_is_refused(finished, tmp_path, cache):
  _, out = finished
  copy = tmp_path / 'copy.safetensors'
  copy.write_bytes(out.read_bytes())
  config = tiny.config(cache, model__weights=str(copy))
  trainer = train.Trainer(config, tmp_path / 'run')
  train.Trainer(config, tmp_path / 'run')
  variables = jax.tree.map(
    lambda x: np.asarray(x) + 1,
    {'params': trainer.state.params, 'batch_stats': trainer.state.batch_stats},
  )
  copy.write_bytes(pretrained.save(variables, pretrained.describe(out)))
  with pytest.raises(errors.UsageError, match='not what this run was started'):
    train.Trainer(config, tmp_path / 'run')


def test_fields_that_contradict_are_refused(finished, tmp_path, cache):
  workdir, out = finished
  both = tiny.config(
    cache, model__weights=str(out), model__init_from=str(workdir)
  )
  with pytest.raises(errors.UsageError, match='give one of them'):
    train.Trainer(both, tmp_path / 'a')
  wider = tiny.config(cache, model__weights=str(out), model__width=8)
  with pytest.raises(errors.DataError, match='does not fit the network'):
    train.Trainer(wider, tmp_path / 'b')
  missing = tiny.config(cache, model__weights=str(tmp_path / 'none.h5'))
  with pytest.raises(errors.UsageError, match='No such file'):
    train.Trainer(missing, tmp_path / 'c')


def test_another_head_is_new_and_said_so(finished, tmp_path, cache, caplog):
  _, out = finished
  config = tiny.config(cache, model__weights=str(out), model__embedding_dim=4)
  train.Trainer(config, tmp_path / 'run')
  assert 'newly initialised: params/head' in caplog.text
  assert caplog.records[-1].levelname == 'WARNING'


def begun(num_classes, seed):
  """A state before step 0, of a loss that learns class weights."""
  shape = (num_classes, 3)
  return state.create(
    embedder.build('resnet18', width=2, cut='stem', embedding_dim=3),
    optax.sgd(0.1),
    None,
    seed=seed,
    image_shape=(16, 16, 1),
    loss_init=lambda key: {'class_weights': jax.random.normal(key, shape)},
  )


@pytest.mark.parametrize('num_classes', [4, 6])
@pytest.mark.parametrize('is_old', [True, False])
def test_what_a_loss_learnt_stays_with_its_run(
  tmp_path, cache, monkeypatch, num_classes, is_old
):
  first, second = begun(4, seed=1), begun(num_classes, seed=2)
  found = {'params': first.params, 'batch_stats': first.batch_stats}
  monkeypatch.setattr(transfer, 'best', lambda *_: (found, 7))
  for name, value in (
    ('config.json', {'model': {}, 'data': {}}),
    (preparation.FILE, {}),
  ):
    (tmp_path / name).write_text(json.dumps(value))
  path = tmp_path / 'network.safetensors'
  # Files were written with the class weights once.
  data = pretrained.save(found, {}) if is_old else weights.packed(tmp_path)
  path.write_bytes(data)
  with pretrained.opened(path) as archive:
    names = [name for name in archive.entries if 'class_weights' in name]
  assert len(names) == is_old
  config = tiny.config(cache, model__weights=str(path))
  started = weights.start(second, config, tmp_path / 'second')
  assert sorted(started.params) == ['backbone', 'head', 'loss']
  for name, source in (('head', first), ('loss', second)):
    jax.tree.map(
      np.testing.assert_array_equal, started.params[name], source.params[name]
    )
  record = json.loads((tmp_path / 'second' / weights.RECORD).read_text())
  assert record['new'] == []
  assert list(record['skipped'].values()) == ['not of this network'] * is_old


@pytest.mark.parametrize('field', ['weights', 'init_from'])
def test_other_preparation_is_refused_or_allowed(
  finished, tmp_path, cache, caplog, field
):
  workdir, out = finished
  source = str(out if field == 'weights' else workdir)
  fields = {f'model__{field}': source, 'data__mirror': 'L'}
  saved = pretrained.describe(out)['preparation']['preprocess_id']
  config = tiny.config(cache, **fields)
  own = inputs.recipe(config).identity
  assert len(saved) == len(own) == 64 and saved != own
  # Before any image is drawn or read.
  config.data.phantom.cache_dir = str(tmp_path / 'images')
  with pytest.raises(errors.IntegrityError) as caught:
    train.Trainer(config, tmp_path / 'run')
  assert not (tmp_path / 'images').exists()
  for text in (source, saved[:12], own[:12], 'orient.mirror', 'model.allow'):
    assert text in str(caught.value)
  config = tiny.config(cache, model__allow_other_preparation=True, **fields)
  train.Trainer(config, tmp_path / 'run')
  (line,) = [r for r in caplog.messages if 'prepared otherwise' in r]
  assert 'orient.mirror' in line


def test_files_of_others_are_not_rebuilt(tmp_path, finished):
  path = tmp_path / 'w.safetensors'
  path.write_bytes(pretrained.save({'params': {'a': np.ones(1, 'f4')}}, {}))
  with pytest.raises(errors.DataError, match='what network it is of'):
    weights.rebuild(path)


@pytest.mark.parametrize(
  'arguments, code, message',
  [
    (['--workdir=x'], 2, '--out=FILE'),
    (['--out=x'], 2, '--workdir=FOLDER'),
    (['--workdir=nowhere', '--out=x'], 2, 'no folder of a run'),
    (['--workdir=x', '--out=none/x'], 2, 'folder that exists'),
    (['--workdri=x'], 2, 'workdri'),
  ],
  ids=['no out', 'no workdir', 'no run', 'no folder', 'misspelt'],
)
def test_wrong_flags(tmp_path, monkeypatch, capsys, arguments, code, message):
  monkeypatch.chdir(tmp_path)
  assert command_line.main(['export', *arguments]) == code
  assert message in capsys.readouterr().err
  assert not list(pathlib.Path().iterdir())
