"""One device, eight shards and either transform make the same update."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mammojax import augment, automargin
from mammojax.models import embedder
from mammojax.training import factory, margins, objectives, parallel, steps
from mammojax.training import state as state_lib
from tests import tiny

SIZE = 16
# Two images of one subject in the first shards, many of another in the last:
# every shard holds another number of triplets, and some hold none.
LABELS = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 8, 8, 8, 8, 8, 9, 9], np.int32)
NUM_CLASSES = 10


def batch(rng):
  return {
    'image': rng.random((16, SIZE, SIZE, 1)).astype(np.float32),
    'label': LABELS,
    'item': np.arange(16, dtype=np.int32),
    'row': np.arange(16, dtype=np.int32),
    'position': np.arange(16, dtype=np.int32),
  }


def one_update(config, data, num_devices, transform):
  """State and pulse after one step of plain SGD, so that the change of the
  parameters is the raw gradient."""
  build = functools.partial(
    embedder.build, width=4, embedding_dim=8, mean=(0.5,), std=(0.3,)
  )
  devices = parallel.Parallel(transform, num_devices)
  objective = objectives.build(config)
  course, held = factory.course_and_memory(config)
  state = state_lib.create(
    build(axis_name=None),
    optax.sgd(1.0),
    margins.state(config, steps_per_epoch=1),
    seed=3,
    image_shape=(SIZE, SIZE, 1),
    loss_init=lambda key: objective.init(key, NUM_CLASSES),
    course=course,
    held=held,
  )
  before = jax.tree.map(np.asarray, state.params)
  state = state.replace(apply_fn=build(axis_name=parallel.AXIS).apply)
  step_fn = devices.data_parallel(
    functools.partial(
      steps.train_step,
      loss_fn=objective.score,
      augment_fn=augment.Augmentation(rotation_degrees=20.0, noise=0.02),
      seed=5,
      micro_batch=config.train.micro_batch,
    )
  )
  metrics = devices.replicate(steps.TrainMetrics.empty())
  state, metrics, pulse = step_fn(
    devices.replicate(state), metrics, devices.place(data)
  )
  grads = jax.tree.map(lambda a, b: a - np.asarray(b), before, state.params)
  return grads, state, {**metrics.compute(), **pulse}


def flat(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


LOSSES = {
  'paper': {'loss__form': 'paper'},
  'code': {'loss__form': 'code', 'automargin__mode': 'step'},
  'triplet': {'loss__name': 'triplet', 'loss__selection': 'all'},
  'contrastive': {
    'loss__name': 'contrastive',
    'loss__distance': 'euclidean',
    'automargin__mode': 'fixed',
  },
  'arcface': {'loss__name': 'arcface', 'automargin__mode': 'fixed'},
  'siamese': {
    'loss__name': 'siamese',
    'automargin__mode': 'fixed',
    'sampler__name': 'pairs',
  },
  'curriculum': {
    'loss__name': 'semihard',
    'curriculum__switch': 'step',
    'curriculum__at_step': 1,
  },
  'memory': {
    'loss__name': 'supcon',
    'automargin__mode': 'fixed',
    'memory__size': 24,
    'memory__warmup_steps': 0,
  },
}


# Each compiles two programs, one for eight devices. Losses by themselves are
# held to eight devices in test_losses_on_devices.
_FAST = [('paper', 'shard_map', 8), ('paper', 'pmap', 8)]
_SLOW = [
  *((name, 'shard_map', 8) for name in LOSSES if name != 'paper'),
  ('paper', 'pmap', 1),
  ('arcface', 'pmap', 8),
  ('memory', 'pmap', 8),
]
_CASES = [
  *_FAST,
  *(pytest.param(*case, marks=pytest.mark.slow) for case in _SLOW),
]


@pytest.mark.parametrize(('loss', 'transform', 'num_devices'), _CASES)
def test_devices_agree_with_one(cache, rng, loss, transform, num_devices):
  config = tiny.config(cache, **LOSSES[loss])
  data = batch(rng)
  want_grads, want, want_seen = one_update(config, data, 1, 'shard_map')
  grads, state, seen = one_update(config, data, num_devices, transform)
  largest = np.abs(flat(want_grads)).max()
  assert largest > 1e-4
  # float32 sums in another order; a wrong reduction is off by a factor.
  np.testing.assert_allclose(flat(grads), flat(want_grads), atol=2e-4 * largest)
  for name in ('loss', 'margin', 'active_fraction', 'mean_cosine'):
    np.testing.assert_allclose(seen[name], want_seen[name], rtol=2e-5)
  np.testing.assert_allclose(
    flat(state.batch_stats), flat(want.batch_stats), rtol=1e-4, atol=1e-6
  )
  np.testing.assert_allclose(
    float(state.automargin.margin), float(want.automargin.margin), rtol=1e-5
  )
  np.testing.assert_allclose(
    float(state.automargin.beta), float(want.automargin.beta), rtol=1e-5
  )


def test_an_update_with_nan_is_refused_bit_for_bit(cache, rng):
  config = tiny.config(cache)
  data = batch(rng)
  data['image'][3, 2, 2] = np.nan
  grads, state, seen = one_update(config, data, 1, 'shard_map')
  assert not np.any(flat(grads))
  assert int(state.step) == 1 and int(state.num_refused) == 1
  fresh = automargin.init('ema', decay=config.automargin.decay)
  assert float(state.automargin.margin) == float(fresh.margin)
  assert np.isnan(float(seen['loss']))


def test_a_batch_that_devices_cannot_share_is_refused():
  devices = parallel.Parallel('shard_map', 8)
  devices.check_batch(64)
  with pytest.raises(ValueError, match=r'12 images.*8 devices'):
    devices.check_batch(12)


def test_unknown_transform_and_device_count_are_refused():
  with pytest.raises(ValueError, match="Did you mean 'shard_map'"):
    parallel.Parallel('shardmap')
  with pytest.raises(ValueError, match='num_devices must be 0'):
    parallel.Parallel('pmap', 99)


def test_mean_cosine_is_the_mean_over_pairs(rng):
  x = rng.normal(size=(7, 3)).astype(np.float32)
  x /= np.linalg.norm(x, axis=1, keepdims=True)
  pairs = [x[i] @ x[j] for i in range(7) for j in range(7) if i != j]
  got = steps.mean_cosine(jnp.asarray(x), None)
  np.testing.assert_allclose(float(got), np.mean(pairs), atol=1e-6)
