"""`python -m benchmarks`: measures and writes docs/benchmarks.md."""

import pathlib

from benchmarks import step

if __name__ == '__main__':
  page = step.write(pathlib.Path(__file__).parents[1] / 'docs')
  print(page.read_text())
