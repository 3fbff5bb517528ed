"""Figures: what they draw, and that the same data give the same file."""

import base64
import subprocess
import sys

import cv2
import made_up_run
import matplotlib
import numpy as np
import pytest

from mammojax import errors
from mammojax.report import examples, figures, reading, style


@pytest.fixture
def history(rng):
  found = {'train': [], 'validation': []}
  for record in made_up_run.records(rng):
    found[record['split']].append(record)
  return found


@pytest.fixture
def evaluation(rng):
  return made_up_run.evaluation(rng)


def drawn_lines(figure):
  return {line.get_label(): line for line in figure.axes[0].lines}


def test_series_leaves_out_what_is_not_finite():
  values = [1.5, float('nan'), None, float('inf'), 'x', 2.5]
  records = [{'step': s, 'loss': v} for s, v in enumerate(values)]
  steps, kept = reading.series({'train': records}, 'train', 'loss')
  np.testing.assert_array_equal(steps, [0, 5])
  np.testing.assert_array_equal(kept, [1.5, 2.5])


def test_loss_draws_every_record_and_a_mean_that_is_not_pulled_to_zero():
  records = [{'step': s, 'loss': 2.0} for s in range(100)]
  lines = drawn_lines(figures.loss({'train': records}))
  assert len(lines['logged'].get_xdata()) == 100
  np.testing.assert_allclose(lines['mean of 5 records'].get_ydata(), 2.0)


def test_fractions_are_drawn_as_percent(history):
  history['train'] = [{'step': 1, 'active_fraction': 0.25}]
  (line,) = figures.active_fraction(history).axes[0].lines
  np.testing.assert_array_equal(line.get_ydata(), [25.0])


def test_validation_marks_the_kept_step(history):
  lines = drawn_lines(figures.validation(history, 1000))
  assert set(lines) == {'mAP', 'CMC@1', 'kept checkpoint'}
  assert list(lines['kept checkpoint'].get_xdata()) == [1000, 1000]


def test_margins_without_beta_draw_the_margin_alone():
  records = [{'step': s, 'margin': 0.25, 'beta': None} for s in (1, 2)]
  assert set(drawn_lines(figures.margins({'train': records}))) == {'ε (margin)'}


@pytest.mark.parametrize(
  'distance, unit',
  [
    ('cosine', 'cosine similarity'),
    ('squared_euclidean', 'squared Euclidean distance'),
  ],
)
def test_margins_are_in_the_unit_of_the_loss(distance, unit):
  records = [{'step': s, 'margin': 0.25} for s in (1, 2)]
  figure = figures.margins({'train': records}, distance)
  assert figure.axes[0].get_ylabel() == f'Margin ({unit})'


@pytest.mark.parametrize(
  'draw',
  [figures.loss, figures.active_fraction, figures.validation, figures.margins],
)
def test_curves_without_records_are_none(draw):
  assert draw({}) is None
  assert draw({'train': [{'step': 3, 'split': 'train'}]}) is None


def test_years_stand_at_their_distance_with_asymmetric_bars():
  cells = {
    'year_1': {'map': {'value': 0.8, 'low': 0.7, 'high': 0.85, 'n_used': 12}},
    'year_6': {'map': {'value': 0.5, 'low': 0.45, 'high': 0.6, 'n_used': 9}},
  }
  metrics = {
    'test': {'all': {'map': {'value': 0.7}}, **cells},
    'baselines': {'chance': {'all': {'map': {'value': 0.02}}}},
  }
  figure = figures.years(metrics)
  axes = figure.axes[0]
  np.testing.assert_array_equal(axes.get_xticks(), [1, 6])
  assert [t.get_text() for t in axes.get_xticklabels()] == ['1\n12', '6\n9']
  lines = drawn_lines(figure)
  np.testing.assert_allclose(lines['Network'].get_ydata(), [80, 50])
  np.testing.assert_allclose(lines['Chance, all years'].get_ydata(), 2)
  bars = axes.collections[0].get_segments()
  np.testing.assert_allclose(bars[0][:, 1], [70, 85])
  np.testing.assert_allclose(bars[1][:, 1], [45, 60])


def test_years_without_years_are_none():
  assert figures.years({'test': {'all': {'map': {'value': 0.5}}}}) is None


def test_histograms_are_densities(evaluation):
  figure = figures.distances(evaluation)
  for patch in figure.axes[0].patches:
    data = patch.get_data()
    area = (data.values * np.diff(data.edges)).sum()
    assert area == pytest.approx(1.0)


def test_distances_without_pairs_of_one_kind_are_none(evaluation):
  evaluation['mated_counts'] = np.zeros_like(evaluation['mated_counts'])
  assert figures.distances(evaluation) is None
  assert figures.distances({}) is None


def test_equal_error_splits_a_bin_in_proportion():
  # At 1 half of the mated are missed and none accepted; at 2 none is missed
  # and all are accepted. At 1 + t: 0.5 (1 - t) = t, so t = 1/3.
  edges, mated, nonmated = np.arange(4.0), [5, 5, 0], [0, 8, 0]
  threshold, rate = figures.equal_error(
    edges, np.array(mated), np.array(nonmated)
  )
  assert threshold == pytest.approx(4 / 3)
  assert rate == pytest.approx(1 / 3)


def test_equal_error_of_separate_kinds_is_zero_in_the_middle():
  edges = np.arange(6.0)
  mated, nonmated = np.array([4, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 9])
  assert figures.equal_error(edges, mated, nonmated) == (2.5, 0.0)


def test_examples_frame_right_and_wrong_differently(evaluation):
  figure = examples.draw(evaluation)
  right = evaluation['example_correct']
  grid = np.array(figure.axes).reshape(len(right), 6)
  for row, place in np.ndindex(*right.shape):
    axes = grid[row, place + 1]
    mark, dashed = axes.get_xlabel()[0], axes.spines['top'].get_linestyle()
    if right[row, place]:
      assert (mark, dashed) == ('✓', '-')
    else:
      assert mark == '✗' and dashed != '-'
  assert grid[0, 0].get_xlabel() == 'query, truth at rank 1'


def test_examples_draw_names_that_no_font_and_no_formula_can_hold(evaluation):
  names = np.array(['$\\frac', '象\x1b[31m', 'a' * 50, '日$^$'])
  evaluation['example_query_name'] = names
  figure = examples.draw(evaluation)
  assert style.svg_bytes(figure).startswith(b'<?xml')
  titles = [axes.get_title() for axes in figure.axes[::6]]
  assert titles[:2] == ['$\\frac', '??[31m']
  assert len(titles[2]) < 30


def test_examples_of_a_small_gallery_leave_places_empty(evaluation):
  evaluation['example_distance'][0, 2:] = np.inf
  assert [len(row['hits']) for row in examples.rows(evaluation)] == [2, 5, 5, 5]
  shown = [axes.axison for axes in examples.draw(evaluation).axes[:6]]
  assert shown == [True, True, True, False, False, False]


def test_examples_of_a_colour_image_keep_red_red():
  red = np.zeros((2, 2, 3), np.uint8)
  red[..., 0] = 255
  data = base64.b64decode(examples.data_uri(red).partition(',')[2])
  blue_first = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
  np.testing.assert_array_equal(blue_first[0, 0], [0, 0, 255])


def test_same_data_give_the_same_bytes(evaluation):
  one, two = (figures.distances(evaluation) for _ in range(2))
  svg = style.svg_bytes(one)
  assert svg == style.svg_bytes(two)
  assert style.png_bytes(one) == style.png_bytes(two)
  assert b'<dc:date>' not in svg and b'Matplotlib' not in svg


def test_drawing_leaves_the_callers_settings_alone(history):
  before = dict(matplotlib.rcParams)
  figures.loss(history)
  assert dict(matplotlib.rcParams) == before


def test_inline_svg_has_ids_of_its_own_and_colours_of_the_page(evaluation):
  svg = style.svg_bytes(figures.distances(evaluation))
  text = style.inline_svg(svg, 'here')
  assert text.startswith('<svg') and text.endswith('</svg>')
  assert 'id="here-' in text and 'var(--blue)' in text
  for part in ('id="', 'href="#', 'url(#'):
    assert text.count(part) == text.count(part + 'here-') > 0
  assert style.BLUE not in text and '<!--' not in text


def test_save_writes_both_kinds_for_the_owner_only(tmp_path, evaluation):
  figure = figures.distances(evaluation)
  folder = tmp_path / 'a $b ü' / 'figures'
  paths = style.save(figure, folder, 'distances')
  for kind in ('svg', 'png'):
    assert paths[kind].name == f'distances.{kind}'
    assert paths[kind].stat().st_mode & 0o777 == 0o600
  assert folder.stat().st_mode & 0o777 == 0o700


def test_write_that_fails_keeps_the_old_file_and_no_rest(tmp_path, monkeypatch):
  path = tmp_path / 'report.html'
  style.write_atomic(path, b'old')

  def full(*_):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(style.os, 'replace', full)
  with pytest.raises(errors.ResourceError, match=r'No space.*12,345 bytes'):
    style.write_atomic(path, b'x' * 12345)
  assert path.read_bytes() == b'old'
  assert [p.name for p in tmp_path.iterdir()] == ['report.html']


def test_report_needs_neither_jax_nor_pyplot():
  code = (
    'import sys\n'
    'from mammojax.report import html, table\n'
    'bad = {"jax", "flax", "matplotlib.pyplot", "mammojax.training"}\n'
    'sys.exit(" ".join(bad & set(sys.modules)) or 0)'
  )
  subprocess.run([sys.executable, '-c', code], check=True, timeout=60)
