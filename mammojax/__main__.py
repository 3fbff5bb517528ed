"""The command line: `python -m mammojax <command>`.

    python -m mammojax train --config=configs/adatriplet.py --workdir=runs/ada
    python -m mammojax report --workdir=runs/ada
    python -m mammojax figures loss-surface --out=figures

Exit codes: 0 done, 2 usage, 3 bad data, 4 integrity or leak, 5 disk or
memory, 6 numbers, 75 stopped by a signal with the state saved, 130 at once.
"""

from collections.abc import Sequence
import importlib
import logging
import sys

from mammojax import commands, errors

# What a shell expects of SIGINT.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
  """Runs a command.

  Args:
    arguments: without the program's name; None: those of this process.

  Returns:
    The exit code.
  """
  arguments = list(sys.argv[1:] if arguments is None else arguments)
  logging.basicConfig(level=logging.INFO, format='%(message)s')
  for noisy in ('absl', 'jax', 'orbax', 'matplotlib', 'grain', 'tensorboardX'):
    logging.getLogger(noisy).setLevel(logging.WARNING)
  if not arguments or arguments[0] in ('-h', '--help', 'help'):
    print(__doc__)
    for name, what in commands.REGISTRY.items():
      print(f'  {name:10} {what}')
    return 0 if arguments else 2
  try:
    if arguments[0] not in commands.REGISTRY:
      raise errors.unknown('command', arguments[0], commands.REGISTRY)
    name = arguments[0].replace('-', '_')
    module = importlib.import_module(f'mammojax.commands.{name}')
    module.run(arguments[1:])
  except errors.MammojaxError as error:
    print(f'Error: {error}', file=sys.stderr)
    return error.exit_code
  except KeyboardInterrupt:
    print('Interrupted: stopped at once.', file=sys.stderr)
    return _INTERRUPTED
  return 0


if __name__ == '__main__':
  sys.exit(main())
