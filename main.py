"""Trains and evaluates what a config says.

    python main.py --config=configs/adatriplet.py --workdir=runs/ada
    python main.py --config=configs/adatriplet.py --config.train.steps=500

The same command on the same workdir goes on where it stopped.
"""

import sys

from mammojax import __main__ as command_line

if __name__ == '__main__':
  sys.exit(command_line.main(['train', *sys.argv[1:]]))
