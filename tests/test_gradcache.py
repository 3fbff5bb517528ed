"""Micro-batches give the gradient of the same micro-batched network."""

import functools

from flax import linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec
import numpy as np
import optax
import pytest

from mammojax import errors, gradcache, losses
from mammojax.models import resnet
from mammojax.training import factory, margins, objectives, steps
from mammojax.training import state as state_lib
from tests import tiny

BATCH, SIZE = 16, 8
LABELS = np.array([0, 1, 2, 3, 0, 4, 5, 6, 7, 8, 8, 8, 8, 8, 9, 9], np.int32)


class Network(nn.Module):
  """The project's residual blocks, dropout and a dense layer."""

  axis_name: str | None = None
  rate: float = 0.3

  @nn.compact
  def __call__(self, x, train):
    backbone = resnet.ResNet(
      (1,), width=4, stem='cifar', axis_name=self.axis_name
    )
    x = backbone(x, train)
    x = nn.Dropout(self.rate, deterministic=not train)(x)
    return nn.Dense(6)(x)


def embedder(axis_name=None, rate=0.3):
  network = Network(axis_name, rate)

  def embed(params, batch_stats, images, key):
    embeddings, updates = network.apply(
      {'params': params, 'batch_stats': batch_stats},
      images,
      train=True,
      mutable=['batch_stats'],
      rngs=None if key is None else {'dropout': key},
    )
    return embeddings, updates['batch_stats']

  return embed


@functools.cache
def inputs():
  rng = np.random.default_rng(5)
  images = rng.normal(size=(BATCH, SIZE, SIZE, 1)).astype(np.float32)
  variables = jax.jit(functools.partial(Network().init, train=False))(
    jax.random.key(1), images[:1]
  )
  return images, variables['params'], variables['batch_stats']


def score(embeddings, label, axis_name=None):
  return losses.adatriplet(
    embeddings,
    label,
    margin=0.4,
    beta=0.1,
    axis_name=axis_name,
    stats=True,
  )


def assert_trees_close(got, want, share=1e-5):
  """To a share of the largest entry of the whole tree."""
  largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(want))
  assert largest > 1e-3
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=share * largest),
    got,
    want,
  )


@functools.cache
def direct(micro_batch, rate=0.3):
  """The micro-batched forward pass written out, differentiated as it is."""
  images, params, batch_stats = inputs()
  embed = jax.jit(embedder(rate=rate))

  def objective(params):
    carry, parts = batch_stats, []
    for index in range(BATCH // micro_batch):
      rows = slice(index * micro_batch, (index + 1) * micro_batch)
      key = jax.random.fold_in(jax.random.key(7), index)
      part, carry = embed(params, carry, images[rows], key)
      parts.append(part)
    embeddings = jnp.concatenate(parts)
    loss, stats = score(embeddings, jnp.asarray(LABELS))
    return loss, (stats, embeddings, carry)

  return jax.value_and_grad(objective, has_aux=True)(params)


@functools.cache
def graded():
  images, params, batch_stats = inputs()
  function = gradcache.value_and_grad(
    embedder(),
    lambda embeddings: score(embeddings, jnp.asarray(LABELS)),
    micro_batch=4,
  )
  return jax.jit(function)(params, batch_stats, images, jax.random.key(7))


def test_value_gradient_and_statistics_equal_the_direct_ones():
  (value, aux), grads = graded()
  (want, want_aux), want_grads = direct(4)
  assert float(want) > 0.05
  np.testing.assert_allclose(value, want, rtol=1e-5)
  assert_trees_close(grads, want_grads)
  for one, other in zip(aux, want_aux, strict=True):
    assert_trees_close(one, other)


def test_micro_batches_are_another_network_than_the_whole_batch():
  # Else the tests above could not tell whether each is normalised alone.
  images, params, batch_stats = inputs()
  (_, (_, embeddings, _)), _ = direct(4, 0.0)
  whole, _ = jax.jit(embedder(rate=0.0))(params, batch_stats, images, None)
  assert np.abs(whole - embeddings).max() > 1e-2


def test_running_statistics_pass_from_one_micro_batch_to_the_next():
  (_, (_, _, carry)), _ = graded()
  _, _, before = inputs()
  moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), carry, before)
  assert min(jax.tree.leaves(moved)) > 0


def test_devices_agree_with_one():
  # Micro-batch i is rows 4 i .. 4 i + 3 of every device: the same images in
  # another order on one device, with batch statistics over both devices.
  # Dropout is off: its masks depend on the number of rows.
  images, params, batch_stats = inputs()

  def run(axis_name, size, params, batch_stats, images, label):
    function = gradcache.value_and_grad(
      embedder(axis_name, rate=0.0),
      lambda embeddings: score(embeddings, label, axis_name)[0],
      micro_batch=size,
      has_aux=False,
    )
    (value, (_, _, carry)), grads = function(params, batch_stats, images)
    if axis_name is not None:
      grads = jax.lax.pmean(grads, axis_name)
    return value, grads, carry

  order = np.arange(BATCH).reshape(2, 2, 4).transpose(1, 0, 2).ravel()
  want = jax.jit(functools.partial(run, None, 8))(
    params, batch_stats, images[order], LABELS[order]
  )
  mesh = jax.make_mesh((2,), ('data',), axis_types=(AxisType.Auto,))
  rows, whole = PartitionSpec('data'), PartitionSpec()
  sharded = jax.shard_map(
    functools.partial(run, 'data', 4),
    mesh=mesh,
    in_specs=(whole, whole, rows, rows),
    out_specs=whole,
  )
  got = jax.jit(sharded)(params, batch_stats, images, LABELS)
  for one, other in zip(got, want, strict=True):
    assert_trees_close(one, other, 5e-5)


def one_step(micro_batch):
  """Change of the parameters in one step of plain SGD: the raw gradient."""
  images, params, batch_stats = inputs()
  config = tiny.config('', loss__name='adatriplet', automargin__mode='step')
  network = Network(rate=0.0)
  state = state_lib.create(
    network,
    optax.sgd(1.0),
    margins.state(config, steps_per_epoch=1),
    seed=0,
    image_shape=(SIZE, SIZE, 1),
  ).replace(params=params, batch_stats=batch_stats)
  step_fn = functools.partial(
    steps.train_step,
    loss_fn=lambda x, given: (
      score(x, given.relation, given.axis_name)[0],
      objectives.Seen(jnp.float32(0), jnp.float32(0)),
    ),
    augment_fn=lambda images, key, position: images,
    seed=0,
    micro_batch=micro_batch,
  )
  ids = np.arange(BATCH, dtype=np.int32)
  batch = {'image': images, 'label': LABELS, 'item': ids, 'position': ids}
  state, _, pulse = jax.jit(step_fn)(state, steps.TrainMetrics.empty(), batch)
  grads = jax.tree.map(lambda a, b: a - b, params, state.params)
  return pulse['loss'], grads, state.batch_stats


def test_a_loss_gets_the_gradient_of_its_own_parameters(rng):
  images = jnp.asarray(rng.normal(size=(6, 4)), jnp.float32)
  params = {
    'network': jnp.asarray(rng.normal(size=(4, 3)), jnp.float32),
    'loss': jnp.asarray(rng.normal(size=(2, 3)), jnp.float32),
  }
  label = jnp.asarray([0, 1, 1, 0, 1, 0], jnp.int32)

  def embed(params, carry, images, key):
    return jnp.tanh(images @ params['network']), carry

  def classify(params, embeddings):
    return losses.arcface(embeddings, label, params['loss'], scale=4.0)

  graded = gradcache.value_and_grad(
    embed, classify, micro_batch=2, has_aux=False, loss_has_params=True
  )
  (value, _), grads = graded(params, (), images)
  want, want_grads = jax.value_and_grad(
    lambda params: classify(params, embed(params, (), images, None)[0])
  )(params)
  np.testing.assert_allclose(value, want, rtol=1e-6)
  assert_trees_close(grads, want_grads)
  assert float(jnp.abs(grads['loss']).max()) > 1e-2


def test_a_training_step_in_micro_batches_equals_the_direct_gradient():
  loss, grads, batch_stats = one_step(4)
  (want, (_, _, want_stats)), want_grads = direct(4, 0.0)
  np.testing.assert_allclose(loss, want, rtol=1e-5)
  # The difference of two parameters is right to their own rounding.
  assert_trees_close(grads, want_grads, 1e-4)
  assert_trees_close(batch_stats, want_stats)


@pytest.mark.parametrize(('size', 'devices'), [(3, 1), (16, 2), (-1, 1)])
def test_a_size_that_does_not_divide_a_share_is_refused(size, devices):
  config = tiny.config('', train__micro_batch=size)
  with pytest.raises(errors.UsageError, match=r'micro_batch.*batch of 16'):
    factory.micro_batch(config, num_devices=devices)


def test_a_size_that_divides_is_taken():
  config = tiny.config('', train__micro_batch=4)
  assert factory.micro_batch(config, num_devices=2) == 4
  assert factory.micro_batch(tiny.config(''), num_devices=3) == 0


def test_wrong_sizes_are_refused_where_arrays_enter():
  images, params, batch_stats = inputs()
  with pytest.raises(ValueError, match='at least 1, got 0'):
    gradcache.value_and_grad(embedder(), score, micro_batch=0)
  function = gradcache.value_and_grad(embedder(), score, micro_batch=5)
  with pytest.raises(ValueError, match=r'16 rows.*micro-batches of 5'):
    function(params, batch_stats, images)
