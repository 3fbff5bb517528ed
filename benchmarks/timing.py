"""Interleaved medians: what disturbs one side disturbs the other."""

from collections.abc import Callable, Mapping
import os
import subprocess
import sys
import time

import jax
import numpy as np

# After another library's turn its threads still spin for work for a while,
# and the caches hold its data.
SETTLE_SECONDS = 0.2


def interleaved(
  sides: Mapping[str, Callable[[], object]],
  rounds: int = 15,
  clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
  """Median seconds of each side, in turns after one round to compile.

  Each timed call follows untimed ones of the same side. With
  `time.process_time` as the clock they are seconds of one core, which other
  programs on the machine disturb less.
  """
  spent: dict[str, list[float]] = {name: [] for name in sides}
  for turn in range(rounds + 1):
    for name, run in sides.items():
      _settle(run)
      start = clock()
      jax.block_until_ready(run())
      if turn:
        spent[name].append(clock() - start)
  return {name: float(np.median(times)) for name, times in spent.items()}


def _settle(run):
  end = time.perf_counter() + SETTLE_SECONDS
  jax.block_until_ready(run())
  while time.perf_counter() < end:
    jax.block_until_ready(run())


def printed_by(module: str, **environment: str) -> list[str]:
  """Lines that a module prints, run as a process of its own."""
  run = subprocess.run(
    [sys.executable, '-m', module],
    stdout=subprocess.PIPE,
    text=True,
    check=True,
    env={**os.environ, **environment},
  )
  return run.stdout.splitlines()
