"""The panel of queries shows the run that counts, and shared queries."""

import made_up_run
import numpy as np
import pytest

from mammojax.report import panel


@pytest.fixture
def evaluation(rng):
  return made_up_run.evaluation(rng)


def record(rows, runs):
  """As sweep_scores.collect: row -> (settings, index of the chosen one)."""
  return {
    'rows': [
      {'name': name, 'chosen': chosen, 'settings': [{'name': s} for s in names]}
      for name, (names, chosen) in rows.items()
    ],
    'runs': [
      {'row': row, 'setting': setting, 'folder': folder, 'state': state}
      for row, setting, folder, state in runs
    ],
  }


def save(folder, evaluation):
  folder.mkdir(parents=True)
  np.savez(folder / 'evaluation.npz', **evaluation)


def test_first_finished_run_of_the_chosen_setting_counts(tmp_path, evaluation):
  for number, name in enumerate(('a0', 'b0', 'b1', 'b2')):
    marked = {**evaluation, 'example_truth_rank': np.full(4, number + 2)}
    save(tmp_path / name, marked)
  made = record(
    {'A': (['low', 'high'], 1), 'B': ([''], None)},
    [
      ('A', 'low', 'a0', 'finished'),
      ('A', 'high', 'b0', 'failed'),
      ('A', 'high', 'b1', 'finished'),
      ('A', 'high', 'b2', 'finished'),
      ('B', '', 'a0', 'finished'),
    ],
  )
  found = panel.collect(tmp_path, made)
  assert list(found) == ['A']
  # b1 was the third that was saved.
  assert found['A']['example_truth_rank'].tolist() == [4] * 4


def test_rows_are_aligned_by_query_and_marked_by_their_first_hit(evaluation):
  flipped = {
    name: value[::-1] if name.startswith('example') else value
    for name, value in evaluation.items()
  }
  flipped['example_correct'] = ~flipped['example_correct']
  flipped['example_query_name'] = flipped['example_query_name'].copy()
  flipped['example_query_name'][0] = 'another'
  figure = panel.draw({'One': evaluation, 'Two': flipped})
  names = evaluation['example_query_name']
  # The last query of the first row is the first of the other, renamed.
  assert len(figure.axes) == 3 * (len(names) - 1)
  for line in range(len(names) - 1):
    query, one, two = figure.axes[3 * line : 3 * line + 3]
    assert query.get_xlabel() == 'query'
    right = bool(evaluation['example_correct'][line, 0])
    assert one.get_xlabel().startswith('✓' if right else '✗')
    assert two.get_xlabel().startswith('✗' if right else '✓')
  assert [axes.get_title() for axes in figure.axes[1:3]] == ['One', 'Two']


def test_no_panel_without_a_shared_query(evaluation):
  other = {
    **evaluation,
    'example_query_name': np.char.add(evaluation['example_query_name'], '!'),
  }
  assert panel.draw({'One': evaluation}) is None
  assert panel.draw({'One': evaluation, 'Two': other}) is None


def test_a_row_of_other_queries_leaves_the_others_theirs(evaluation):
  other = {
    **evaluation,
    'example_query_name': np.char.add(evaluation['example_query_name'], '!'),
  }
  names = 'A row whose name is longer than a picture is wide', 'Two', 'Other'
  rows = dict(zip(names, (evaluation, evaluation, other), strict=True))
  figure = panel.draw(rows)
  lines = len(evaluation['example_query_name'])
  assert len(figure.axes) == 4 * lines
  titles = [axes.get_title() for axes in figure.axes[1:4]]
  assert [title.replace('\n', ' ') for title in titles] == list(names)
  assert max(map(len, titles[0].split('\n'))) <= 22
  for line in range(lines):
    _, one, two, empty = figure.axes[4 * line : 4 * line + 4]
    assert one.get_xlabel() == two.get_xlabel() != ''
    assert not empty.images
    assert [text.get_text() for text in empty.texts] == ['not asked']
  # One query that all were asked comes first; the others are shown, too.
  other['example_query_name'][2] = evaluation['example_query_name'][2]
  figure = panel.draw(rows)
  assert len(figure.axes) == 4 * lines
  assert figure.axes[3].images and not figure.axes[7].images
