"""Runs that decide: what chooses, what is measured, what is refused."""

import json

import numpy as np
import patches
import pytest
from sklearn import metrics as sk_metrics
import tiny

from mammojax import errors
from mammojax.data import pairing
from mammojax.report import decisions as shown
from mammojax.report import html, reading
from mammojax.training import (
  classifying,
  evaluate,
  folds,
  inputs,
  train,
  transfer,
)


def config(cache, tmp_path, task='benign_malignant', head='classifier', **more):
  name = 'calcification' if task != 'benign_malignant' else 'malignant'
  base = tiny.config(cache)
  path = patches.table(tmp_path / 'arrays', task)
  found = patches.use(base, path, (name,), head)
  for field, value in more.items():
    *above, last = field.split('__')
    node = found
    for part in above:
      node = node[part]
    node[last] = value
  return found


@pytest.fixture(scope='module')
def finished(tmp_path_factory, cache):
  """(config, folder, metrics) of a run long enough to learn."""
  folder = tmp_path_factory.mktemp('finished')
  one = config(cache, folder, train__steps=40, train__eval_every=10)
  one.model.width = 4
  one.optim.learning_rate = 0.01
  return one, folder / 'run', train.run(one, folder / 'run')


def test_a_run_is_judged_by_its_decisions(finished):
  _, folder, found = finished
  written = json.loads((folder / 'metrics.json').read_text())
  assert written['test'] == found['test']
  assert written['kind'] == 'classification' and written['start'] == 'scratch'
  details = evaluate.load_details(folder / 'evaluation.npz')
  logit, truth = details['test_logit'], details['test_positive']
  assert len(logit) == 8 and truth.sum() == 4
  probability = 1.0 / (1.0 + np.exp(-logit))
  called = probability >= 0.5
  cells = written['test']['all']
  want = {
    'accuracy': np.mean(called == truth),
    'f2': sk_metrics.fbeta_score(truth, called, beta=2),
    'auc': sk_metrics.roc_auc_score(truth, probability),
    'log_loss': sk_metrics.log_loss(truth, probability),
  }
  for name, value in want.items():
    assert cells[name]['value'] == pytest.approx(value, rel=1e-6), name
    assert cells[name]['low'] <= cells[name]['high']
  # Bright patches are easily told from dark ones.
  assert want['auc'] > 0.9
  assert sum(written['confusion']['test'].values()) == 8
  assert written['baselines']['most_common']['all']['accuracy']['value'] == 0.5
  assert written['counts'] == {
    'images': 8, 'positive': 4, 'subjects': 8, 'without_diagnosis': 0,
  }  # fmt: skip


def test_the_page_of_a_run_shows_its_decisions(finished):
  _, folder, _ = finished
  page = html.write(folder).read_text()
  assert 'Test accuracy' in page and 'Confusion matrix' in page
  for name in ('confusion', 'roc', 'losses', 'scores'):
    assert (folder / 'figures' / f'{name}.png').stat().st_size > 1000
  assert shown.results(reading.metrics(folder)).row_count == 10


def test_validation_chooses_the_checkpoint(finished):
  _, folder, found = finished
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  rows = [r for r in map(json.loads, lines) if r['split'] == 'validation']
  assert [row['step'] for row in rows] == [10, 20, 30, 40]
  best = max(rows, key=lambda row: (row['auc'], row['step']))
  assert found['best_step'] == best['step']
  assert transfer.best(folder, 'x')[1] == best['step']


@pytest.mark.parametrize('by', classifying.CHOOSE_BY)
def test_the_better_validation_is_chosen(finished, rng, by):
  one, _, _ = finished
  one = one.copy_and_resolve_references()
  one.eval.choose_by = by
  judge = classifying.Classifying(one, inputs.image_set(one))
  truth = None

  def answers(sure):
    def embed(rows):
      nonlocal truth
      frame = inputs.image_set(one).frame.iloc[rows]
      truth = frame['target'].to_numpy() == 'positive'
      return sure * np.where(truth, 1.0, -1.0)[:, None] + noise[: len(rows)]

    return embed

  noise = rng.normal(size=(99, 1))
  weak, strong = judge.validate(answers(0.1)), judge.validate(answers(3.0))
  assert strong['choice'] > weak['choice']
  logit = 3.0 * np.where(truth, 1.0, -1.0) + noise[: len(truth), 0]
  called = logit >= 0
  assert strong['accuracy'] == pytest.approx(np.mean(called == truth))
  loss = sk_metrics.log_loss(truth, 1 / (1 + np.exp(-logit)))
  assert strong['log_loss'] == pytest.approx(loss)
  assert judge.warning(strong) is None
  same = judge.validate(lambda rows: np.zeros((len(rows), 1)))
  assert 'hardly depend on the image' in judge.warning(same)


def test_the_test_split_changes_nothing_that_is_chosen(tmp_path, cache):
  first = config(cache, tmp_path / 'a', eval__threshold='youden')
  second = config(cache, tmp_path / 'b', eval__threshold='youden')
  labels = np.load(tmp_path / 'b/arrays/public_test_labels.npy')
  rng = np.random.default_rng(1)
  images = np.load(tmp_path / 'b/arrays/public_test_tensor.npy')
  np.save(
    tmp_path / 'b/arrays/public_test_tensor.npy',
    rng.integers(0, 65535, images.shape).astype(np.uint16),
  )
  assert (labels[1::2] > 0).all()
  found = [
    train.run(one, tmp_path / name / 'run')
    for one, name in ((first, 'a'), (second, 'b'))
  ]
  assert found[0]['test'] != found[1]['test']
  for name in ('threshold', 'best_step', 'validation'):
    assert found[0][name] == found[1][name]
  assert found[0]['threshold']['chosen_on'] == 'validation'


def test_pairs_are_one_image_of_twice_the_channels(tmp_path, cache):
  one = config(cache, tmp_path, 'pairs', 'siamese')
  images = inputs.image_set(one)
  assert images.channels == 2 and len(images.frame) == 32
  patch = np.load(tmp_path / 'arrays' / 'train_tensor.npy') / 65535
  row = images.frame['item'].tolist().index('train_tensor.npy#7')
  both = images.images(np.array([row]))[0]
  np.testing.assert_allclose(both[..., 0], patch[6], atol=1e-4)
  np.testing.assert_allclose(both[..., 1], patch[7], atol=1e-4)
  found = train.run(one, tmp_path / 'run')
  assert found['counts']['images'] == 8
  trainer = train.Trainer(one, tmp_path / 'run')
  assert trainer.preparation['input']['mean'] == pytest.approx(
    [patch[: len(patch)].mean()], abs=0.1
  )
  assert len(trainer.preparation['input']['mean']) == 1


def test_folds_are_pooled_by_image(tmp_path, cache):
  one = config(cache, tmp_path, data__num_folds=2, data__split_rule='hash')
  one.train.steps = 2
  one.data.keep_test = False
  found = folds.run(one, tmp_path / 'run')
  parts = [
    evaluate.load_details(tmp_path / 'run' / f'fold_{n}' / 'evaluation.npz')
    for n in range(2)
  ]
  whole = evaluate.load_details(tmp_path / 'run' / 'evaluation.npz')
  np.testing.assert_array_equal(
    whole['test_logit'], np.concatenate([p['test_logit'] for p in parts])
  )
  assert len(set(whole['test_item'])) == len(whole['test_item']) == 32
  want = sk_metrics.roc_auc_score(whole['test_positive'], whole['test_logit'])
  assert found['test']['all']['auc']['value'] == pytest.approx(want)
  assert found['counts']['images'] == 32 and len(found['folds']) == 2
  assert 'Test accuracy' in html.write(tmp_path / 'run').read_text()


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'data__positive': ()}, 'data.positive'),
    ({'data__positive': ('malign',)}, "mean 'malignant'"),
    ({'eval__choose_by': 'acc'}, 'eval.choose_by'),
    ({'eval__threshold': 'yuden'}, "mean 'youden'"),
    ({'model__embedding_dim': 2}, 'model.embedding_dim=1'),
    ({'loss__name': 'cross_entropy'}, "loss.name='logistic'"),
    ({'model__head': 'embedding'}, 'model.head'),
    ({'sampler__label': 'diagnosis'}, "sampler.label='target'"),
  ],
)
def test_what_does_not_fit_is_refused(tmp_path, cache, fields, message):
  one = config(cache, tmp_path, **fields)
  with pytest.raises(errors.UsageError, match=message):
    train.Trainer(one, tmp_path / 'run')


def test_training_images_of_one_class_are_refused(tmp_path, cache):
  one = config(cache, tmp_path)
  one.data.positive = ('benign', 'malignant')
  with pytest.raises(errors.DataError, match='all of one class'):
    train.Trainer(one, tmp_path / 'run')


def test_without_validation_nothing_chooses_a_threshold(tmp_path, cache):
  one = config(cache, tmp_path, data__split_fractions=(1.0, 0.0, 0.0))
  assert not train.Trainer(one, tmp_path / 'run').evaluation.can_validate
  one.eval.threshold = 'f2'
  with pytest.raises(errors.UsageError, match=r'set it to half'):
    train.Trainer(one, tmp_path / 'other')


class _Set:
  def __init__(self, frame):
    self.frame, self.image_size, self.channels = frame, 4, 1


@pytest.mark.parametrize(
  'column, value, message',
  [
    ('subject', 'other', 'odd number of images'),
    ('split', 'test', 'differ in split'),
    ('diagnosis', 'mass', 'differ in diagnosis'),
  ],
)
def test_images_that_make_no_pair_are_refused(
  tmp_path, cache, column, value, message
):
  frame = inputs.image_set(config(cache, tmp_path)).frame.copy()
  frame['subject'] = [f's{n // 2}' for n in range(len(frame))]
  frame['split'], frame['diagnosis'] = 'train', 'benign'
  pairing.Pairs(_Set(frame))
  frame.loc[3, column] = value
  with pytest.raises(errors.DataError, match=message):
    pairing.Pairs(_Set(frame))
