"""Interleaved medians: what disturbs one side disturbs the other."""

from collections.abc import Callable, Mapping
import time

import jax
import numpy as np


def interleaved(
  sides: Mapping[str, Callable[[], object]], rounds: int = 15
) -> dict[str, float]:
  """Median seconds of each side, run in turn after one round to compile.

  Each timed call follows an untimed one: after another library's turn the
  caches hold its data, and its threads may still spin for work.
  """
  spent: dict[str, list[float]] = {name: [] for name in sides}
  for turn in range(rounds + 1):
    for name, run in sides.items():
      jax.block_until_ready(run())
      start = time.perf_counter()
      jax.block_until_ready(run())
      if turn:
        spent[name].append(time.perf_counter() - start)
  return {name: float(np.median(times)) for name, times in spent.items()}
