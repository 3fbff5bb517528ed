"""Every network, head and way of seeing grey, named in a config."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mammojax import errors
from mammojax.losses import siamese
from mammojax.models import backbones, embedder
from mammojax.training import networks
from tests import thin_networks

SIDES = {'inception_v3': 75, 'patch_net': 46}
WIDTHS = {'inception_v3': 0, 'vit_s16': 64}
LIGHT = ('double_conv', 'patch_net', 'resnet18')


@pytest.mark.parametrize(
  'name',
  [
    name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow)
    for name in backbones.KINDS
  ],
)
def test_two_steps_move_every_network(name):
  side = SIDES.get(name, 32)
  fields = {'model__name': name, 'model__width': WIDTHS.get(name, 4)}
  before, after, seen = thin_networks.train(
    thin_networks.config(**fields), thin_networks.batch(side)
  )
  assert np.isfinite(seen).all()
  names = thin_networks.moved(before[0], after[0])
  assert 'head/dense/kernel' in names
  assert any(name.startswith('backbone/') for name in names)
  assert (after[1] != {}) == bool(thin_networks.moved(before[1], after[1]))


@pytest.mark.parametrize(
  'fields',
  [
    pytest.param({'model__grey': 'replicate'}, marks=pytest.mark.slow),
    {'model__grey': 'learned'},
    pytest.param(
      {'model__head': 'none', 'model__normalize': False},
      marks=pytest.mark.slow,
    ),
    {'model__hidden': (8, 6), 'model__dropout': 0.3},
    {'model__cut': 'stage1', 'model__flatten': True},
  ],
  ids=['replicate', 'learned', 'none', 'layers', 'flat'],
)
def test_two_steps_with_every_head_and_grey(fields):
  before, after, seen = thin_networks.train(
    thin_networks.config(model__width=2, **fields),
    thin_networks.batch(16),
    num_steps=2,
  )
  assert np.isfinite(seen).all()
  names = thin_networks.moved(before[0], after[0])
  assert 'backbone/conv_stem/kernel' in names
  channels = before[0]['backbone']['conv_stem']['kernel'].shape[2]
  grey = fields.get('model__grey')
  assert channels == (3 if grey in ('replicate', 'learned') else 1)
  assert ('colour/mix/kernel' in names) == (grey == 'learned')
  wanted = (
    {f'dense{n}' for n in range(1, 3)} if 'model__hidden' in fields else {}
  )
  assert wanted == {} or wanted < set(before[0]['head'])


@pytest.mark.parametrize('grey', embedder.COLOURED)
def test_coloured_grey_starts_as_three_equal_channels(rng, grey):
  x = jnp.asarray(rng.random((2, 16, 16, 1)), jnp.float32)
  fields = {'model__width': 2, 'model__cut': 'stem'}
  scaling = {'mean': (0.4, 0.5, 0.6), 'std': (0.2, 0.3, 0.4)}
  of_grey = thin_networks.config(model__grey=grey, **fields)
  assert networks.input_channels(of_grey) == 3
  grey = networks.model(of_grey, axis_name=None, **scaling)
  colour = networks.model(
    thin_networks.config(data__channels=3, **fields), axis_name=None, **scaling
  )
  variables = grey.init(jax.random.key(0), x, False)
  got = grey.apply(variables, x, False)
  own = {k: v for k, v in variables['params'].items() if k != 'colour'}
  variables = {**variables, 'params': own}
  want = colour.apply(variables, np.repeat(x, 3, axis=-1), False)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  'micro_batch, num_devices',
  [pytest.param(2, 1, marks=pytest.mark.slow), (0, 4)],
)
def test_dropout_is_that_of_the_whole_batch(micro_batch, num_devices):
  fields = {
    'model__name': 'double_conv',
    'model__width': 1,
    'model__dropout': 0.5,
    'optim__name': 'sgd',
    # Norms of a micro-batch are others, so they stay as they are.
    'optim__freeze': ('*/norm*',),
    'optim__clip_norm': 0.0,
  }
  data = thin_networks.batch(8)
  _, want, seen = thin_networks.train(
    thin_networks.config(**fields), data, num_steps=2
  )
  _, got, again = thin_networks.train(
    thin_networks.config(**fields),
    data,
    num_steps=2,
    num_devices=num_devices,
    micro_batch=micro_batch,
  )
  np.testing.assert_allclose(again, seen, rtol=1e-5)
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6),
    got,
    want,
  )
  _, _, without = thin_networks.train(
    thin_networks.config(**fields | {'model__dropout': 0.0}), data, 1
  )
  assert abs(without[0] - seen[0]) > 1e-4


def two_steps(model, objective, images):
  """Losses of two steps of Adam, for heads that give logits."""
  variables = model.init(jax.random.key(0), images, False)
  optimizer = optax.adam(1e-2)

  @jax.jit
  def step(params, opt_state, number):
    key = jax.random.fold_in(jax.random.key(1), number)

    def loss(params):
      return objective({**variables, 'params': params}, {'dropout': key})

    value, grads = jax.value_and_grad(loss)(params)
    updates, opt_state = optimizer.update(grads, opt_state)
    return optax.apply_updates(params, updates), opt_state, value

  params, opt_state = variables['params'], optimizer.init(variables['params'])
  seen = []
  for number in range(2):
    params, opt_state, value = step(params, opt_state, number)
    seen.append(float(value))
  return thin_networks.moved(variables['params'], params), seen


def test_two_steps_of_a_classifier(rng):
  fields = {'model__name': 'double_conv', 'model__embedding_dim': 3}
  model = networks.model(
    thin_networks.config(
      model__head='classifier', model__hidden=(6,), **fields
    ),
    mean=(0.5,),
    std=(0.2,),
    axis_name=None,
  )
  images = jnp.asarray(rng.random((6, 8, 8, 1)), jnp.float32)

  def objective(variables, rngs):
    logits, _ = model.apply(
      variables, images, True, rngs=rngs, mutable=['batch_stats']
    )
    assert logits.shape == (6, 3)
    labels = jnp.arange(6) % 3
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, labels
    ).mean()

  names, seen = two_steps(model, objective, images)
  assert np.isfinite(seen).all()
  assert {'head/dense1/kernel', 'backbone/conv1a/kernel'} < names


def test_two_steps_of_a_pair_network(rng):
  fields = {'model__name': 'double_conv', 'model__embedding_dim': 1}
  model = networks.model(
    thin_networks.config(
      model__head='siamese', model__hidden=(6,), model__dropout=0.4, **fields
    ),
    mean=(0.5,),
    std=(0.2,),
    axis_name=None,
  )
  images = jnp.asarray(rng.random((3, 8, 8, 2)), jnp.float32)
  is_same = jnp.asarray([True, False, True])

  def objective(variables, rngs):
    logits, _ = model.apply(
      variables, images, True, rngs=rngs, mutable=['batch_stats']
    )
    assert logits.shape == (3, 1)
    return siamese.siamese_cross_entropy(logits, is_same)

  names, seen = two_steps(model, objective, images)
  assert np.isfinite(seen).all()
  assert {'head/mlp/dense1/kernel', 'backbone/conv1a/kernel'} < names


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'model__head': 'clasifier'}, "mean 'classifier'"),
    ({'model__grey': 'learnt'}, "mean 'learned'"),
    ({'model__grey': 'stem_sum'}, 'Known: learned, native, replicate'),
    ({'model__cut': 'stge3'}, "mean 'stage3'"),
    ({'model__grey': 'learned', 'data__channels': 3}, 'of 1 channel'),
    ({'model__head': 'none', 'model__hidden': (4,)}, 'no hidden layers'),
    ({'model__hidden': (4, 0)}, r'hidden\[1\] must be at least 1'),
    ({'model__dropout': 1.0}, r'dropout must be in \[0, 1\)'),
    ({'model__name': 'patch_net', 'model__flatten': True}, 'unrolls its map'),
    ({'model__dtype': 'flot32'}, "mean 'float32'"),
  ],
)
def test_what_does_not_fit_is_refused(fields, message):
  with pytest.raises(errors.UsageError, match=message):
    networks.model(
      thin_networks.config(**fields), mean=(0.5,), std=(0.2,), axis_name=None
    )


@pytest.mark.parametrize(
  'fields, message',
  [
    ({'model__head': 'classifier'}, "loss.name='logistic' in place of 'ada"),
    ({'model__head': 'siamese'}, "sampler.label='target' in place of 'subj"),
    ({'model__head': 'classifier'}, 'model.embedding_dim=1 in place of 8'),
    ({'loss__name': 'logistic'}, 'set model.head to one of classifier, si'),
  ],
)
def test_heads_and_losses_that_do_not_belong_together(fields, message):
  with pytest.raises(errors.UsageError, match=message):
    networks.check_head(thin_networks.config(**fields))


def test_what_is_frozen_depends_on_where_the_network_starts():
  fields = {
    'optim__freeze': ('head',),
    'optim__freeze_pretrained': ('backbone',),
  }
  scratch = thin_networks.config(**fields)
  assert networks.frozen(scratch) == ('head',)
  assert 'from scratch' in networks.remarks(scratch)[0]
  for name in ('weights', 'init_from'):
    given = thin_networks.config(**fields, **{f'model__{name}': 'a/b.h5'})
    assert networks.frozen(given) == ('head', 'backbone')
    assert networks.remarks(given) == []
    assert 'b.h5' in networks.start(given)


def test_grey_refuses_colour_images_at_trace_time():
  model = networks.model(
    thin_networks.config(model__grey='replicate'),
    mean=(0.5,),
    std=(0.2,),
    axis_name=None,
  )
  with pytest.raises(ValueError, match='images of 1 channel'):
    model.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), False)
