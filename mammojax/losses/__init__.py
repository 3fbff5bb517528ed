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

All raise ValueError for unknown names, shapes that do not fit and Python
margins below 0, and TypeError for ids that are not int32.
"""

from mammojax.losses.adatriplet import adatriplet
from mammojax.losses.contrastive import PairStats, contrastive
from mammojax.losses.triplet import TripletStats, batch_all_triplet

__all__ = [
  'PairStats',
  'TripletStats',
  'adatriplet',
  'batch_all_triplet',
  'contrastive',
]
