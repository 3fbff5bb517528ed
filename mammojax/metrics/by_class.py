"""What class is this, told by the training images near it?

protocol = by_class.protocol(frame, label='diagnosis', split='validation')
values = retrieval.per_query(
  embeddings[protocol.query_rows], embeddings[protocol.gallery_rows],
  **protocol.relation())
values['cmc@1'].mean()            # accuracy of the nearest neighbour
"""

import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.metrics import protocols

_SHOWN = 5


def protocol(
  frame: pd.DataFrame, *, label: str, split: str
) -> protocols.Protocol:
  """Gallery: all training images; queries: all images of a split.

  Images without a label are left out.

  Args:
    frame: a table as of `protocols`, with a column of the name `label`.
    label: what is matched.
    split: whose images are queries.

  Returns:
    Protocol; its only stratum is 'all'.

  Raises:
    IntegrityError: a subject in the gallery and among the queries.
    DataError: no query whose label is in the gallery.
  """
  of = frame['split'].where(frame[label] != '', '').to_numpy()
  g, q = np.flatnonzero(of == 'train'), np.flatnonzero(of == split)
  codes = pd.factorize(frame[label])[0].astype(np.int64)
  item = pd.factorize(frame['item'])[0].astype(np.int64)
  subject = frame['subject'].to_numpy()
  torn = sorted(set(subject[g]) & set(subject[q]))
  if torn:
    raise errors.IntegrityError(
      f'{len(torn)} subjects are in the splits train and {split!r}: '
      f'{torn[:_SHOWN]}. Their images would find themselves.'
    )
  mates = np.bincount(codes[g], minlength=len(frame))[codes[q]]
  if not mates.any():
    raise errors.DataError(
      f'No image of the split {split!r} has the {label} of a training image.'
    )
  return protocols.Protocol(
    gallery_rows=g,
    query_rows=q,
    gallery_label=codes[g],
    query_label=codes[q],
    gallery_item=item[g],
    query_item=item[q],
    query_subject=subject[q],
    gallery_subject=subject[g],
    years={'all': np.ones(len(q), bool)},
    num_mates=mates,
    num_ranked=np.full(len(q), len(g)),
  )
