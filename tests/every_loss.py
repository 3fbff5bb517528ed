"""Every public loss in one table, for the tests of what all of them share.

    value = CASES['supcon'](embeddings, labels, reduction='sum')

A case is called like a loss on embeddings and labels: class weights, keys and
margins are filled in. `test_every_loss` fails where a public loss is missing
from the table.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mammojax import losses, relations

ROWS, DIM, CLASSES = 8, 4, 6
MARGIN = 0.5
NO_LOSSES = ('init_class_weights',)


@dataclasses.dataclass(frozen=True)
class Case:
  """A loss with its arguments, and which properties it has.

  Attributes:
    function: of `mammojax.losses`.
    kind: 'pairs' of rows; 'classes', rows beside class weights; 'lengths' of
      rows; 'logits' of pairs.
    numbers: arguments that may be traced.
    options: all others.
    is_cosine: the length of a row does not matter.
    ignores_order: a permutation of the batch changes nothing.
    zero_on: keys of `hard_batches` that hold nothing to select.
    collapsed: value when all rows are one point, if it is documented.
    takes_gallery: with these arguments.
    holds_weights: weights within the loss carry no gradient, so that its
      gradient is not that of its value.
  """

  function: Callable[..., Any]
  kind: str = 'pairs'
  numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
  options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  is_cosine: bool = True
  ignores_order: bool = True
  zero_on: tuple[str, ...] = ('one_class', 'all_distinct', 'all_padded')
  collapsed: float | None = None
  takes_gallery: bool = True
  holds_weights: bool = False

  def __call__(self, embeddings, labels, **common):
    arguments = {**self.numbers, **self.options, **common}
    if self.takes('key'):
      # Not in the table: several processes must meet before the first array.
      arguments.setdefault('key', jax.random.key(3))
    if self.function is losses.siamese_cross_entropy:
      return _siamese(embeddings, labels, **arguments)
    return self.function(embeddings, labels, **arguments)

  @property
  def ignores_names(self):
    """Whether labels are only compared with each other."""
    return self.kind in ('pairs', 'lengths')

  def takes(self, name):
    """Whether the loss has the argument."""
    return name in inspect.signature(self.function).parameters


def _siamese(embeddings, labels, **arguments):
  """The first column as logits; label 0 says that a pair is the same."""
  relation = relations.as_relation(labels, jnp.shape(embeddings)[0])
  return losses.siamese_cross_entropy(
    embeddings[:, :1],
    jnp.asarray(relation.label) == 0,
    where=relation.valid,
    **arguments,
  )


def class_weights(per_class=1):
  """Fixed directions of 6 classes, float32[6 per_class, 4]."""
  rng = np.random.default_rng(6)
  return rng.normal(size=(CLASSES * per_class, DIM)).astype(np.float32)


def _pairs(function, numbers, collapsed=None, **more):
  """A loss on cosine distances, whatever its default distance is."""
  options = more.pop('options', {})
  if 'distance' in inspect.signature(function).parameters:
    options = {'distance': 'cosine', **options}
  return Case(
    function, numbers=numbers, options=options, collapsed=collapsed, **more
  )


def _by_class(function, numbers, per_class=1, **more):
  options = {'class_weights': class_weights(per_class)}
  if per_class > 1:
    options['centers_per_class'] = per_class
  more = {'zero_on': ('all_padded',), **more}
  return Case(function, 'classes', numbers, options, **more)


_margin = {'margin': MARGIN}
_ada = {'margin': MARGIN, 'beta': 0.1, 'negative_weight': 0.7}
_plain = {'is_cosine': False, 'zero_on': ('all_padded',)}
CASES = {
  'batch_all_triplet': _pairs(losses.batch_all_triplet, _margin, MARGIN),
  'batch_all_triplet semihard_region': _pairs(
    losses.batch_all_triplet,
    _margin,
    0.0,
    options={'selection': 'semihard_region'},
  ),
  'batch_all_triplet hard_region': _pairs(
    losses.batch_all_triplet,
    _margin,
    MARGIN,
    options={'selection': 'hard_region'},
  ),
  'adatriplet': _pairs(losses.adatriplet, _ada, MARGIN + 0.7 * 0.9),
  'adatriplet code': _pairs(
    losses.adatriplet, _ada, 0.7 * 0.9, options={'form': 'code'}
  ),
  'semihard_triplet': _pairs(losses.semihard_triplet, _margin, 0.0),
  'semihard_triplet facenet': _pairs(
    losses.semihard_triplet, _margin, MARGIN, options={'variant': 'facenet'}
  ),
  'hard_triplet': _pairs(losses.hard_triplet, _margin, MARGIN),
  'hard_triplet soft': _pairs(
    losses.hard_triplet,
    _margin,
    float(np.log1p(np.exp(MARGIN))),
    options={'soft': True},
  ),
  # A draw belongs to a row of the batch, so a permutation draws anew.
  'distance_weighted_triplet': _pairs(
    losses.distance_weighted_triplet,
    _margin,
    MARGIN,
    ignores_order=False,
  ),
  'batch_hard_triplet': _pairs(losses.batch_hard_triplet, _margin, MARGIN),
  'batch_hard_triplet soft': _pairs(
    losses.batch_hard_triplet,
    _margin,
    float(np.log1p(np.exp(MARGIN))),
    options={'soft': True},
  ),
  'batch_easy_positive_hard_negative_triplet': _pairs(
    losses.batch_easy_positive_hard_negative_triplet, _margin, MARGIN
  ),
  'batch_easy_positive_semihard_triplet': _pairs(
    losses.batch_easy_positive_semihard_triplet, _margin, 0.0
  ),
  'contrastive': _pairs(
    losses.contrastive,
    {'positive_margin': 0.1, 'margin': 0.9},
    zero_on=('all_padded',),
  ),
  'contrastive squared': Case(
    losses.contrastive,
    numbers={'positive_margin': 0.1, 'margin': 2.5},
    options={'squared': True},
    **_plain,
  ),
  'sct': _pairs(
    losses.sct, {'negative_weight': 0.7, 'threshold': 0.8, 'temperature': 0.1}
  ),
  'wat': _pairs(losses.wat, {'k': 2.0}, 3.0, holds_weights=True),
  'nt_xent': _pairs(losses.nt_xent, {'temperature': 0.2}),
  'supcon': _pairs(losses.supcon, {'temperature': 0.2}),
  'supcon inside': _pairs(
    losses.supcon, {'temperature': 0.2}, options={'positives': 'inside'}
  ),
  'n_pair': Case(losses.n_pair, is_cosine=False),
  'multi_similarity': _pairs(
    losses.multi_similarity,
    {'alpha': 2.0, 'beta': 20.0, 'base': 0.5, 'epsilon': 0.1},
  ),
  'multi_similarity unmined': _pairs(
    losses.multi_similarity,
    {'alpha': 2.0, 'beta': 20.0, 'base': 0.5},
    options={'epsilon': None},
    zero_on=('all_padded',),
  ),
  'circle': _pairs(
    losses.circle, {'relaxation': 0.25, 'scale': 20.0}, holds_weights=True
  ),
  'lifted_structure': _pairs(losses.lifted_structure, {'margin': 1.0}),
  'lifted_structure original': _pairs(
    losses.lifted_structure,
    {'margin': 1.0},
    options={'variant': 'original'},
    takes_gallery=False,
  ),
  'arcface': _by_class(losses.arcface, {'scale': 16.0, 'margin': 0.5}),
  # The regulariser of the centers does not look at the batch.
  'soft_triplet': _by_class(
    losses.soft_triplet,
    {'gamma': 0.1, 'scale': 10.0, 'margin': 0.01, 'tau': 0.2},
    per_class=2,
    zero_on=(),
  ),
  'proxy_anchor': _by_class(
    losses.proxy_anchor, {'alpha': 16.0, 'margin': 0.1}
  ),
  'squared_norm': Case(losses.squared_norm, 'lengths', **_plain),
  'norm_deviation': Case(
    losses.norm_deviation, 'lengths', {'target': 1.0}, **_plain
  ),
  'norm_spread': Case(losses.norm_spread, 'lengths', **_plain),
  'siamese_cross_entropy': Case(
    losses.siamese_cross_entropy, 'logits', **_plain
  ),
}


def batch(seed, num_padding=2):
  """Random rows of three labels: x float32[8, 4], label, item, valid."""
  rng = np.random.default_rng(seed)
  label = rng.permutation(np.array([0, 0, 0, 0, 1, 1, 1, 2], np.int32))
  centers = rng.normal(size=(3, DIM))
  x = centers[label] + rng.normal(size=(ROWS, DIM))
  valid = np.ones(ROWS, bool)
  valid[rng.permutation(ROWS)[:num_padding]] = False
  return {
    'x': x.astype(np.float32),
    'label': label,
    'item': rng.permutation(ROWS).astype(np.int32) + 100,
    'valid': valid,
  }


def hard_batches():
  """Batches that hold little, or one thing many times, by name."""
  made = {
    name: batch(21, num_padding=0)
    for name in (
      'one_class', 'all_distinct', 'all_padded', 'collapsed', 'duplicated',
      'zeros', 'long', 'short',
    )
  }  # fmt: skip
  made['one_class']['label'][:] = 2
  made['all_distinct']['label'] = np.arange(ROWS, dtype=np.int32)
  made['all_padded']['valid'][:] = False
  # Lengths and products of halves are exact, so every distance is exactly 0.
  made['collapsed']['x'][:] = 0.5
  for field in ('x', 'label', 'item'):
    made['duplicated'][field][[5, 6]] = made['duplicated'][field][[1, 2]]
  # Two images that look alike, of one label and of two.
  made['duplicated']['x'][[0, 7]] = made['duplicated']['x'][[3, 4]]
  made['zeros']['x'][[0, 3, 4]] = 0.0
  made['long']['x'] *= np.float32(1e4)
  made['short']['x'] *= np.float32(1e-4)
  return made


def relation_of(rows, case=None):
  """Relation of a batch; for losses on classes all labels are classes."""
  label = rows['label']
  if case is not None and case.kind == 'classes':
    label = label % CLASSES
  return relations.Relation(
    jnp.asarray(label),
    item=jnp.asarray(rows['item']),
    valid=jnp.asarray(rows['valid']),
  )


@functools.cache
def compiled(name):
  """Value and gradients by embeddings and numbers: f(x, relation, numbers)."""
  case = CASES[name]

  def function(x, relation, numbers):
    return case(x, relation, **numbers)

  return jax.jit(jax.value_and_grad(function, (0, 2)))


def evaluate(name, rows):
  """Value and gradient of a batch, with traced numbers."""
  case = CASES[name]
  numbers = {key: jnp.float32(value) for key, value in case.numbers.items()}
  value, (grad, _) = compiled(name)(rows['x'], relation_of(rows, case), numbers)
  return np.asarray(value), np.asarray(grad)
