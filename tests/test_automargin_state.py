"""AutoMargin's state: quantiles, saving and restoring, and a training step."""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
import margin_stats
import numpy as np
import optax
import pytest
import reference

from mammojax import automargin, errors, losses, quantiles, relations
from mammojax.training import layouts, margins, objectives, parallel, steps
from mammojax.training import state as state_lib
from tests import tiny

BATCHES = reference.batches()
SHARES = {'q1': (0.25, 0.75), 'q2': (0.5, 0.5)}
BIN = 4 / 4096
# Every mode, and the quantiles over epochs as well.
MODES = {
  **{mode: (mode, 7) for mode in automargin.MODES if mode not in SHARES},
  'q1 batch': ('q1', 1),
  'q2 epoch': ('q2', 7),
}
every_mode = pytest.mark.parametrize('name', MODES)


def relation_of(batch):
  fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
  return relations.Relation(**fields)


def listed(batch, form='paper', distance='cosine'):
  """Every gap and every phi_an, one by one."""
  masks = reference.masks(
    batch['label'], item=batch['item'], valid=batch['valid']
  )
  dist = reference.distances(batch['x'], batch['x'], distance)
  triplets = list(reference.triplets(*masks))
  gaps = [dist[a, n] - dist[a, p] for a, p, n in triplets]
  if form == 'paper':
    return gaps, [1.0 - dist[a, n] for a, p, n in triplets]
  return gaps, [1.0 - dist[pair] for pair in reference.negative_pairs(*masks)]


def wanted(lists, mode, form='paper'):
  """The margins of the quantile baselines, with the clamps of the form."""
  low, high = SHARES[mode]
  return reference.automargin(
    np.quantile(lists[0], low), np.quantile(lists[1], high), 1.0, 1.0, form
  )


@jax.jit
def follow(state, x, relation):
  found = automargin.measure(state, x, relation)
  return automargin.update(automargin.accumulate(state, None, found))


@pytest.mark.parametrize(
  ('mode', 'form'), [('q1', 'paper'), ('q2', 'paper'), ('q1', 'code')]
)
def test_quantile_margins_follow_the_batch_just_seen(mode, form):
  state = automargin.init(mode, form=form)
  start = automargin.init('step', form=form)
  assert margin_stats.margins(state) == margin_stats.margins(start)
  for batch in BATCHES.values():
    before = margin_stats.margins(state)
    state = follow(state, batch['x'], relation_of(batch))
    lists = listed(batch, form)
    want = wanted(lists, mode, form) if lists[0] else before
    np.testing.assert_allclose(margin_stats.margins(state), want, atol=1e-6)


def test_quantile_margins_move_once_an_epoch():
  names = ['random', 'one_class', 'unbalanced']
  state = automargin.init('q1', steps_per_epoch=len(names))
  assert isinstance(state, automargin.EpochQuantileState)
  current = margin_stats.margins(state)
  for epoch in range(2):
    lists = ([], [])
    for name in names:
      # Epochs differ: a histogram that is not emptied would show.
      batch = {**BATCHES[name], 'x': BATCHES[name]['x'] + np.float32(epoch)}
      assert margin_stats.margins(state) == current
      state = follow(state, batch['x'], relation_of(batch))
      for values, more in zip(lists, listed(batch), strict=True):
        values.extend(more)
    want = wanted(lists, 'q1')
    np.testing.assert_allclose(margin_stats.margins(state), want, atol=BIN)
    current = margin_stats.margins(state)


def test_an_epoch_without_a_triplet_keeps_the_quantile_margins():
  batch = BATCHES['one_class']
  state = automargin.init('q2', steps_per_epoch=2)
  before = margin_stats.margins(state)
  for _ in range(2):
    state = follow(state, batch['x'], relation_of(batch))
  assert margin_stats.margins(state) == before


def test_other_modes_measure_nothing():
  batch = BATCHES['random']
  state = automargin.init('step')
  assert automargin.measure(state, batch['x'], relation_of(batch)) is None


def test_quantile_modes_say_what_they_miss():
  with pytest.raises(errors.UsageError, match=r'automargin\.measure'):
    automargin.accumulate(automargin.init('q1'), margin_stats.stats(0.5, 0.5))


@jax.jit
def _triplet_loss(x, relation, margin):
  return losses.batch_all_triplet(
    x, relation, margin=margin, distance='euclidean', stats=True
  )


def test_the_plain_triplet_loss_has_an_automargin_too():
  batch = BATCHES['random']
  relation = relation_of(batch)
  lists = listed(batch, distance='euclidean')
  for mode, want in (
    ('step', np.mean(lists[0]) / 2.0),
    ('q2', np.quantile(lists[0], 0.5)),
  ):
    state = automargin.init(mode)
    _, stats = _triplet_loss(batch['x'], relation, state.margin)
    found = jax.jit(
      functools.partial(automargin.measure, distance='euclidean')
    )(state, batch['x'], relation)
    state = automargin.update(automargin.accumulate(state, stats, found))
    np.testing.assert_allclose(state.margin, want, rtol=1e-5)


def _found(state, rng):
  """Made-up quantile statistics of one batch."""
  if isinstance(state, automargin.EpochQuantileState):
    counts = rng.integers(0, 2**16, (2, 2, 4096)).astype(np.int32)
    return quantiles.Histograms(*jnp.asarray(counts))
  values = rng.uniform(0, 1, 4).astype(np.float32)
  return quantiles.Quantiles(*map(jnp.asarray, values))


@jax.jit
def _one(state, stats, found):
  return automargin.update(automargin.accumulate(state, stats, found))


def _start(name, form='paper'):
  mode, steps_per_epoch = MODES[name]
  return automargin.init(
    mode,
    form=form,
    beta=0.5,
    steps_per_epoch=steps_per_epoch,
    total_steps=80,
    beta_end=0.1,
  )


@pytest.mark.parametrize('form', ['paper', 'code'])
@every_mode
def test_37_and_63_updates_equal_100_bit_for_bit(name, form):
  rng = np.random.default_rng(4)
  start = _start(name, form)
  made = margin_stats.random_stats(100)
  found = [_found(start, rng) for _ in range(5)]

  def run(state, first, last):
    for k in range(first, last):
      state = _one(state, made[k], found[k % 5])
    return state

  whole = run(start, 0, 100)
  # Through plain arrays, as a checkpoint would take it.
  half = [
    np.asarray(leaf).copy() for leaf in jax.tree.leaves(run(start, 0, 37))
  ]
  again = run(jax.tree.unflatten(jax.tree.structure(start), half), 37, 100)
  for left, right in zip(
    jax.tree.leaves(whole), jax.tree.leaves(again), strict=True
  ):
    np.testing.assert_array_equal(left, right)


@every_mode
def test_the_state_keeps_its_structure_and_compiles_once(name):
  rng = np.random.default_rng(4)
  state = _start(name)
  traces = []

  @jax.jit
  def step(state, stats, found):
    traces.append(1)
    return automargin.update(automargin.accumulate(state, stats, found))

  after = state
  for stats in margin_stats.random_stats(3):
    after = step(after, stats, _found(state, rng))
  assert len(traces) == 1
  assert jax.tree.structure(after) == jax.tree.structure(state)
  for left, right in zip(
    jax.tree.leaves(state), jax.tree.leaves(after), strict=True
  ):
    assert (left.shape, left.dtype) == (right.shape, right.dtype)


def test_only_quantiles_over_epochs_add_to_a_checkpoint():
  plain = layouts.array_table(automargin.init('step'))
  assert layouts.array_table(automargin.init('q1')) == plain
  epoch = layouts.array_table(automargin.init('q1', steps_per_epoch=2))
  added = {name.split('/')[0] for name in epoch.keys() - plain.keys()}
  assert added == {'histograms'} and plain.items() <= epoch.items()


def test_a_long_epoch_loses_no_precision():
  # Totals of 2e5 triplets a step leave float32 after some hundred steps.
  steps_per_epoch = 2000
  gaps = np.float32(0.5 + 0.3 * np.sin(np.arange(steps_per_epoch)))
  state = automargin.init('epoch', steps_per_epoch=steps_per_epoch)
  one = margin_stats.stats(0.0, 0.4, triplets=193536.0)

  def body(state, gap):
    return margin_stats.advance(state, one._replace(mean_gap=gap)), None

  state, _ = jax.jit(functools.partial(jax.lax.scan, body))(state, gaps)
  want = np.mean(gaps.astype(np.float64)) / 2
  np.testing.assert_allclose(state.margin, want, rtol=1e-5)


class Network(nn.Module):
  """As small as a network can be."""

  @nn.compact
  def __call__(self, x, train):
    count = self.variable('batch_stats', 'count', lambda: jnp.zeros(()))
    count.value += 1.0
    return nn.Dense(6)(x.reshape(x.shape[0], -1))


@pytest.mark.parametrize(
  ('loss', 'over'), [('adatriplet', 'epoch'), ('triplet', 'batch')]
)
def test_a_config_with_quantiles_trains(rng, loss, over):
  config = tiny.config(
    '', automargin__mode='q1', automargin__quantile_over=over, loss__name=loss
  )
  devices = parallel.Parallel('shard_map', 2)
  state = state_lib.create(
    Network(),
    optax.sgd(0.0),
    margins.state(config, steps_per_epoch=2),
    seed=0,
    image_shape=(4, 4, 1),
  )
  step_fn = devices.data_parallel(
    functools.partial(
      steps.train_step,
      loss_fn=objectives.build(config).score,
      augment_fn=lambda images, key, position: images,
      seed=0,
    )
  )
  ids = np.arange(16, dtype=np.int32)
  batch = {
    'image': rng.random((16, 4, 4, 1)).astype(np.float32),
    'label': ids // 4,
    'item': ids,
    'position': ids,
  }
  x = Network().apply(
    {'params': state.params, 'batch_stats': {'count': 0.0}},
    batch['image'],
    train=True,
    mutable=['batch_stats'],
  )[0]
  want = wanted(listed({**batch, 'x': x, 'valid': ids >= 0}), 'q1')
  state = devices.replicate(state)
  metrics = devices.replicate(steps.TrainMetrics.empty())
  for number in (1, 2):
    state, metrics, _ = step_fn(state, metrics, devices.place(batch))
    if over == 'batch' or number == 2:
      tolerance = 1e-6 if over == 'batch' else BIN
      got = margin_stats.margins(state.automargin)
      np.testing.assert_allclose(got, want, atol=tolerance)
    else:
      assert margin_stats.margins(state.automargin) == (1.0, 1.0)


def test_an_unknown_window_is_answered_with_the_nearest():
  config = tiny.config('', automargin__quantile_over='epok')
  with pytest.raises(errors.UsageError, match="Did you mean 'epoch'"):
    margins.state(config, steps_per_epoch=2)
