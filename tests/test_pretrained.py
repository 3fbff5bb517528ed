"""Weights of files in our networks: names, refusals, files of our own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from mammojax import errors
from mammojax.models import embedder, pretrained, resnet

LAYERS = (
  'conv1', 'bn1',
  'layer1.0.conv1', 'layer1.0.bn1', 'layer1.0.conv2', 'layer1.0.bn2',
  'layer2.0.conv1', 'layer2.0.bn1', 'layer2.0.conv2', 'layer2.0.bn2',
  'layer2.0.downsample.0', 'layer2.0.downsample.1',
)  # fmt: skip
CONVS = {  # Output, input, side.
  'conv1': (4, 3, 7), 'layer1.0.conv1': (4, 4, 3), 'layer1.0.conv2': (4, 4, 3),
  'layer2.0.conv1': (8, 4, 3), 'layer2.0.conv2': (8, 8, 3),
  'layer2.0.downsample.0': (8, 4, 1),
}  # fmt: skip


def state_dict(rng):
  """A ResNet of two blocks as torchvision names and shapes its arrays."""
  state = {}
  for layer in LAYERS:
    if layer in CONVS:
      out, channels, side = CONVS[layer]
      state[f'{layer}.weight'] = rng.normal(size=(out, channels, side, side))
      continue
    size = 8 if layer.startswith('layer2') else 4
    for kind in ('weight', 'bias', 'running_mean', 'running_var'):
      state[f'{layer}.{kind}'] = rng.uniform(0.5, 1.5, size)
    state[f'{layer}.num_batches_tracked'] = np.array(7)
  state |= {'fc.weight': np.zeros((10, 8)), 'fc.bias': np.zeros(10)}
  return {k: v.astype('i8' if v.ndim == 0 else 'f4') for k, v in state.items()}


def small(channels=3, **options):
  """A ResNet of two blocks in an embedder, and its variables."""
  model = embedder.Embedder(
    resnet.ResNet((1, 1), width=4),
    embedder.heads.Mlp((), 5, normalize=True),
    (0.5,) * channels,
    (0.25,) * channels,
  )
  images = jnp.zeros((1, 32, 32, channels))
  return model, jax.jit(model.init, static_argnums=2)(
    jax.random.key(1), images, False
  )


@pytest.fixture(scope='module')
def network():
  return small()


@pytest.fixture
def state(rng):
  return state_dict(rng)


def saved(tmp_path, state):
  path = tmp_path / 'w.safetensors'
  safetensors.numpy.save_file(state, path)
  return path


@pytest.mark.parametrize('prefix', ['', 'module.', 'encoder.backbone.'])
def test_names_of_torchvision(tmp_path, network, state, prefix):
  _, variables = network
  file = {prefix + name: value for name, value in state.items()}
  if prefix:
    file['projector.0.weight'] = np.zeros((2, 2), np.float32)
  loaded = pretrained.load(saved(tmp_path, file), variables)
  params = loaded.variables['params']['backbone']
  stats = loaded.variables['batch_stats']['backbone']
  kernel = params['stage2_block1']['conv_shortcut']['kernel']
  for out in range(8):
    for channel in range(4):
      want = state['layer2.0.downsample.0.weight'][out, channel, 0, 0]
      assert kernel[0, 0, channel, out] == want
  np.testing.assert_array_equal(
    params['conv_stem']['kernel'][2, 5, 1], state['conv1.weight'][:, 1, 2, 5]
  )
  norm = params['stage1_block1']['norm2']
  np.testing.assert_array_equal(norm['scale'], state['layer1.0.bn2.weight'])
  np.testing.assert_array_equal(norm['bias'], state['layer1.0.bn2.bias'])
  norm = stats['stage2_block1']['norm_shortcut']
  for ours, theirs in (('mean', 'running_mean'), ('var', 'running_var')):
    np.testing.assert_array_equal(
      norm[ours], state[f'layer2.0.downsample.1.{theirs}']
    )
  record = loaded.record
  assert record['new'] == ['params/head/dense/bias', 'params/head/dense/kernel']
  assert record['names'] == 'torchvision' and record['summed'] == []
  assert len(record['loaded']) == len(CONVS) + 4 * (len(LAYERS) - len(CONVS))
  reasons = {record['skipped'][prefix + 'fc.weight']}
  reasons |= {record['skipped'][prefix + 'bn1.num_batches_tracked']}
  assert reasons == {'top', 'counter of batch norm'}
  assert record['loaded'].keys() | set(record['new']) == {
    jax.tree_util.keystr(path, simple=True, separator='/')
    for path, _ in jax.tree_util.tree_leaves_with_path(variables)
  }
  np.testing.assert_array_equal(
    loaded.variables['params']['head']['dense']['kernel'],
    variables['params']['head']['dense']['kernel'],
  )


def test_two_networks_in_one_file_are_refused(tmp_path, network, state):
  file = {
    prefix + name: value
    for name, value in state.items()
    for prefix in ('encoder_q.', 'encoder_k.')
  }
  with pytest.raises(errors.DataError, match=r"'encoder_k\.', 'encoder_q\."):
    pretrained.load(saved(tmp_path, file), network[1])


def test_grey_answers_as_grey_in_all_colours(tmp_path, network, state, rng):
  path = saved(tmp_path, state)
  model, variables = network
  coloured = pretrained.load(path, variables).variables
  grey_model, grey_variables = small(channels=1)
  loaded = pretrained.load(path, grey_variables)
  assert loaded.record['summed'] == ['params/backbone/conv_stem/kernel']
  images = jnp.float32(rng.uniform(size=(2, 32, 32, 1)))
  head = coloured['params']['head']
  grey = loaded.variables
  grey = {**grey, 'params': {**grey['params'], 'head': head}}
  np.testing.assert_allclose(
    grey_model.apply(grey, images, train=False),
    model.apply(coloured, jnp.repeat(images, 3, axis=-1), train=False),
    rtol=1e-4,
    atol=1e-5,
  )


def test_grey_stem_is_the_sum_over_colours(rng):
  kernel = np.float32(rng.normal(size=(2, 3, 3, 4)))
  want = kernel[:, :, :1] + kernel[:, :, 1:2] + kernel[:, :, 2:]
  got = pretrained.grey_stem(kernel)
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def renamed(state):
  state['layer1.0.convolution1.weight'] = state.pop('layer1.0.conv1.weight')
  return state


def changed(name, change):
  def apply(state):
    state[name] = change(state[name])
    return state

  return apply


def poisoned(value):
  value = value.copy()
  value.flat[:3] = np.nan, np.inf, -np.inf
  return value


def deeper(state):
  for number in range(1, 30):
    state[f'layer1.{number}.conv1.weight'] = state['layer1.0.conv1.weight']
  return state


BAD = {
  'renamed': (
    renamed,
    r'1 missing, 1 unexpected.*layer1.0.conv1.weight.*nearest: '
    r'layer1.0.convolution1.weight',
  ),
  'shape': (
    changed('conv1.weight', lambda x: x[:, :2]),
    r'1 shape.*\[7, 7, 2, 4\], wanted \[7, 7, 3, 4\]',
  ),
  'scalar': (
    changed('bn1.weight', lambda x: np.array(x[0])),
    r'1 shape.*\[\], wanted \[4\]',
  ),
  'integers': (
    changed('bn1.bias', lambda x: x.astype(np.int32)), '1 type.*I32'
  ),
  'not finite': (
    changed('layer2.0.conv2.weight', poisoned),
    'not finite.*layer2.0.conv2.weight.*3 of 576',
  ),
  'too large for float32': (
    changed('bn1.bias', lambda x: np.full(4, 1e300)),
    'not finite.*bn1.bias.*4 of 4',
  ),
  'variance below zero': (
    changed('bn1.running_var', np.negative), 'negative.*bn1.running_var'
  ),
  'more blocks': (deeper, '29 unexpected.*and 9 more'),
}  # fmt: skip


@pytest.mark.parametrize('spoil, message', BAD.values(), ids=BAD)
def test_what_does_not_fit_is_listed(tmp_path, network, state, spoil, message):
  path = saved(tmp_path, spoil(state))
  with pytest.raises(errors.DataError, match=f'(?s){message}') as caught:
    pretrained.load(path, network[1])
  # Twenty lines, a line before and at most two behind them.
  assert str(caught.value).count('\n') <= 23
  assert repr(str(path)) in str(caught.value)


def test_a_cut_network_skips_later_stages(tmp_path, state):
  model = resnet.ResNet((1,), width=4)
  variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False)
  loaded = pretrained.load(saved(tmp_path, state), variables)
  assert loaded.record['skipped']['layer2.0.conv1.weight'] == 'after the cut'
  assert loaded.record['new'] == []


def test_a_network_cut_after_its_stem_skips_every_stage(tmp_path, state):
  model = resnet.ResNet((1,), width=4, cut='stem')
  variables = model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), False)
  loaded = pretrained.load(saved(tmp_path, state), variables)
  assert loaded.record['skipped']['layer1.0.conv1.weight'] == 'after the cut'
  np.testing.assert_array_equal(
    loaded.variables['params']['conv_stem']['kernel'][0, 1],
    state['conv1.weight'][:, :, 0, 1].T,
  )


def test_other_publishers_are_refused_by_name(tmp_path, state):
  path = saved(tmp_path, state)
  tree = {
    'params': {
      'stem': {'branch1_conv1': {'conv': {'kernel': 0 * state['conv1.weight']}}}
    }
  }
  with pytest.raises(errors.UsageError, match=r'arithmetic differs.*Keras'):
    pretrained.load(path, tree)
  with pytest.raises(errors.UsageError, match=r'no published weights.*VGG16'):
    pretrained.load(path, {'params': {'conv1': {'kernel': np.zeros(3)}}})


def test_own_files_come_back_bit_for_bit(tmp_path, network, rng):
  model, variables = network
  variables = jax.tree.map(
    lambda x: jnp.float32(rng.uniform(0.5, 1.5, x.shape)), variables
  )
  description = {'model': {'width': 4}, 'mean': [0.1 + 0.2]}
  path = tmp_path / 'own.safetensors'
  path.write_bytes(pretrained.save(variables, description))
  assert pretrained.describe(path) == description
  loaded = pretrained.load(path, network[1])
  jax.tree.map(np.testing.assert_array_equal, loaded.variables, dict(variables))
  images = jnp.float32(rng.uniform(size=(2, 32, 32, 3)))
  np.testing.assert_array_equal(
    model.apply(loaded.variables, images, train=False),
    model.apply(variables, images, train=False),
  )
  assert loaded.record['new'] == [] and loaded.record['names'] == 'mammojax'


def test_own_file_with_another_head_gives_the_backbone_alone(tmp_path, network):
  _, variables = network
  path = tmp_path / 'own.safetensors'
  path.write_bytes(pretrained.save(variables, {}))
  head = {'dense': {'kernel': np.ones((8, 3), np.float32)}}
  other = {**variables, 'params': {**variables['params'], 'head': head}}
  loaded = pretrained.load(path, other)
  assert loaded.record['new'] == ['params/head/dense/kernel']
  np.testing.assert_array_equal(
    loaded.variables['params']['head']['dense']['kernel'], 1
  )
  assert 'newly initialised' in loaded.summary()


def test_saving_what_is_not_finite_is_refused(network):
  bad = jax.tree.map(lambda x: x * jnp.nan, network[1])
  with pytest.raises(errors.DataError, match='not finite float32'):
    pretrained.save(bad, {})
