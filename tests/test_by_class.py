"""Classes searched for among training images, and evened out."""

import numpy as np
import pandas as pd
import pytest

from mammojax import errors
from mammojax.data import balance
from mammojax.metrics import by_class
from mammojax.training import inputs, sampling
from tests import tiny

FRAME = pd.DataFrame(
  [
    ('l1', 'a', 'mel', 'train'),
    ('l1', 'b', 'mel', 'train'),
    ('l2', 'c', 'nv', 'train'),
    ('l3', 'd', '', 'train'),
    ('l4', 'e', 'bcc', 'test'),
    ('l5', 'f', 'bkl', 'test'),
    ('l5', 'g', '', 'test'),
    ('l6', 'h', 'nv', 'validation'),
  ],
  columns=['subject', 'item', 'diagnosis', 'split'],
)


@pytest.mark.parametrize('share', [0.1, 0.5, 0.8, 0.0])
def test_parity_keeps_the_smaller_class_and_as_many_others(rng, share):
  truth = rng.random(200) < share
  kept = balance.parity(truth, seed=1)
  size = min(truth.sum(), 200 - truth.sum())
  assert kept[truth].sum() == kept[~truth].sum() == size
  np.testing.assert_array_equal(kept, balance.parity(truth, seed=1))
  if 0 < size < 100:
    assert (kept != balance.parity(truth, seed=2)).any()


def test_a_class_is_searched_for_among_the_training_images():
  frame = inputs.with_target(FRAME, ('mel', 'bcc'))
  got = by_class.protocol(frame, label='target', split='test')
  assert got.gallery_rows.tolist() == [0, 1, 2]
  assert got.query_rows.tolist() == [4, 5]
  # Two training images are positive, one is negative.
  assert got.num_mates.tolist() == [2, 1]
  assert got.num_ranked.tolist() == [3, 3]
  assert got.query_subject.tolist() == ['l4', 'l5']
  assert got.n_subjects == 4 and got.n_without_mate == 0
  by_name = by_class.protocol(frame, label='diagnosis', split='validation')
  assert by_name.num_mates.tolist() == [1]


def test_protocols_that_cannot_be_are_refused():
  with pytest.raises(errors.DataError, match='has the diagnosis of a training'):
    by_class.protocol(FRAME, label='diagnosis', split='test')
  torn = FRAME.assign(subject='l1')
  with pytest.raises(errors.IntegrityError, match=r"'test': \['l1'\]"):
    by_class.protocol(torn, label='diagnosis', split='test')


def test_a_class_reaches_batches_and_evaluation_of_a_config(cache):
  config = tiny.config(
    cache,
    data__phantom__lesion_rate=1.0,
    sampler__name='balanced',
    sampler__label='subject',
    sampler__balance='target',
    sampler__batch_size=8,
    eval__label='target',
  )
  images = inputs.image_set(config)
  rows = np.flatnonzero(images.frame['split'] == 'train')
  for build in (
    lambda: sampling.build(config, images, rows),
    lambda: inputs.protocol(config, images.frame, 'test'),
  ):
    with pytest.raises(errors.DataError, match=r'and data\.positive'):
      build()
  config.data.positive = ('malignant_mass', 'malignant_calcification')
  images = inputs.image_set(config)
  protocol = inputs.protocol(config, images.frame, 'test')
  assert set(images.frame['split'].iloc[protocol.gallery_rows]) == {'train'}
  # Exams before a lesion is seen have no diagnosis.
  known = rows[images.frame['target'].iloc[rows] != '']
  chosen = sampling.build(config, images, known)[0]
  names = images.frame['target'].iloc[known[chosen]]
  assert names.value_counts().to_dict() == {'positive': 4, 'negative': 4}
  config.eval.label = 'targe'
  with pytest.raises(errors.UsageError, match="mean 'target'"):
    inputs.protocol(config, images.frame, 'test')
