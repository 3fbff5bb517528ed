"""Samplers by name, from the config to the step."""

import jax
import numpy as np
import pandas as pd
import pytest

from mammojax import errors, losses, relations
from mammojax.data import epochs, samplers, tuples
from mammojax.training import sampling, train
from tests import tiny

KINDS = {
  'subjects': samplers.SubjectBatches,
  'pairs': tuples.PairBatches,
  'triplets': tuples.TripletBatches,
  'shuffle': epochs.ShuffledBatches,
  'balanced': epochs.BalancedBatches,
  'oversample': epochs.ResampledBatches,
  'undersample': epochs.ResampledBatches,
}


class Table:
  """A table without pixels: 30 subjects of two images, a fifth malignant."""

  frame = pd.DataFrame(
    {
      'subject': [f's{i // 2}' for i in range(60)],
      'item': [f'i{i}' for i in range(60)],
      'diagnosis': ['malignant' if i < 12 else 'benign' for i in range(60)],
      'target': ['positive' if i < 12 else 'negative' for i in range(60)],
    }
  )


def _config(**changes):
  return tiny.config(
    '', **{f'sampler__{name}': value for name, value in changes.items()}
  )


def test_every_name_has_a_test():
  assert KINDS.keys() == sampling.SAMPLERS.keys()


@pytest.mark.parametrize('name', KINDS)
@pytest.mark.parametrize('label', sampling.LABELS)
def test_names_lead_to_samplers_of_their_batch_size(name, label):
  config = _config(
    name=name,
    label=label,
    batch_size=36,
    subjects_per_batch=2,
    images_per_subject=2,
  )
  rows = np.arange(60)
  sampler = sampling.build(config, Table, rows)
  assert isinstance(sampler, KINDS[name])
  size = 4 if name == 'subjects' else 36
  assert sampling.batch_size(config) == sampler.batch_size == size
  assert sampler[3].shape == (size,)


def test_the_label_is_what_is_balanced():
  diagnosis = Table.frame['diagnosis'].to_numpy()
  rows = np.arange(3, 57)
  config = _config(name='balanced', label='diagnosis', batch_size=20)
  drawn = diagnosis[rows[sampling.build(config, Table, rows)[0]]]
  assert (drawn == 'malignant').sum() == 10


def test_another_column_can_be_balanced():
  side = Table.frame['target'].to_numpy()
  rows = np.arange(3, 57)
  config = _config(
    name='balanced', label='subject', balance='target', batch_size=20
  )
  drawn = side[rows[sampling.build(config, Table, rows)[0]]]
  assert (drawn == side[0]).sum() == 10


BAD = {
  'name': ({'name': 'triplet'}, "Did you mean 'triplets'"),
  'label': ({'label': 'diagnoses'}, "Did you mean 'diagnosis'"),
  'balance': ({'balance': 'target'}, "sampler.name is 'subjects'"),
  'relate': ({'relate': 'darwn'}, "Did you mean 'drawn'"),
  'drawn': ({'relate': 'drawn'}, "'subjects' draws single images"),
  'cut pairs': ({'name': 'pairs', 'batch_size': 63}, 'such as 60 or 64'),
  'cut triplets': ({'name': 'triplets'}, 'such as 63 or 66'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_fields_are_named(name):
  changes, message = BAD[name]
  with pytest.raises(errors.UsageError, match=message):
    sampling.build(_config(**changes), Table, np.arange(60))


def test_training_images_without_a_diagnosis_are_named():
  class Unknown(Table):
    frame = Table.frame.assign(
      diagnosis=['' if i in (4, 40) else 'x' for i in range(60)]
    )

  config = _config(label='diagnosis')
  with pytest.raises(errors.DataError, match=r"^1 training .*'i4'\)"):
    sampling.build(config, Unknown, np.arange(30))


def _by_loop(rows, size, margin):
  """The mean hinge over drawn pairs or triplets alone."""
  rows = rows.astype(np.float64).reshape(-1, size, rows.shape[-1])
  if size == 2:
    dist = 1 - np.sum(rows[:, 0] * rows[:, 1], axis=-1)
    same = np.arange(len(rows)) % 2 == 0
    return np.mean(np.where(same, dist, np.maximum(margin - dist, 0)))
  anchor, positive, negative = (rows[:, i] for i in range(3))
  sim_ap = np.sum(anchor * positive, axis=-1)
  one = margin - sim_ap + np.sum(anchor * negative, axis=-1)
  other = margin - sim_ap + np.sum(positive * negative, axis=-1)
  return np.mean(np.maximum([one, other], 0))


@pytest.mark.parametrize('name, size', [('pairs', 2), ('triplets', 3)])
def test_losses_score_the_drawn_tuples_alone(name, size, rng):
  labels = Table.frame['diagnosis'].to_numpy() == 'benign'
  config = _config(name=name, label='diagnosis', batch_size=12 * size)
  drawn = sampling.build(config, Table, np.arange(60))[0]
  rows = rng.normal(size=(len(drawn), 5)).astype(np.float32)
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  relation = relations.drawn(
    relations.Relation(
      labels[drawn].astype(np.int32), item=drawn.astype(np.int32)
    ),
    np.arange(len(drawn), dtype=np.int32),
    size,
  )
  loss = {2: losses.contrastive, 3: losses.batch_all_triplet}[size]
  found = loss(rows, relation, margin=0.7, distance='cosine')
  assert float(found) == pytest.approx(_by_loop(rows, size, 0.7), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
  'sampler, size, loss',
  [
    ({'name': 'pairs', 'batch_size': 16}, 2, 'contrastive'),
    ({'name': 'triplets', 'batch_size': 18}, 3, 'triplet'),
  ],
  ids=['pairs', 'triplets'],
)
def test_a_step_on_drawn_tuples_scores_them_alone(
  cache, tmp_path, sampler, size, loss
):
  """The first loss is that of the loop over the drawn tuples."""
  changes = {f'sampler__{key}': value for key, value in sampler.items()}
  config = tiny.config(
    cache,
    sampler__relate='drawn',
    loss__name=loss,
    loss__selection='all',
    loss__margin=0.7,
    automargin__mode='fixed',
    augment__rotation_degrees=0.0,
    augment__shift=0.0,
    augment__zoom=0.0,
    augment__brightness=0.0,
    augment__contrast=0.0,
    augment__gamma=0.0,
    **changes,
  )
  trainer = train.Trainer(config, tmp_path)
  batch = trainer.images.images(trainer.rows[trainer.sampler[0]])
  params, stats = jax.tree.map(
    np.asarray, (trainer.state.params, trainer.state.batch_stats)
  )
  axis = jax.vmap(
    lambda images: trainer.state.apply_fn(
      {'params': params, 'batch_stats': stats},
      images,
      train=True,
      mutable=['batch_stats'],
    )[0],
    axis_name='data',
  )
  rows = np.asarray(axis(batch[None])[0])
  _, _, pulse = trainer.step_fn(
    trainer.state,
    trainer.devices.replicate(train.steps.TrainMetrics.empty()),
    trainer.devices.place(
      {
        'image': batch,
        'label': np.unique(
          trainer.images.frame['subject'].to_numpy(str)[trainer.rows],
          return_inverse=True,
        )[1][trainer.sampler[0]].astype(np.int32),
        'item': trainer.sampler[0].astype(np.int32),
        'row': trainer.sampler[0].astype(np.int32),
        'position': np.arange(len(batch), dtype=np.int32),
      }
    ),
  )
  want = _by_loop(rows, size, 0.7)
  assert float(pulse['loss']) == pytest.approx(want, rel=1e-5)
