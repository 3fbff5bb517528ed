"""Optimizers by name: decay, penalty, frozen parameters, rates of layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.training import optimizers
from tests import thin_networks

PARAMS = {
  'backbone': {
    'conv_stem': {'kernel': jnp.array([[3.0, -4.0]])},
    'norm_stem': {'scale': jnp.array([2.0])},
    'stage1_block1': {'conv1': {'kernel': jnp.array([[1.0]])}},
  },
  'head': {'dense': {'kernel': jnp.array([[2.0]]), 'bias': jnp.array([5.0])}},
}


def config(**changes):
  fields = {'optim__clip_norm': 0.0, 'optim__weight_decay': 0.0}
  fields |= {'optim__learning_rate': 0.1, 'model__cut': 'stage1'}
  return thin_networks.config(**fields | changes)


def updates_of(config, grads, params=PARAMS, num_steps=1):
  optimizer = optimizers.optimizer(config)
  state = optimizer.init(params)
  for _ in range(num_steps):
    updates, state = optimizer.update(grads, state, params)
  return updates


def ones(tree=PARAMS):
  return jax.tree.map(jnp.ones_like, tree)


def test_rmsprop_is_that_of_keras():
  updates = updates_of(config(optim__name='rmsprop'), ones(), num_steps=2)
  # v = 0.9 v + 0.1 g^2, twice from 0; -rate g / sqrt(v + 1e-7).
  want = -0.1 / np.sqrt(0.9 * 0.1 + 0.1 + 1e-7)
  for leaf in jax.tree.leaves(updates):
    np.testing.assert_allclose(leaf, want, rtol=1e-5)


def test_frozen_parameters_stay_and_do_not_count_for_clipping():
  settings = {'optim__name': 'sgd', 'optim__momentum': 0.0}
  settings |= {'optim__clip_norm': 1.0, 'optim__freeze': ('backbone/*',)}
  grads = jax.tree.map(lambda x: 1e6 * jnp.ones_like(x), PARAMS['backbone'])
  head = {'dense': {'kernel': jnp.array([[3.0]]), 'bias': jnp.array([4.0])}}
  got = updates_of(config(**settings), {'backbone': grads, 'head': head})
  assert not any(np.any(x) for x in jax.tree.leaves(got['backbone']))
  # A norm of 5 is clipped to 1.
  np.testing.assert_allclose(got['head']['dense']['kernel'], [[-0.06]], 1e-5)
  np.testing.assert_allclose(got['head']['dense']['bias'], [-0.08], 1e-5)


def test_layer_decay_falls_towards_the_input():
  # Layers: the stem, two blocks of stage 1, the head.
  settings = {'optim__name': 'sgd', 'optim__momentum': 0.0}
  got = updates_of(config(optim__layer_decay=0.5, **settings), ones())
  backbone = got['backbone']
  for update, rate in (
    (backbone['conv_stem']['kernel'], 0.1 / 8),
    (backbone['norm_stem']['scale'], 0.1 / 8),
    (backbone['stage1_block1']['conv1']['kernel'], 0.1 / 4),
    (got['head']['dense']['kernel'], 0.1),
  ):
    np.testing.assert_allclose(update, jnp.full_like(update, -rate), rtol=1e-6)


def test_rates_by_pattern_multiply():
  settings = {'optim__name': 'sgd', 'optim__momentum': 0.0}
  rates = ('backbone=0.5', '*/kernel=0.1')
  got = updates_of(config(optim__rates=rates, **settings), ones())
  stem = got['backbone']['conv_stem']['kernel'][0]
  np.testing.assert_allclose(stem, [-0.005, -0.005], rtol=1e-6)
  np.testing.assert_allclose(got['head']['dense']['bias'], [-0.1], rtol=1e-6)


def test_penalty_is_the_square_of_kernels_that_learn():
  assert optimizers.penalty(config()) is None
  whole = optimizers.penalty(config(optim__l2=0.5))
  np.testing.assert_allclose(whole(PARAMS), 0.5 * (9 + 16 + 1 + 4))
  fields = {'optim__l2': 0.5, 'optim__freeze': ('backbone/conv_stem',)}
  np.testing.assert_allclose(
    optimizers.penalty(config(**fields))(PARAMS), 0.5 * (1 + 4)
  )


def test_tables_of_positions_do_not_decay():
  params = {'pos_embed': jnp.ones((1, 3, 2)), 'dense': jnp.ones((2, 2))}
  mask = optimizers.is_kernel(params)
  assert mask == {'pos_embed': False, 'dense': True}


def test_l2_moves_kernels_as_its_gradient_says():
  """One step of SGD with and without; the difference is -2 rate l2 w."""
  fields = {
    'model__name': 'double_conv',
    'model__width': 1,
    'optim__name': 'sgd',
    'optim__momentum': 0.0,
    'optim__clip_norm': 0.0,
    'optim__weight_decay': 0.0,
    'optim__learning_rate': 0.1,
  }
  data = thin_networks.batch(8)
  before, plain, seen = thin_networks.train(
    thin_networks.config(**fields), data, 1
  )
  _, decayed, more = thin_networks.train(
    thin_networks.config(optim__l2=0.01, **fields), data, 1
  )
  start, plain, decayed = before[0], plain[0], decayed[0]
  kernel = start['backbone']['dense1']['kernel']
  got = (decayed['backbone']['dense1']['kernel'],)
  want = plain['backbone']['dense1']['kernel'] - 2 * 0.1 * 0.01 * kernel
  np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-6)
  kernels = [x for x in jax.tree.leaves(start) if x.ndim > 1]
  penalty = 0.01 * sum(np.sum(np.float64(x) ** 2) for x in kernels)
  np.testing.assert_allclose(more[0] - seen[0], penalty, rtol=1e-3)


@pytest.mark.parametrize('micro_batch', [0, 2])
def test_a_frozen_backbone_keeps_parameters_and_statistics(micro_batch):
  fields = {'model__name': 'double_conv', 'model__width': 1}
  fields |= {'optim__freeze': ('backbone/*1*', 'backbone/*_dense')}
  before, after, seen = thin_networks.train(
    thin_networks.config(**fields),
    thin_networks.batch(8),
    micro_batch=micro_batch,
  )
  assert np.isfinite(seen).all()
  for place in (0, 1):
    names = thin_networks.moved(before[place], after[place])
    assert names
    assert not any('1' in n or '_dense' in n for n in names), names
  assert 'backbone/conv2a/kernel' in thin_networks.moved(before[0], after[0])


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'optim__name': 'rmsprob'}, "mean 'rmsprop'"),
    ({'optim__layer_decay': 1.5}, 'above 0 and at most 1'),
    ({'optim__rates': ('backbone',)}, "'pattern=factor'"),
    ({'optim__rates': ('backbone=fast',)}, "'pattern=factor'"),
    ({'optim__rates': ('head=-1',)}, 'at least 0'),
  ],
)
def test_what_is_wrong_is_refused(fields, message):
  with pytest.raises(errors.UsageError, match=message):
    optimizers.optimizer(config(**fields))
  with pytest.raises(errors.UsageError, match='l2 must be at least 0'):
    optimizers.penalty(config(optim__l2=-1.0))


@pytest.mark.parametrize('field', ['freeze', 'rates'])
def test_a_pattern_that_matches_nothing_is_refused(field):
  value = 'backbon/*' if field == 'freeze' else 'backbon/*=0.5'
  optimizer = optimizers.optimizer(config(**{f'optim__{field}': (value,)}))
  with pytest.raises(errors.UsageError, match='matches no parameter'):
    optimizer.init(PARAMS)
