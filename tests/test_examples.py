"""The examples run as they stand and reach what they promise."""

import pathlib
import runpy

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / 'examples'


def test_losses_in_twenty_lines_learns_held_out_digits(capsys):
  runpy.run_path(str(EXAMPLES / 'losses_in_twenty_lines.py'))
  lines = capsys.readouterr().out.splitlines()
  scores = {name: float(score) for name, score in map(str.split, lines)}
  # Chance is 0.1. Pixels and a random projection leave the noise in.
  assert scores['before'] < 0.45
  assert 0.55 < scores['pixels'] < 0.62
  assert scores['after'] > 0.66
