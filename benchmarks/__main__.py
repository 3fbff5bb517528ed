"""`python -m benchmarks`: measures and writes docs/benchmarks.md."""

import os
import pathlib

import jax

from benchmarks import core, step


def main() -> None:
  """Measures everything, and writes and prints the page."""
  lines = [
    '# Benchmarks',
    '',
    f'`make bench` on {jax.devices()[0].device_kind}, '
    f'{len(os.sched_getaffinity(0))} cores, jax {jax.__version__}; medians, '
    'sides interleaved.',
    '',
    *core.sections(),
    *step.sections(),
  ]
  page = pathlib.Path(__file__).parents[1] / 'docs' / 'benchmarks.md'
  page.write_text('\n'.join(lines))
  print(page.read_text())


if __name__ == '__main__':
  main()
