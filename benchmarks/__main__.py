"""`python -m benchmarks [NAME ...]`: measures, and prints tables.

Without a name everything is measured and docs/benchmarks.md is written.
"""

import os
import pathlib
import sys

import jax

from benchmarks import core, gpu, input, networks, step
from mammojax import errors

SECTIONS = {
  'losses': core.sections,
  'step': step.sections,
  'input': input.sections,
  'networks': networks.sections,
  'gpu': gpu.sections,
}


def main(names: list[str]) -> None:
  """Measures the sections of the names, or all of them for the page.

  Raises:
    UsageError: an unknown name.
  """
  for name in names:
    if name not in SECTIONS:
      raise errors.unknown('benchmark', name, SECTIONS)
  lines = [
    '# Benchmarks',
    '',
    f'`make bench` on {jax.devices()[0].device_kind}, '
    f'{len(os.sched_getaffinity(0))} cores, jax {jax.__version__}; medians, '
    'sides interleaved.',
    '',
  ]
  for name in names or SECTIONS:
    lines += SECTIONS[name]()
  if not names:
    page = pathlib.Path(__file__).parents[1] / 'docs' / 'benchmarks.md'
    page.write_text('\n'.join(lines))
  print('\n'.join(lines))


if __name__ == '__main__':
  try:
    main(sys.argv[1:])
  except errors.MammojaxError as error:
    sys.exit(str(error))
