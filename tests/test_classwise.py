"""ArcFace, SoftTriple and Proxy-Anchor against loops, with their weights."""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
import numpy as np
import pytest
import reference
import reference_classwise

from mammojax import errors, relations
from mammojax.losses import classwise

ROWS, DIM, CLASSES, CENTERS, DEVICES = 8, 3, 8, 2, 8
# name -> (loss, numbers that are traced, rows of weights per class)
LOSSES = {
  'arcface': (classwise.arcface, ('scale', 'margin'), 1),
  'soft_triplet': (
    functools.partial(classwise.soft_triplet, centers_per_class=CENTERS),
    ('gamma', 'scale', 'margin', 'tau'),
    CENTERS,
  ),
  'proxy_anchor': (classwise.proxy_anchor, ('alpha', 'margin'), 1),
}
NUMBERS = {
  'arcface': [(64.0, 0.5), (5.0, 2.0)],
  'soft_triplet': [(0.1, 20.0, 0.01, 0.2), (0.5, 4.0, 0.3, 0.0)],
  'proxy_anchor': [(32.0, 0.1), (4.0, 0.4)],
}
every_loss = pytest.mark.parametrize('name', LOSSES)


def _batches():
  """x float32 [8, 3], labels in [0, 8) and validity, by name."""
  rng = np.random.default_rng(4)
  labels = {
    'random': rng.integers(0, 5, ROWS),
    'unbalanced': np.array([3] * 5 + [1, 7, 0]),
    'one_class': np.full(ROWS, 2),
    'all_distinct': rng.permutation(ROWS),
    'duplicated': rng.integers(0, 5, ROWS),
    'padded': rng.integers(0, 5, ROWS),
    'collapsed': rng.integers(0, 5, ROWS),
  }
  made = {}
  for name, label in labels.items():
    made[name] = {
      'x': rng.normal(size=(ROWS, DIM)).astype(np.float32),
      'label': label.astype(np.int32),
      'valid': np.ones(ROWS, bool),
    }
  made['duplicated']['x'][[4, 6]] = made['duplicated']['x'][1]
  made['collapsed']['x'][:] = made['collapsed']['x'][0]
  made['padded']['valid'][[0, 5, 7]] = False
  # What stands in padding may be no class.
  made['padded']['label'][[0, 5]] = [-1, 4000]
  return made


BATCHES = _batches()


def weights_of(name):
  count = CLASSES * LOSSES[name][2]
  rows = np.random.default_rng(8).normal(size=(count, DIM))
  return (1.7 * rows).astype(np.float32)


def relation_of(batch):
  return relations.Relation(
    jnp.asarray(batch['label']), valid=jnp.asarray(batch['valid'])
  )


def assert_close(got, want, tolerance=3e-5):
  scale = max(float(np.abs(want).max()), 1e-3)
  np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def _function(name, reduction='mean', **fixed):
  loss_fn, names, _ = LOSSES[name]

  def function(x, weights, relation, numbers):
    options = dict(zip(names, numbers, strict=True), **fixed)
    return loss_fn(
      x, relation, weights, reduction=reduction, stats=True, **options
    )

  return jax.value_and_grad(function, (0, 1), has_aux=True)


@functools.cache
def jitted(name):
  return jax.jit(_function(name))


def _want(name, batch, weights, numbers, reduction='mean'):
  """Value and both gradients, from the loop alone."""
  numbers = numbers if name != 'soft_triplet' else (CENTERS, *numbers)

  def value(x, weights):
    return getattr(reference_classwise, name)(
      x, batch['label'], batch['valid'], weights, *numbers, reduction
    )

  x = batch['x']
  return value(x, weights), (
    reference.central_differences(lambda x: value(x, weights), x),
    reference.central_differences(lambda w: value(x, w), weights),
  )


def _check(function, name, key, numbers, reduction='mean'):
  batch, weights = BATCHES[key], weights_of(name)
  (value, _), grads = function(batch['x'], weights, relation_of(batch), numbers)
  want, want_grads = _want(name, batch, weights, numbers, reduction)
  np.testing.assert_allclose(value, want, rtol=2e-5, atol=1e-6)
  for grad, want_grad in zip(grads, want_grads, strict=True):
    assert np.abs(grad).max() > 0
    assert_close(grad, want_grad)


@pytest.mark.parametrize('key', BATCHES)
@every_loss
def test_values_and_both_gradients_equal_the_loop(name, key):
  _check(jitted(name), name, key, NUMBERS[name][0])


@pytest.mark.parametrize('key', ['random', 'padded'])
@every_loss
def test_other_numbers_are_traced(name, key):
  _check(jitted(name), name, key, NUMBERS[name][1])


@pytest.mark.parametrize(
  'name',
  [
    'proxy_anchor',
    pytest.param('soft_triplet', marks=pytest.mark.slow),
    pytest.param('arcface', marks=pytest.mark.slow),
  ],
)
def test_eager_sums_in_small_blocks_equal_the_loop(name):
  function = _function(name, 'sum', block=3)
  _check(function, name, 'padded', NUMBERS[name][0], 'sum')


@every_loss
def test_statistics_equal_the_loop(name):
  weights, numbers = weights_of(name), NUMBERS[name][0]
  for batch in BATCHES.values():
    (_, stats), _ = jitted(name)(
      batch['x'], weights, relation_of(batch), numbers
    )
    sims = reference_classwise.cosines(batch['x'], weights)
    if name == 'soft_triplet':
      sims = reference_classwise.class_similarity(
        batch['x'], weights, CENTERS, numbers[0]
      )
    want = reference_classwise.class_stats(sims, batch['label'], batch['valid'])
    np.testing.assert_allclose(stats, want, rtol=1e-5, atol=1e-6)


def test_arcface_by_hand():
  # 60 degrees to the own class and 0.2 radians more, 90 to the other.
  x = jnp.array([[0.5, 3**0.5 / 2, 0.0]])
  weights = jnp.array([[2.0, 0.0, 0.0], [0.0, 0.0, 3.0]])
  got = classwise.arcface(
    x, jnp.array([0], jnp.int32), weights, scale=3.0, margin=0.2
  )
  own = np.exp(3.0 * np.cos(np.pi / 3 + 0.2))
  np.testing.assert_allclose(got, -np.log(own / (own + 1.0)), rtol=1e-6)


def test_arcface_at_angles_of_zero_and_pi_has_finite_gradients():
  batch = dict(BATCHES['all_distinct'])
  weights = weights_of('arcface')
  sign = np.where(np.arange(ROWS) % 2, 1.0, -1.0)[:, None]
  for nudge in (0.0, 1e-7, 1e-5, 1e-3):
    batch['x'] = (
      sign * weights[batch['label']] + nudge * BATCHES['random']['x']
    ).astype(np.float32)
    for numbers in ((64.0, 0.5), (8.0, 0.0), (8.0, 3.0)):
      (value, _), grads = jitted('arcface')(
        batch['x'], weights, relation_of(batch), numbers
      )
      want = reference_classwise.arcface(
        batch['x'], batch['label'], batch['valid'], weights, *numbers
      )
      np.testing.assert_allclose(value, want, rtol=2e-3)
      assert all(np.isfinite(grad).all() for grad in grads)
      assert max(np.abs(grad).max() for grad in grads) < 4 * numbers[0]


def test_arcface_falls_with_the_cosine_beyond_pi_minus_the_margin():
  # Slowly from the own class to its opposite: the loss never falls.
  angle = np.linspace(0.01, np.pi - 0.01, ROWS)
  x = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
  weights = np.eye(DIM)[[0] + [2] * 7].astype(np.float32)
  got = [
    jitted('arcface')(
      np.tile(row, (ROWS, 1)).astype(np.float32),
      weights,
      relation_of(BATCHES['one_class'] | {'label': np.zeros(ROWS, np.int32)}),
      (8.0, 0.5),
    )[0][0]
    for row in x
  ]
  assert (np.diff(got) > 0).all()


@every_loss
def test_length_and_extremes_change_nothing(name):
  batch, weights = BATCHES['random'], weights_of(name)
  run = functools.partial(jitted(name), relation=relation_of(batch))
  (want, _), want_grads = run(batch['x'], weights, numbers=NUMBERS[name][0])
  for scale in (1e-4, 1e4):
    (value, _), grads = run(
      batch['x'] * np.float32(scale),
      weights / np.float32(scale),
      numbers=NUMBERS[name][0],
    )
    np.testing.assert_allclose(value, want, rtol=1e-4)
    assert_close(grads[0] * scale, want_grads[0], 1e-3)
    assert_close(grads[1] / scale, want_grads[1], 1e-3)
  steep = {
    'arcface': (1e6, 0.5),
    'soft_triplet': (1e-6, 1e6, 0.0, 0.2),
    'proxy_anchor': (1e6, 0.1),
  }
  x = batch['x'].copy()
  x[:3] = 0.0
  (value, _), grads = run(x, weights, numbers=steep[name])
  assert np.isfinite(value)
  assert all(np.isfinite(grad).all() for grad in grads)


@every_loss
def test_padding_is_never_read_and_permutation_changes_nothing(name):
  batch, weights = BATCHES['padded'], weights_of(name)
  numbers = NUMBERS[name][0]
  (want, _), (grad, _) = jitted(name)(
    batch['x'], weights, relation_of(batch), numbers
  )
  other = dict(batch, x=batch['x'].copy(), label=batch['label'].copy())
  other['x'][~batch['valid']] *= 1e3
  other['label'][~batch['valid']] = batch['label'][1]
  (value, _), (again, _) = jitted(name)(
    other['x'], weights, relation_of(other), numbers
  )
  assert value == want
  np.testing.assert_array_equal(again, grad)
  assert not np.asarray(grad)[~batch['valid']].any()
  order = np.random.default_rng(2).permutation(ROWS)
  moved = {key: value[order] for key, value in batch.items()}
  (value, _), (again, _) = jitted(name)(
    moved['x'], weights, relation_of(moved), numbers
  )
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert_close(again, np.asarray(grad)[order])


@every_loss
def test_a_batch_of_padding_pulls_nothing(name):
  batch = BATCHES['random'] | {'valid': np.zeros(ROWS, bool)}
  weights = weights_of(name)
  numbers = list(NUMBERS[name][0])
  if name == 'soft_triplet':
    numbers[3] = 0.0
  (value, stats), grads = jitted(name)(
    batch['x'], weights, relation_of(batch), tuple(numbers)
  )
  assert value == 0 and not any(np.asarray(grad).any() for grad in grads)
  assert tuple(stats) == (0, 0, 0)


def test_equal_centers_have_no_spread_and_finite_gradients():
  batch, weights = BATCHES['random'], weights_of('soft_triplet')
  weights = np.repeat(weights[::CENTERS], CENTERS, axis=0)
  (_, stats), grads = jitted('soft_triplet')(
    batch['x'], weights, relation_of(batch), (0.1, 20.0, 0.01, 1.0)
  )
  assert stats.num_selected == ROWS
  assert all(np.isfinite(grad).all() for grad in grads)


def test_one_center_a_class_is_a_softmax_without_regulariser():
  batch, weights = BATCHES['random'], weights_of('arcface')
  got = classwise.soft_triplet(
    batch['x'], batch['label'], weights, centers_per_class=1, tau=5.0,
    margin=0.0,
  )  # fmt: skip
  want = reference_classwise.arcface(
    batch['x'], batch['label'], batch['valid'], weights, 20.0, 0.0
  )
  np.testing.assert_allclose(got, want, rtol=1e-5)


@every_loss
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  loss_fn, _, _ = LOSSES[name]
  batch = BATCHES['padded']
  loss, _ = jax.eval_shape(
    lambda x: loss_fn(x, relation_of(batch), weights_of(name), stats=True),
    batch['x'],
  )
  assert loss.shape == () and loss.dtype == jnp.float32


@every_loss
def test_half_precision_is_widened(name):
  loss_fn, _, _ = LOSSES[name]
  batch, weights = BATCHES['random'], weights_of(name)
  got = jax.eval_shape(
    loss_fn,
    batch['x'].astype(jnp.bfloat16),
    batch['label'],
    weights.astype(jnp.bfloat16),
  )
  assert got.dtype == jnp.float32


@every_loss
def test_a_label_that_is_no_class_is_an_error_or_nan(name):
  loss_fn, _, _ = LOSSES[name]
  batch, weights = BATCHES['random'], weights_of(name)
  for bad in (-1, CLASSES):
    label = batch['label'].copy()
    label[5] = bad
    with pytest.raises(ValueError, match=f'Row 5 has label {bad}'):
      loss_fn(batch['x'], jnp.asarray(label), weights)
    with pytest.raises(ValueError, match='Row 5'):
      jax.jit(lambda x, label=label: loss_fn(x, label, weights))(batch['x'])
    (value, _), (grad, weight_grad) = jitted(name)(
      batch['x'],
      weights,
      relation_of(batch | {'label': label}),
      NUMBERS[name][0],
    )
    assert np.isnan(value)
    assert np.isnan(grad).any() and np.isnan(weight_grad).any()


@every_loss
def test_wrong_arguments_are_refused(name):
  loss_fn, _, count = LOSSES[name]
  batch, weights = BATCHES['random'], weights_of(name)
  x, label = batch['x'], batch['label']
  for shape in ((16, 4), (0, DIM), (16,)):
    with pytest.raises(ValueError, match='class_weights'):
      loss_fn(x, label, np.zeros(shape, np.float32))
  with pytest.raises(TypeError, match='int32'):
    loss_fn(x, label.astype(np.float32), weights)
  with pytest.raises(TypeError, match='floating'):
    loss_fn(x, label, weights.astype(np.int32))
  with pytest.raises(errors.UsageError, match="'mean'"):
    loss_fn(x, label, weights, reduction='meen')
  with pytest.raises(ValueError, match='margin'):
    loss_fn(x, label, weights, margin=-0.1)
  with pytest.raises(ValueError, match=r'\(8,\)'):
    loss_fn(x, label[:6], weights)
  if count > 1:
    with pytest.raises(ValueError, match='class_weights'):
      loss_fn(x, label, weights[:15])
    with pytest.raises(ValueError, match='centers_per_class'):
      loss_fn(x, label, weights, centers_per_class=0)
    with pytest.raises(ValueError, match='gamma'):
      loss_fn(x, label, weights, gamma=0.0)


def test_degrees_are_refused():
  batch = BATCHES['random']
  with pytest.raises(ValueError, match='radians'):
    classwise.arcface(
      batch['x'], batch['label'], weights_of('arcface'), margin=28.6
    )


def test_initial_weights_are_distinct_directions():
  weights = classwise.init_class_weights(jax.random.key(3), 5, 7, 2)
  assert weights.shape == (10, 7) and weights.dtype == jnp.float32
  np.testing.assert_allclose(np.linalg.norm(weights, axis=1), 1, rtol=1e-6)
  cos = np.asarray(weights @ weights.T) - np.eye(10)
  assert cos.max() < 0.99
  for sizes in ((0, 7, 1), (5, 0, 1), (5, 7, 0)):
    with pytest.raises(ValueError, match='at least 1'):
      classwise.init_class_weights(jax.random.key(3), *sizes)


# Eight devices. Embeddings are rows times a replicated matrix; both it and
# the class weights are trained.
def _global_batch():
  rng = np.random.default_rng(9)
  label = np.array([0] * 9 + [1] * 4 + [2] * 3 + [7] * 8 + list(range(8)))
  return {
    'x': rng.normal(size=(32, 5)).astype(np.float32),
    'm': rng.normal(size=(5, DIM)).astype(np.float32),
    'label': label.astype(np.int32),
    'valid': (np.arange(32) < 20) | (np.arange(32) > 29),
  }


def _step(name, axis_name):
  def step(params, x, relation):
    def function(params):
      embeddings = x @ params[0]
      return LOSSES[name][0](
        embeddings, relation, params[1], axis_name=axis_name, stats=True
      )

    (value, stats), grads = jax.value_and_grad(function, has_aux=True)(params)
    if axis_name is not None:
      grads = jax.lax.pmean(grads, axis_name)
    return value, stats, grads

  return step


@functools.cache
def _one_device(name):
  return _run(name, 'one', _global_batch())


def _run(name, transform, batch):
  params = (batch['m'], weights_of(name))
  rows = (batch['x'], relation_of(batch))
  if transform == 'one':
    return jax.jit(_step(name, None))(params, *rows)
  if transform == 'pmap':
    split = jax.tree.map(
      lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), rows
    )
    step = jax.pmap(
      _step(name, 'data'),
      axis_name='data',
      in_axes=(None, 0, 0),
      out_axes=None,
    )
    return step(params, *split)
  mesh = jax.make_mesh((DEVICES,), ('data',), axis_types=(AxisType.Auto,))
  split = PartitionSpec('data')
  step = jax.shard_map(
    _step(name, 'data'),
    mesh=mesh,
    in_specs=(PartitionSpec(), split, split),
    out_specs=PartitionSpec(),
  )
  return jax.jit(step)(params, *rows)


@pytest.mark.parametrize(
  'name, transform',
  [
    ('arcface', 'pmap'),
    ('soft_triplet', 'shard_map'),
    ('proxy_anchor', 'shard_map'),
    pytest.param('arcface', 'shard_map', marks=pytest.mark.slow),
    pytest.param('soft_triplet', 'pmap', marks=pytest.mark.slow),
    pytest.param('proxy_anchor', 'pmap', marks=pytest.mark.slow),
  ],
)
def test_eight_devices_equal_one(name, transform):
  batch = _global_batch()
  value, stats, grads = _run(name, transform, batch)
  want, want_stats, want_grads = _one_device(name)
  assert want > 0.1 and all(np.abs(grad).max() > 1e-3 for grad in want_grads)
  np.testing.assert_allclose(value, want, rtol=2e-6)
  np.testing.assert_allclose(stats, want_stats, rtol=1e-5)
  for grad, want_grad in zip(grads, want_grads, strict=True):
    assert_close(grad, want_grad, 3e-6)


@pytest.mark.slow
def test_a_bad_label_on_one_device_stops_all():
  batch = _global_batch()
  batch['label'][2] = 8
  value, _, grads = _run('proxy_anchor', 'shard_map', batch)
  assert np.isnan(value) and all(np.isnan(grad).any() for grad in grads)
