"""Losses on embeddings: `f(embeddings, labels, *, ...) -> float32[]`.

Common arguments, stated once:

  embeddings: float[b, d], this device's share of the batch. Not normalised
    behind the caller's back; `cosine` does not see length.
  labels: int32[b] or `relations.Relation`.
  margin, beta, ...: Python numbers or traced float32[]; they carry no
    gradient.
  distance: key of `distances.DISTANCES`.
  reduction: what the sum is divided by; an empty selection gives 0 with zero
    gradient.
  gallery: (float[m, d], Relation with item ids) to compare with, in place of
    the batch; the same on every device.
  axis_name: device axis of the batch. The loss gathers embeddings and
    relation rows over it, scores its own anchors against the whole batch and
    reduces sums and counts, so it is the loss of the global batch, equal on
    all devices. Average gradients over the axis once (`lax.pmean`).
  block: anchors scored at a time; memory is O(block m), time O(b m d).
  stats: return (loss, statistics) instead of the loss.

Losses on class weights (`classwise`) and on pair logits (`siamese`) and the
regularisers (`norms`) say in their modules how they differ.

All raise ValueError for unknown names, shapes that do not fit and Python
margins below 0, and TypeError for ids that are not int32.
"""

from mammojax.losses.adaptive import sct, wat
from mammojax.losses.adatriplet import adatriplet
from mammojax.losses.batch_hard import (
  batch_easy_positive_hard_negative_triplet,
  batch_easy_positive_semihard_triplet,
  batch_hard_triplet,
)
from mammojax.losses.classes import ClassStats
from mammojax.losses.classwise import (
  arcface,
  init_class_weights,
  proxy_anchor,
  soft_triplet,
)
from mammojax.losses.contrastive import PairStats, contrastive
from mammojax.losses.norms import norm_deviation, norm_spread, squared_norm
from mammojax.losses.reductions import AnchorStats
from mammojax.losses.semihard import (
  distance_weighted_triplet,
  hard_triplet,
  semihard_triplet,
)
from mammojax.losses.siamese import SiameseStats, siamese_cross_entropy
from mammojax.losses.softmax import n_pair, nt_xent, supcon
from mammojax.losses.triplet import TripletStats, batch_all_triplet
from mammojax.losses.weighting import (
  circle,
  lifted_structure,
  multi_similarity,
)

__all__ = [
  'AnchorStats',
  'ClassStats',
  'PairStats',
  'SiameseStats',
  'TripletStats',
  'adatriplet',
  'arcface',
  'batch_all_triplet',
  'batch_easy_positive_hard_negative_triplet',
  'batch_easy_positive_semihard_triplet',
  'batch_hard_triplet',
  'circle',
  'contrastive',
  'distance_weighted_triplet',
  'hard_triplet',
  'init_class_weights',
  'lifted_structure',
  'multi_similarity',
  'n_pair',
  'norm_deviation',
  'norm_spread',
  'nt_xent',
  'proxy_anchor',
  'sct',
  'semihard_triplet',
  'siamese_cross_entropy',
  'soft_triplet',
  'squared_norm',
  'supcon',
  'wat',
]
