"""The average of several runs' decisions, against arithmetic."""

import json

import numpy as np
import patches
import pytest
from sklearn import metrics as sk_metrics
import tiny

from mammojax import __main__ as cli
from mammojax import errors
from mammojax.apps import ensemble
from mammojax.training import decisions, evaluate

TRUTH = np.array([True, False, True, True, False, False, True, False])


def finished(folder, cache, logits, order=None, positive=TRUTH, rule='half'):
  """Writes what a run of these validation and test logits leaves."""
  config = patches.use(tiny.config(cache), 'x.csv', ('malignant',))
  config.eval.threshold = rule
  order = np.arange(len(TRUTH)) if order is None else order
  names = np.array([f'image{n}' for n in range(len(TRUTH))])
  found = {
    split: {
      'logit': np.asarray(logit, np.float64)[order],
      'positive': positive[order],
      'subject': names[order],
      'item': names[order],
    }
    for split, logit in logits.items()
  }
  decisions.set_threshold(found, rule)
  folder.mkdir(parents=True)
  decisions.save(folder / 'evaluation.npz', found)
  metrics = decisions.summary(config, found) | {'warnings': [], 'steps': 4}
  (folder / 'metrics.json').write_text(json.dumps(metrics))
  (folder / 'config.json').write_text(json.dumps(config.to_dict()))
  return folder


def three(tmp_path, cache, rng, **options):
  logits = [
    {s: rng.normal(size=8) + TRUTH for s in ('validation', 'test')}
    for _ in range(3)
  ]
  orders = [None, rng.permutation(8), rng.permutation(8)]
  folders = [
    finished(tmp_path / f'run{n}', cache, logit, order, **options)
    for n, (logit, order) in enumerate(zip(logits, orders, strict=True))
  ]
  return folders, logits


def mean_probability(logits, split):
  return np.mean([1 / (1 + np.exp(-one[split])) for one in logits], axis=0)


def test_probabilities_are_averaged_image_by_image(tmp_path, cache, rng):
  folders, logits = three(tmp_path, cache, rng)
  (tmp_path / 'out').mkdir()
  found = ensemble.run(folders, tmp_path / 'out')
  want = mean_probability(logits, 'test')
  kept = evaluate.load_details(tmp_path / 'out' / 'evaluation.npz')
  got = 1 / (1 + np.exp(-kept['test_logit']))
  np.testing.assert_allclose(got, want, rtol=1e-9)
  cells = found['test']['all']
  called = want >= 0.5
  assert cells['accuracy']['value'] == pytest.approx(np.mean(called == TRUTH))
  assert cells['auc']['value'] == pytest.approx(
    sk_metrics.roc_auc_score(TRUTH, want)
  )
  assert cells['f2']['value'] == pytest.approx(
    sk_metrics.fbeta_score(TRUTH, called, beta=2)
  )
  assert cells['log_loss']['value'] == pytest.approx(
    sk_metrics.log_loss(TRUTH, want)
  )
  assert len(found['members']) == 3


def test_validation_chooses_the_threshold_of_the_average(tmp_path, cache, rng):
  folders, logits = three(tmp_path, cache, rng, rule='youden')
  (tmp_path / 'out').mkdir()
  found = ensemble.run(folders, tmp_path / 'out')
  values = mean_probability(logits, 'validation')
  false, true, cuts = sk_metrics.roc_curve(
    TRUTH, values, drop_intermediate=False
  )
  cut = found['threshold']['value']
  called = values >= cut
  got = called[TRUTH].mean() - called[~TRUTH].mean()
  assert got == pytest.approx(np.max(true - false))
  assert np.isfinite(cuts[1:]).all()


def test_the_command_writes_a_report_with_its_members(
  tmp_path, cache, rng, capsys
):
  folders, _ = three(tmp_path, cache, rng)
  out = tmp_path / 'both'
  code = cli.main(['ensemble', *map(str, folders), f'--out={out}'])
  assert code == 0
  page = (out / 'report.html').read_text()
  assert 'run1' in page and '3 runs, their probabilities averaged' in page
  assert (out / 'metrics.json').stat().st_mode & 0o777 == 0o600
  capsys.readouterr()
  assert cli.main(['ensemble', str(folders[0]), f'--out={out}']) == 2
  assert cli.main(['ensemble', *map(str, folders)]) == 2
  assert cli.main(['ensemble', *map(str, folders), f'--out={folders[0]}']) == 2
  assert 'is one of the runs' in capsys.readouterr().err


def test_every_run_counts_once_and_has_a_name_of_its_own(tmp_path, cache, rng):
  logits = {s: rng.normal(size=8) for s in ('validation', 'test')}
  folders = [
    finished(tmp_path / sweep / 'row' / 'seed_0', cache, logits)
    for sweep in ('a', 'b')
  ]
  found = ensemble.run(folders, tmp_path)
  assert list(found['members']) == ['a/row/seed_0', 'b/row/seed_0']
  again = folders[0] / '..' / 'seed_0'
  with pytest.raises(errors.UsageError, match='named twice'):
    ensemble.run([*folders, again], tmp_path)


def test_the_order_of_the_positive_names_does_not_matter(tmp_path, cache, rng):
  folders, _ = three(tmp_path, cache, rng)
  for folder, names in zip(folders, ('ab', 'ba', 'ab'), strict=True):
    path = folder / 'metrics.json'
    metrics = json.loads(path.read_text()) | {'positive': [*names]}
    path.write_text(json.dumps(metrics))
  assert len(ensemble.run(folders, tmp_path)['members']) == 3


def test_another_run_is_not_overwritten(tmp_path, cache, rng, capsys):
  folders, _ = three(tmp_path, cache, rng)
  before = (folders[2] / 'metrics.json').read_bytes()
  command = ['ensemble', *map(str, folders[:2]), f'--out={folders[2]}']
  assert cli.main(command) == 2
  assert 'is the folder of a run' in capsys.readouterr().err
  assert (folders[2] / 'metrics.json').read_bytes() == before


def test_runs_that_do_not_fit_are_refused(tmp_path, cache, rng):
  folders, logits = three(tmp_path, cache, rng)
  other = finished(
    tmp_path / 'other', cache, logits[0], positive=np.roll(TRUTH, 1)
  )
  with pytest.raises(errors.DataError, match='differ in the positive'):
    ensemble.run([folders[0], other], tmp_path)
  path = folders[1] / 'metrics.json'
  metrics = json.loads(path.read_text())
  path.write_text(json.dumps(metrics | {'positive': ['mass']}))
  with pytest.raises(errors.DataError, match=r"calls \['mass'\] positive"):
    ensemble.run(folders, tmp_path)
  path.write_text(json.dumps(metrics | {'kind': None}))
  with pytest.raises(errors.DataError, match='run that embeds'):
    ensemble.run(folders, tmp_path)
  path.unlink()
  with pytest.raises(errors.UsageError, match=r'no metrics\.json'):
    ensemble.run(folders, tmp_path)
