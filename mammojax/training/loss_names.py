"""The losses that a config can name, and what each of them takes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mammojax import losses
from mammojax.training import trained_losses


class Loss(NamedTuple):
  """A loss and what it takes.

  Attributes:
    call: the function of `mammojax.losses` or `trained_losses`.
    takes: fields of `config.loss` that it takes by their own name.
    follows: takes its margin from AutoMargin, which follows its triplets.
    init: (key, number of classes, embedding_dim, options) -> parameters, or
      None.
    has_gallery: can compare with a memory.
  """

  call: Callable[..., Any]
  takes: tuple[str, ...] = ('distance', 'reduction')
  follows: bool = False
  init: Callable[..., Any] | None = None
  has_gallery: bool = True


_CHOSEN = ('distance', 'reduction', 'soft')

LOSSES: Mapping[str, Loss] = {
  'adatriplet': Loss(
    losses.adatriplet,
    ('reduction', 'selection', 'form', 'negative_weight'),
    follows=True,
  ),
  'triplet': Loss(
    losses.batch_all_triplet,
    ('distance', 'reduction', 'selection'),
    follows=True,
  ),
  'semihard': Loss(losses.semihard_triplet, _CHOSEN, follows=True),
  'hard': Loss(losses.hard_triplet, _CHOSEN, follows=True),
  'batch_hard': Loss(losses.batch_hard_triplet, _CHOSEN, follows=True),
  'easy_positive_hard': Loss(
    losses.batch_easy_positive_hard_negative_triplet, _CHOSEN, follows=True
  ),
  'easy_positive_semihard': Loss(
    losses.batch_easy_positive_semihard_triplet, _CHOSEN, follows=True
  ),
  'distance_weighted': Loss(
    losses.distance_weighted_triplet, _CHOSEN, follows=True
  ),
  'contrastive': Loss(
    losses.contrastive,
    ('distance', 'reduction', 'positive_margin', 'squared'),
  ),
  'sct': Loss(losses.sct, ('reduction',)),
  'wat': Loss(losses.wat, ('reduction',)),
  'nt_xent': Loss(losses.nt_xent),
  'supcon': Loss(losses.supcon),
  'n_pair': Loss(losses.n_pair, ('reduction',)),
  'multi_similarity': Loss(losses.multi_similarity),
  'circle': Loss(losses.circle),
  'lifted_structure': Loss(losses.lifted_structure),
  'arcface': Loss(
    trained_losses.arcface,
    ('reduction',),
    init=trained_losses.class_weights,
    has_gallery=False,
  ),
  'soft_triplet': Loss(
    trained_losses.soft_triplet,
    ('reduction',),
    init=trained_losses.class_weights,
    has_gallery=False,
  ),
  'proxy_anchor': Loss(
    trained_losses.proxy_anchor,
    ('reduction',),
    init=trained_losses.class_weights,
    has_gallery=False,
  ),
  'cross_entropy': Loss(
    trained_losses.cross_entropy,
    ('reduction',),
    init=trained_losses.classifier,
    has_gallery=False,
  ),
  'logistic': Loss(trained_losses.logistic, ('reduction',), has_gallery=False),
  'siamese': Loss(
    trained_losses.siamese,
    ('reduction',),
    init=trained_losses.siamese_head,
    has_gallery=False,
  ),
}
# Losses whose margin, though not AutoMargin's to move, is config.loss.margin.
WITH_MARGIN = ('contrastive',)
PENALTIES = {
  '': None,
  'squared_norm': losses.squared_norm,
  'norm_deviation': losses.norm_deviation,
  'norm_spread': losses.norm_spread,
}
