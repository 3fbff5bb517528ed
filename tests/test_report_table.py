"""The terminal table and the wording of numbers."""

import io

import made_up_run
import pytest
from rich import console

from mammojax.report import table


def printed(metrics, width=80):
  """What a terminal without colour shows."""
  stream = io.StringIO()
  screen = console.Console(file=stream, width=width, color_system=None)
  screen.print(table.results(metrics))
  return stream.getvalue()


@pytest.mark.parametrize(
  'value, want',
  [
    (0.8432, '84.3'),
    (1.0, '100.0'),
    (0, '0.0'),
    (None, '–'),
    (float('nan'), '–'),
    ('0.5', '–'),
    (True, '–'),
  ],
)
def test_percent_has_one_decimal_or_a_dash(value, want):
  assert table.percent(value) == want


def test_groups_come_all_first_then_years_by_size():
  keys = ['year_12', 'other_eye', 'year_2', 'all', 'year_1']
  want = ['all', 'year_1', 'year_2', 'year_12', 'other_eye']
  assert table.groups(dict.fromkeys(keys)) == want
  labels = [table.group_label(key) for key in want]
  assert labels == ['All', '1 year', '2 years', '12 years', 'Other eye']


def test_verdict_names_interval_queries_and_both_baselines():
  assert table.verdict(made_up_run.metrics()) == (
    'Test mAP 84.3 % (95 % interval 81.5–87.1, n = 1,204 queries) '
    'against 23.1 % for raw pixels and 2.9 % by chance.'
  )


def test_verdict_without_baselines_or_interval_still_is_a_sentence():
  metrics = {'test': {'all': {'map': {'value': 0.5}}}}
  assert table.verdict(metrics) == 'Test mAP 50.0 %.'


def test_results_fit_80_columns_without_folding_or_colour():
  text = printed(made_up_run.metrics())
  lines = text.splitlines()
  assert '\x1b' not in text
  assert max(map(len, lines)) <= 80
  first = next(line for line in lines if line.startswith(' All'))
  assert '1,204 84.3 81.5-87.1 78.3 75.5-81.1' in first
  # Each group and baseline takes one line: nothing was folded.
  starts = [line.strip().split('  ')[0] for line in lines if '1,204' in line]
  assert [start.split()[0] for start in starts] == ['All', 'Raw', 'Masked']


def test_results_use_ascii_in_every_cell():
  body = printed(made_up_run.metrics()).replace('─', '-')
  body.encode('ascii')


def test_results_of_a_perfect_network_stay_on_one_line():
  metrics = made_up_run.metrics()
  perfect = made_up_run.cell(1.0, 0.0, 1204)
  metrics['test'] = {'all': dict.fromkeys(table.METRICS, perfect)}
  lines = printed(metrics).splitlines()
  assert any(line.count('100.0 100-100') == 4 for line in lines)


def test_results_without_masked_control_have_no_such_row():
  metrics = made_up_run.metrics()
  metrics['baselines']['masked'] = None
  text = printed(metrics)
  assert 'Raw pixels' in text
  assert ' Masked ' not in text


def test_results_show_markup_in_a_name_as_it_is():
  metrics = made_up_run.metrics()
  metrics['baselines']['[red]x[/red]'] = metrics['baselines']['pixel']
  assert '[red]x[/red]' in printed(metrics, width=100)


def test_results_stamp_a_leak():
  metrics = made_up_run.metrics() | {'warnings': ['LEAK: w1 is in two splits']}
  assert printed(metrics).lstrip().startswith('LEAK')
