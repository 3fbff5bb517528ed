"""Random generators named by what they draw.

Each stream is a function of (seed, stream, numbers), so that an image does not
depend on what was rendered before it, nor on the process that renders it.
"""

import numpy as np

STREAMS = ('woman', 'breast', 'lesion', 'exposure', 'patch')
SIDE_NUMBERS = {'L': 0, 'R': 1}
VIEW_NUMBERS = {'CC': 0, 'MLO': 1}


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
  """A generator of its own for one stream and its numbers."""
  return np.random.default_rng((seed, STREAMS.index(stream), *numbers))
