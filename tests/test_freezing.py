"""Choosing parameters by name, and counting them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mammojax import errors
from mammojax.models import freezing

PARAMS = {
  'backbone': {
    'stem': {'conv': {'kernel': jnp.ones((3, 2))}, 'norm': {'bias': 1.0}},
    'stem2': {'conv': {'kernel': jnp.ones(4)}},
  },
  'head': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)},
}
PARAMS = jax.tree.map(jnp.asarray, PARAMS)


def frozen_names(patterns):
  tree = freezing.labels(PARAMS, patterns)
  assert jax.tree.structure(tree) == jax.tree.structure(PARAMS)
  return {
    jax.tree_util.keystr(path, simple=True, separator='/')
    for path, label in jax.tree_util.tree_leaves_with_path(tree)
    if label == freezing.FROZEN
  }


@pytest.mark.parametrize(
  'patterns, want',
  [
    ([], set()),
    (['head'], {'head/kernel', 'head/bias'}),
    (
      ['backbone/stem'],
      {'backbone/stem/conv/kernel', 'backbone/stem/norm/bias'},
    ),
    (['*/norm'], {'backbone/stem/norm/bias'}),
    (['*bias'], {'backbone/stem/norm/bias', 'head/bias'}),
    (
      ['backbone/stem?', 'head/[b]*'],
      {'backbone/stem2/conv/kernel', 'head/bias'},
    ),
  ],
)
def test_labels_freeze_what_a_pattern_or_its_parent_matches(patterns, want):
  assert frozen_names(patterns) == want


def test_mask_is_true_where_a_label_is_trainable():
  mask = freezing.trainable_mask(PARAMS, ['head/bias'])
  assert mask['head'] == {'kernel': True, 'bias': False}


@pytest.mark.parametrize('pattern', ['had', 'Head', 'backbone/stm', 'stem'])
def test_pattern_that_matches_nothing_is_refused(pattern):
  message = rf"'{pattern}' matches no parameter.* begin with: backbone, head"
  with pytest.raises(errors.UsageError, match=message):
    freezing.labels(PARAMS, ['head', pattern])


def test_refusal_names_what_is_near():
  with pytest.raises(errors.UsageError, match="mean 'backbone/stem'"):
    freezing.count({'params': PARAMS}, ['backbone/stm'])


def test_one_string_is_refused():
  with pytest.raises(errors.UsageError, match=r"write \['head'\]"):
    freezing.labels(PARAMS, 'head')


def test_frozen_parameters_stay_under_weight_decay():
  optimizer = freezing.freeze(
    optax.adamw(0.1, weight_decay=0.5), ['backbone', 'head/bias']
  )
  state = optimizer.init(PARAMS)
  updates, _ = optimizer.update(
    jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS
  )
  new = optax.apply_updates(PARAMS, updates)
  jax.tree.map(
    np.testing.assert_array_equal, new['backbone'], PARAMS['backbone']
  )
  np.testing.assert_array_equal(new['head']['bias'], PARAMS['head']['bias'])
  # The first step of adam is the rate; the decay adds half of it.
  np.testing.assert_allclose(new['head']['kernel'], 1 - 0.15, rtol=1e-5)
  # Two moments of the one array that moves, and a number of steps.
  assert sum(x.size for x in jax.tree.leaves(state)) == 2 * 4 + 1


def test_counts_add_statistics_to_what_is_frozen():
  variables = {'params': PARAMS, 'batch_stats': {'mean': jnp.ones(7)}}
  assert freezing.count(variables) == (17, 7)
  got = freezing.count(variables, ['backbone/stem'])
  assert got == freezing.Counts(trainable=10, frozen=14)
