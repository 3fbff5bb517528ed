"""The pair-weighting losses with their loops, and every softmax loss to run."""

import functools

import jax
from loss_checks import relation_of
import reference_softmax as loops

from mammojax.losses import softmax, weighting

BATCHES = loops.batches()
# name -> (loss, loop over what `scores` makes, distance, options, numbers)
CASES = {
  'mined': (
    weighting.multi_similarity,
    loops.multi_similarity,
    'cosine',
    {},
    {'alpha': 2.0, 'beta': 50.0, 'base': 0.5, 'epsilon': 0.1},
  ),
  'unmined': (
    weighting.multi_similarity,
    loops.multi_similarity,
    'euclidean',
    {'epsilon': None},
    {'alpha': 1.5, 'beta': 4.0, 'base': -1.2},
  ),
  'circle': (
    weighting.circle,
    loops.circle,
    'cosine',
    {},
    {'relaxation': 0.25, 'scale': 80.0},
  ),
  'generalized': (
    weighting.lifted_structure,
    loops.lifted_structure,
    'euclidean',
    {},
    {'margin': 1.0},
  ),
  'generalized_soft': (
    weighting.lifted_structure,
    functools.partial(loops.lifted_structure, soft=True),
    'manhattan',
    {'variant': 'generalized_soft'},
    {'margin': 0.3},
  ),
  'original': (
    weighting.lifted_structure,
    loops.lifted_structure_original,
    'euclidean',
    {'variant': 'original'},
    {'margin': 1.0},
  ),
}
EVERY = {
  **{name: functools.partial(case[0], distance=case[2], **case[3])
     for name, case in CASES.items()},
  'nt_xent': softmax.nt_xent,
  'outside': softmax.supcon,
  'inside': functools.partial(softmax.supcon, positives='inside'),
  'n_pair': softmax.n_pair,
}  # fmt: skip


@functools.cache
def jitted(name, reduction='mean'):
  """(x, relation, traced numbers) -> ((loss, statistics), gradient)."""
  loss = functools.partial(EVERY[name], reduction=reduction, stats=True)

  def function(x, relation, numbers):
    return loss(x, relation, block=4, **numbers)

  return jax.jit(jax.value_and_grad(function, has_aux=True))


def run(name, batch, numbers=None):
  """((loss, statistics), gradient) with the numbers of the case."""
  if numbers is None:
    numbers = CASES[name][4] if name in CASES else {}
  return jitted(name)(batch['x'], relation_of(batch), numbers)
