"""`classify` and `predict` as commands, and the folder between them."""

import json
import stat
import types

import jax
import numpy as np
import pandas as pd
import pytest
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import classifiers, classify, probes, single_images
from mammojax.commands import classify as command
from mammojax.training import networks, preparation, train, transfer


@pytest.fixture(scope='module')
def folder(tmp_path_factory, cache):
  """A classifier of lesions on a tiny run, by the command line."""
  base = tmp_path_factory.mktemp('classify')
  config = tiny.config(
    cache,
    data__phantom__lesion_rate=1.0,
    data__phantom__train_women=16,
    data__phantom__validation_women=8,
    data__phantom__test_women=8,
  )
  train.run(config, base / 'run')
  out = base / 'out'
  code = cli.main(
    [
      'classify',
      f'--workdir={base / "run"}',
      '--positive=malignant_mass,malignant_calcification',
      f'--out={out}',
      '--epochs=5',
      '--draws=50',
      '--views=turned',
    ]
  )
  assert code == 0
  return out


@pytest.mark.slow
def test_the_command_writes_private_files(folder):
  results = json.loads((folder / 'classification.json').read_text())
  for split in ('validation', 'test'):
    cells, matrix = results[split]['metrics'], results[split]['confusion']
    counts = results['images'][split]
    assert cells['accuracy']['n_used'] == sum(matrix.values())
    assert (
      counts['positive'] == matrix['false_negative'] + matrix['true_positive']
    )
  names = {path.stem for path in (folder / 'figures').glob('*.png')}
  assert names == {
    'roc', 'precision_recall', 'calibration', 'confusion', 'tsne', 'training',
  }  # fmt: skip
  for path in [folder, *folder.rglob('*')]:
    mode = stat.S_IMODE(path.stat().st_mode)
    assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.slow
def test_single_images_are_answered_or_refused(folder, tmp_path, rng, capsys):
  picture = rng.integers(0, 255, (40, 40))
  good = tmp_path / 'good one.pgm'
  good.write_bytes(b'P5 40 40 255\n' + picture.astype(np.uint8).tobytes())
  command = ['predict', f'--model={folder}', '--laterality=R']
  assert cli.main([*command, str(good)]) == 0
  said = capsys.readouterr().out.splitlines()[-1]
  probability, word = said.split()[:2]
  record = json.loads((folder / 'head.json').read_text())
  assert record['views'] == 'turned'
  assert 0.0 <= float(probability) <= 1.0 and 'good one.pgm' in said
  assert (float(probability) >= record['threshold']) == (word == 'positive')
  broken = tmp_path / 'broken.png'
  broken.write_bytes(b'<html>')
  missing = tmp_path / 'missing.png'
  capsys.readouterr()
  assert cli.main([*command, str(good), str(broken), str(missing)]) == 3
  said = capsys.readouterr()
  assert 'broken.png' in said.err and 'missing.png' in said.err
  assert 'good' not in said.err and not said.out


@pytest.mark.slow
def test_parts_that_do_not_belong_together_are_refused(folder, capsys):
  for name, change in (
    ('head.safetensors', lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    ('network.safetensors', lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    (
      'head.json',
      lambda data: data.replace(b'"mirror": "R"', b'"mirror": "L"'),
    ),
  ):
    before = (folder / name).read_bytes()
    assert change(before) != before
    (folder / name).write_bytes(change(before))
    assert cli.main(['predict', f'--model={folder}', 'a.png']) == 4
    assert 'again' in capsys.readouterr().err
    (folder / name).write_bytes(before)
  assert cli.main(['predict', f'--model={folder.parent}', 'a.png']) == 2
  assert 'holds no classifier' in capsys.readouterr().err


def test_what_a_run_held_out_takes_no_part():
  frame = pd.DataFrame(
    [
      ('a', 'mel', 'train'),
      ('a', 'bcc', 'held_out'),
      ('b', 'nv', 'train'),
      ('c', 'bcc', 'test'),
    ],
    columns=['subject', 'diagnosis', 'split'],
  )
  values = types.SimpleNamespace(unlabelled='leave_out', balanced=False, seed=0)
  rows, counts = command._rows(values, frame, ['mel'])
  assert rows.tolist() == [0, 2, 3]
  assert counts['train']['positive'] == counts['train']['negative'] == 1


def test_balanced_thins_the_larger_class_of_validation_and_test():
  splits = np.repeat(['train', 'validation', 'test'], [6, 7, 8])
  names = np.where(np.arange(21) % 3 == 0, 'mel', 'nv')
  frame = pd.DataFrame(
    {'subject': np.arange(21).astype(str), 'diagnosis': names, 'split': splits}
  )
  values = types.SimpleNamespace(unlabelled='leave_out', balanced=True, seed=0)
  rows, counts = command._rows(values, frame, ['mel'])
  # Of 6, 7 and 8 images 2, 3 and 2 are positive.
  for split, positive, negative, thinned in (
    ('train', 2, 4, 0),
    ('validation', 3, 3, 1),
    ('test', 2, 2, 4),
  ):
    here = rows[splits[rows] == split]
    assert (names[here] == 'mel').sum() == positive
    assert (names[here] == 'nv').sum() == negative
    assert counts[split]['thinned_out'] == thinned


def test_a_network_without_running_statistics_is_written_with_its_head(
  tmp_path, cache, monkeypatch, rng
):
  config = tiny.config(cache, model__name='patch_net', data__image_size=46)
  config.model.width = 2
  run, out = tmp_path / 'run', tmp_path / 'out'
  for folder in (run, out):
    folder.mkdir()
  (run / 'config.json').write_text(json.dumps(config.to_dict()))
  model = networks.model(config, mean=(0.5,), std=(0.25,), axis_name=None)
  images = rng.uniform(size=(3, 46, 46, 1)).astype(np.float32)
  variables = model.init(jax.random.key(0), images, train=False)
  assert 'batch_stats' not in variables
  monkeypatch.setattr(
    transfer, 'best', lambda *_: ({**variables, 'batch_stats': {}}, 3)
  )
  scaling = {'mean': [0.5], 'std': [0.25], 'order': []}
  (run / preparation.FILE).write_text(json.dumps({'input': scaling}))
  (out / 'network.safetensors').write_bytes(b'of another run')
  network, _ = classifiers.take_network(run, out)
  # What lies there is replaced only when its head is there, too.
  (kept,) = out.iterdir()
  assert kept.read_bytes() == b'of another run'
  found = classify.Result(probes.OWN, 1.0, 0.5, np.zeros(0), {})
  classifiers.save(out, network, found, ['mel'])
  again = classifiers.load(out).network
  np.testing.assert_array_equal(
    again.model.apply(again.variables, images, train=False),
    model.apply(variables, images, train=False),
  )


def test_a_run_that_judges_pairs_is_refused(tmp_path, cache, capsys):
  config = tiny.config(cache, model__head='siamese')
  (tmp_path / 'config.json').write_text(json.dumps(config.to_dict()))
  for head in ('mlp', 'own'):
    arguments = [f'--workdir={tmp_path}', '--positive=mel', f'--head={head}']
    out = f'--out={tmp_path / "out"}'
    assert cli.main(['classify', *arguments, out]) == 2
    assert 'judges pairs of images' in capsys.readouterr().err


def test_the_folder_of_a_run_is_no_place_for_a_classifier(tmp_path, capsys):
  (tmp_path / 'config.json').write_text('{}')
  arguments = [f'--workdir={tmp_path}', '--positive=mel', f'--out={tmp_path}']
  assert cli.main(['classify', *arguments]) == 2
  assert 'is the folder of a run' in capsys.readouterr().err


def test_a_side_that_a_model_goes_by_must_be_said():
  recipe = types.SimpleNamespace(names=('orient', 'fit'))
  model = types.SimpleNamespace(network=types.SimpleNamespace(recipe=recipe))
  with pytest.raises(errors.UsageError, match='give --laterality'):
    single_images.probabilities(model, ['a.png'])


@pytest.mark.parametrize(
  ('flags', 'words'),
  [
    ([], '--workdir='),
    (['--workdir=x'], '--out='),
    (['--workdir=x', '--out=y'], '--positive='),
    (
      ['--workdir=x', '--out=y', '--positive=a', '--sensitivity=0.9'],
      'together',
    ),
    (['--workdir=x', '--out=y', '--positiv=a'], 'positiv'),
    (['--workdir=x', '--out=y', '--positive=a', '--head=svm'], 'svm'),
    (
      ['--workdir=x', '--out=y', '--positive=a', '--columns.subject=b'],
      '--columns.subject says how --table is read',
    ),
    (
      ['--workdir=x', '--out=y', '--positive=a', '--head=knn', '--epochs=9'],
      '--epochs is of --head=mlp',
    ),
  ],
  ids=[
    'workdir',
    'out',
    'positive',
    'sensitivity',
    'misspelt',
    'head',
    'columns',
    'epochs',
  ],
)
def test_flags_that_do_not_fit_are_refused(flags, words, capsys):
  assert cli.main(['classify', *flags]) == 2
  assert words in capsys.readouterr().err
