"""Miners: which triplets or pairs of a batch a loss looks at.

All are pure functions of a distance matrix (or a block of its rows) and of
the positive and negative masks, with static shapes: they return counts,
columns or masks, never lists whose length depends on the data.

    regions   every triplet whose gap lies in a range: a count per pair
    choices   one negative for each positive pair, or one positive and one
              negative for each anchor: columns, -1 where there is none
    filters   pairs for losses over pairs: masks

    selection = mining.select('semihard', dist, positive, negative, margin)
    weights = mining.pair_weights(selection, positive)
"""

from mammojax.mining.choices import (
  AnchorChoice,
  batch_easy_positive_hard_negative,
  batch_easy_positive_semihard,
  batch_hard,
  distance_weighted,
  hard,
  semihard,
  semihard_facenet,
)
from mammojax.mining.filters import PairMasks, multi_similarity, pair_margin
from mammojax.mining.regions import (
  Selection,
  batch_all,
  hard_region,
  pair_weights,
  semihard_region,
)
from mammojax.mining.selections import SELECTIONS, check_name, select

__all__ = [
  'SELECTIONS',
  'AnchorChoice',
  'PairMasks',
  'Selection',
  'batch_all',
  'batch_easy_positive_hard_negative',
  'batch_easy_positive_semihard',
  'batch_hard',
  'check_name',
  'distance_weighted',
  'hard',
  'hard_region',
  'multi_similarity',
  'pair_margin',
  'pair_weights',
  'select',
  'semihard',
  'semihard_facenet',
  'semihard_region',
]
