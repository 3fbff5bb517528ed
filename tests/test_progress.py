"""The progress line and when it is shown."""

import io

import pytest
import rich.console

from mammojax.training import progress

FULL = 'loss 0.123 · active 45 % · ε 0.25 · β 0.10 · 210 img/s · 3:12 left'
VALUES = {
  'loss': 0.1234,
  'active_fraction': 0.45,
  'margin': 0.25,
  'beta': 0.1,
  'images_per_second': 210.2,
  'eta': 192.0,
}


def test_line_shows_all_numbers_with_units():
  assert progress.line(**VALUES) == FULL


def test_line_leaves_out_what_is_not_given():
  assert progress.line(loss=1.0, eta=5.0) == 'loss 1.000 · 0:05 left'
  assert progress.line() == ''


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [(0.0, '0:00'), (59.6, '1:00'), (3725.0, '1:02:05'), (-1.0, '0:00'),
   (None, '?'), (float('nan'), '?'), (float('inf'), '?')],
)  # fmt: skip
def test_duration(seconds, text):
  assert progress.duration(seconds) == text


def test_plain_lines_come_every_30_seconds_and_at_the_end():
  now = [0.0]
  stream = io.StringIO()
  bar = progress.Progress(100, 10, stream=stream, clock=lambda: now[0])
  with bar:
    for step in range(11, 101):
      now[0] += 1.0
      bar.update(step, **VALUES)
  steps = [line.split(' · ')[0] for line in stream.getvalue().splitlines()]
  # At seconds 1, 31 and 61, then at the last step.
  assert steps == [f'step {s}/100' for s in (11, 41, 71, 100)]
  assert stream.getvalue().splitlines()[0] == f'step 11/100 · {FULL}'


def test_disabled_shows_nothing():
  stream = io.StringIO()
  with progress.Progress(10, enabled=False, stream=stream) as bar:
    bar.update(10, loss=1.0)
    bar.note('x')
  assert stream.getvalue() == ''


def test_terminal_gets_a_bar_and_notes_keep_their_brackets(monkeypatch):
  monkeypatch.setenv('COLUMNS', '140')
  stream = io.StringIO()
  console = rich.console.Console

  def on_terminal(**options):
    return console(force_terminal=True, **options)

  monkeypatch.setattr(progress.rich.console, 'Console', on_terminal)
  with progress.Progress(100, stream=stream) as bar:
    bar.update(50, **VALUES)
    bar.note('saved [red] step 50')
  assert FULL in stream.getvalue()
  assert '50/100' in stream.getvalue()
  assert 'saved [red] step 50' in stream.getvalue()
