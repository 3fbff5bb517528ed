"""Statistics of made-up batches, and one step of AutoMargin over them."""

import jax
import jax.numpy as jnp
import numpy as np

from mammojax import automargin, losses


def stats(gap, an, an_pairs=0.0, triplets=10.0, pairs=4.0):
  values = {
    'num_triplets': triplets,
    'num_selected': triplets,
    'num_active': triplets,
    'num_anchors': 2.0,
    'num_negative_pairs': pairs,
    'mean_gap': gap,
    'mean_an': an,
    'mean_an_pairs': an_pairs,
  }
  return losses.TripletStats(**{k: jnp.float32(v) for k, v in values.items()})


@jax.jit
def advance(state, stats):
  return automargin.update(automargin.accumulate(state, stats))


def margins(state):
  return float(state.margin), float(state.beta)


def random_stats(count, seed=2):
  rng = np.random.default_rng(seed)
  made = []
  for _ in range(count):
    gap, an, an_pairs = rng.uniform(0, 1, 3)
    made.append(stats(gap, an, an_pairs, *rng.integers(1, 500, 2)))
  return made
