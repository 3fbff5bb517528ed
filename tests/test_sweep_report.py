"""Tables and figure of a sweep, against arithmetic on made-up runs."""

import csv
import json

import cv2
import made_up_sweep
import numpy as np
import pytest

from mammojax.report import sweep_scores, sweeps

# Test and validation mAP of three seeds. The second setting of AutoMargin is
# the best in validation, the last one in the test.
VALUES = {
  'k_gap=2.0, k_an=2.0': ([0.70, 0.72, 0.71], 0.60),
  'k_gap=2.0, k_an=4.0': ([0.74, 0.77, 0.72], 0.90),
  'k_gap=4.0, k_an=2.0': ([0.60, 0.61, 0.62], 0.50),
  'k_gap=4.0, k_an=4.0': ([0.88, 0.89, 0.87], 0.80),
  '': ([0.50, 0.56, 0.53], 0.5),
}


def collected(folder, lost=()):
  path = made_up_sweep.write(folder)
  plan, runs = made_up_sweep.runs(path)
  given = []
  for run in runs:
    values, validation = VALUES[run.setting]
    name = str(run.folder)
    is_lost = name in lost
    if not is_lost:
      made_up_sweep.finish(
        folder / run.folder, run.config, values[run.seed], validation
      )
    given.append(
      {
        'row': run.row,
        'setting': run.setting,
        'seed': run.seed,
        'folder': name,
        'state': 'failed' if is_lost else 'finished',
        'exit_code': 6 if is_lost else None,
        'last_lines': ('loss <b>nan</b>',) if is_lost else (),
      }
    )
  rows = {r.name: {s.name: s.overrides for s in r.settings} for r in plan.rows}
  return {
    'title': plan.title,
    'command': 'python -m mammojax sweep',
    'published': plan.published,
    'published_name': plan.published_name,
    **sweep_scores.collect(folder, rows, given),
  }


def by_hand(values):
  x = np.array(values, np.float64)
  variance = ((x - x.sum() / len(x)) ** 2).sum() / (len(x) - 1)
  return x.sum() / len(x), np.sqrt(variance / len(x))


def test_means_and_standard_errors_are_over_seeds(tmp_path):
  record = collected(tmp_path)
  cell = record['rows'][1]['settings'][0]['scores']['all']['map']
  mean, error = by_hand(VALUES[''][0])
  assert cell['mean'] == pytest.approx(mean)
  assert cell['standard_error'] == pytest.approx(error)
  assert cell['runs'] == 3
  assert sweep_scores.mean_and_error([0.5])['standard_error'] is None


def test_the_setting_is_chosen_by_validation_not_by_test(tmp_path):
  row = collected(tmp_path)['rows'][0]
  assert row['scans'] == 4
  assert row['settings'][row['chosen']]['name'] == 'k_gap=2.0, k_an=4.0'
  assert '90.0' in row['note']


def test_files_hold_what_was_computed(tmp_path):
  record = collected(tmp_path)
  paths = {path.name: path for path in sweeps.write(tmp_path, record)}
  assert json.loads(paths['sweep.json'].read_text())['title'] == 'Made up'
  mean, error = (100 * x for x in by_hand(VALUES['k_gap=2.0, k_an=4.0'][0]))
  page = paths['sweep.md'].read_text()
  assert (f'| Ada | 4 | 12 | {mean:.1f} ± {error:.1f} | (96.9 ± 0.1) |') in page
  assert 'Not finished' not in page
  assert '(figures/years.png)' in page
  lines = paths['sweep.csv'].read_text('utf-8').splitlines()
  rows = list(csv.DictReader(lines))
  (ours,) = (
    r
    for r in rows
    if (r['row'], r['chosen'], r['group'], r['metric'])
    == ('Ada', 'True', 'all', 'map')
  )
  assert float(ours['mean']) == pytest.approx(mean)
  assert float(ours['standard_error']) == pytest.approx(error)
  assert (ours['scans'], ours['published']) == ('4', '96.9')
  # Every setting is there, with seven groups of three metrics, and one more.
  assert len(rows) == 5 * (7 * 3 + 1)
  assert paths['years.svg'].stat().st_mode & 0o777 == 0o600
  picture = cv2.imread(str(paths['years.png']))
  assert picture.std() > 5


def test_the_cmc_of_others_is_shown_beside_theirs_alone(tmp_path):
  record = collected(tmp_path)
  heading = '## CMC@1, every match counted'
  assert heading not in sweeps.markdown(record)
  record['published'] = {'Ada': {'all': {'cmc_all_shots@1': (95.6, 0.2)}}}
  page = sweeps.markdown(record)
  ours, error = by_hand([value / 2 for value in (0.74, 0.77, 0.72)])
  row = (
    f'| Ada | 4 | 12 | {100 * ours:.1f} ± {100 * error:.1f} | (95.6 ± 0.2) |'
  )
  assert row in page[page.index(heading) :]


def test_the_figure_has_a_line_a_row_with_standard_errors(tmp_path):
  record = collected(tmp_path)
  axes = sweeps.years(record).axes[0]
  assert len(axes.containers) == len(record['rows'])
  for row, drawn in zip(record['rows'], axes.containers, strict=True):
    scores = row['settings'][row['chosen']]['scores']
    groups = ('year_1', 'year_2', 'year_3', 'year_4', 'year_6', 'year_8')
    wanted = [100 * scores[group]['map']['mean'] for group in groups]
    x, y = np.array(drawn.lines[0].get_data(), np.float64)
    np.testing.assert_allclose(y, wanted)
    assert np.all(np.diff(x) > 0)
  labels = [label.get_text() for label in axes.get_xticklabels()]
  assert labels == ['1', '2', '3', '4', '6', '8']


def test_lost_runs_are_counted_and_quoted(tmp_path):
  lost = ('Triplet,_fixed/seed_1',)
  record = collected(tmp_path, lost)
  values = [VALUES[''][0][i] for i in (0, 2)]
  cell = record['rows'][1]['settings'][0]['scores']['all']['map']
  assert cell['mean'] == pytest.approx(by_hand(values)[0])
  page = sweeps.markdown(record)
  assert '| Triplet, fixed | 1 | **2 of 3** |' in page
  assert f'- {lost[0]}: failed, exit 6' in page
  # Indented lines are shown as they are.
  assert '\n      loss <b>nan</b>\n' in page


def test_a_damaged_run_becomes_a_failed_one(tmp_path):
  collected(tmp_path)
  path = tmp_path / 'Triplet,_fixed/seed_0/metrics.json'
  path.write_text('{')
  given = {
    'row': 'r', 'setting': '', 'seed': 0, 'folder': 'Triplet,_fixed/seed_0',
    'state': 'finished', 'exit_code': None, 'last_lines': (),
  }  # fmt: skip
  record = sweep_scores.collect(tmp_path, {'r': {'': {}}}, [given])
  assert record['runs'][0]['state'] == 'failed'
  assert 'metrics.json' in record['runs'][0]['last_lines'][0]
  assert record['rows'][0]['chosen'] is None


def test_without_validation_no_setting_is_chosen(tmp_path):
  collected(tmp_path)
  for path in tmp_path.rglob('metrics.jsonl'):
    path.unlink()
  plan, runs = made_up_sweep.runs(tmp_path / 'made_up.py', rows=['Ada'])
  given = [
    {'row': r.row, 'setting': r.setting, 'seed': r.seed}
    | {'folder': str(r.folder), 'state': 'finished'}
    for r in runs
  ]
  rows = {'Ada': {s.name: s.overrides for s in plan.rows[0].settings}}
  row = sweep_scores.collect(tmp_path, rows, given)['rows'][0]
  assert row['chosen'] is None
  assert 'no setting is chosen' in row['note']


def decided(folder, choice, **values):
  """Writes what a finished run of decisions leaves."""
  cells = {
    name: {'value': value, 'low': value, 'high': value}
    for name, value in values.items()
  }
  folder.mkdir(parents=True)
  metrics = {
    'kind': 'classification', 'test': {'all': cells}, 'best_step': 5,
    'choose_by': 'log_loss', 'warnings': [],
  }  # fmt: skip
  (folder / 'metrics.json').write_text(json.dumps(metrics))
  (folder / 'config.json').write_text('{}')
  line = {'step': 5, 'split': 'validation', 'choice': -choice}
  (folder / 'metrics.jsonl').write_text(json.dumps(line))


def test_decisions_stand_side_by_side_with_the_published_ones(tmp_path):
  losses = {'a': (0.61, 0.55), 'b': (0.4, 0.8)}
  given = []
  for setting, seeds in losses.items():
    for seed, loss in enumerate(seeds):
      name = f'{setting}/seed_{seed}'
      decided(
        tmp_path / name, loss, accuracy=0.6 + 0.1 * seed, log_loss=loss, auc=0.7
      )
      given.append(
        {'row': 'Row', 'setting': setting, 'seed': seed, 'folder': name}
        | {'state': 'finished'}
      )
  rows = {'Row': {'a': {}, 'b': {}}}
  record = {
    'title': 'Made up',
    'command': 'sweep',
    'published': {'Row': {'all': {'accuracy': (87, None), 'auc': (85, None)}}},
    'published_name': 'somebody',
    **sweep_scores.collect(tmp_path, rows, given),
  }
  # The mean loss of a is 0.58, that of b 0.60: less is better.
  row = record['rows'][0]
  assert row['settings'][row['chosen']]['name'] == 'a'
  assert 'validation Loss 0.580' in row['note']
  page = sweeps.markdown(record)
  mean, error = by_hand([60.0, 70.0])
  loss, spread = by_hand([0.61, 0.55])
  assert (
    f'| Row | 2 | 4 | {mean:.1f} ± {error:.1f} (87.0) |'
    f' {loss:.3f} ± {spread:.3f} (–) | – (–) | 70.0 ± 0.0 (85.0) |'
  ) in page
  assert '| Accuracy | Loss | F2 | AUC |' in page
  frame = sweep_scores.frame(record)
  chosen = frame[frame['chosen'] & (frame['metric'] == 'log_loss')]
  assert chosen['mean'].tolist() == [pytest.approx(loss)]
  assert (
    sweeps.summary(row)
    == f'Row: test Accuracy {mean:.1f} ± {error:.1f} (4 of 4 runs)'
  )
  assert sweeps.years(record) is None


def test_a_run_with_a_leak_stamps_the_sweep(tmp_path):
  record = collected(tmp_path)
  assert not record['leak']
  path = tmp_path / record['runs'][0]['folder'] / 'metrics.json'
  metrics = json.loads(path.read_text())
  path.write_text(json.dumps(metrics | {'warnings': ['LEAK: w1']}))
  record |= sweep_scores.collect(
    tmp_path,
    {r['name']: {'': {}} for r in record['rows'][:1]},
    record['runs'],
  )
  assert record['leak']
  sweeps.write(tmp_path, record)
  assert (tmp_path / 'sweep.md').read_text().startswith('# LEAK  ')
  for figure in (tmp_path / 'figures').glob('*.svg'):
    assert '<!-- LEAK -->' in figure.read_text()
