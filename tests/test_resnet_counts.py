"""Parameters of the backbones, counted by hand and as published."""

import jax
import jax.numpy as jnp
import pytest

from mammojax import errors
from mammojax.models import backbones, freezing, resnet


def count(tree):
  return sum(x.size for x in jax.tree.leaves(tree))


def basic_count(blocks, width, channels):
  """Parameters and running statistics of a basic ResNet, layer by layer."""
  kernels, norms = 49 * channels * width, width
  inside = width
  for stage, number in enumerate(blocks):
    out = width * 2**stage
    for _ in range(number):
      kernels += 9 * inside * out + 9 * out * out
      norms += 2 * out
      if inside != out:
        kernels += inside * out
        norms += out
      inside = out
  return kernels + 2 * norms, 2 * norms


def bottleneck_count(blocks, width, channels):
  kernels, norms = 49 * channels * width, width
  inside = width
  for stage, number in enumerate(blocks):
    mid = width * 2**stage
    for _ in range(number):
      kernels += inside * mid + 9 * mid * mid + mid * 4 * mid
      norms += 6 * mid
      if inside != 4 * mid:
        kernels += inside * 4 * mid
        norms += 4 * mid
      inside = 4 * mid
  return kernels + 2 * norms, 2 * norms


@pytest.mark.parametrize(
  'name, blocks, arithmetic, published',
  [
    ('resnet18', (2, 2, 2, 2), basic_count, 11_176_512),
    ('resnet34', (3, 4, 6, 3), basic_count, 21_284_672),
    ('resnet50', (3, 4, 6, 3), bottleneck_count, 23_508_032),
  ],
)
def test_parameter_counts_are_the_published_ones(
  name, blocks, arithmetic, published
):
  model = backbones.build(name)
  shapes = jax.eval_shape(
    lambda k: model.init(k, jnp.zeros((1, 64, 64, 3)), train=False),
    jax.random.key(0),
  )
  params, statistics = arithmetic(blocks, 64, 3)
  assert params == published
  assert count(shapes['params']) == published
  assert count(shapes['batch_stats']) == statistics


def test_resnet18_has_9600_running_statistics():
  # Norm channels: 64 + 4 * 64 + 5 * 128 + 5 * 256 + 5 * 512, mean and variance.
  assert basic_count((2, 2, 2, 2), 64, 3)[1] == 9_600


# torchvision states its parameters, with a dense top for 1,000 classes and
# without running statistics; Keras would add the latter, counted here too.
@pytest.mark.parametrize(
  'name, published, features, statistics',
  [
    ('resnet34', 21_797_672, 512, 17_024),
    ('resnet50', 25_557_032, 2048, 53_120),
  ],
)
def test_counts_with_a_top_are_those_of_torchvision(
  name, published, features, statistics
):
  model = backbones.build(name)
  shapes = jax.eval_shape(
    lambda k: model.init(k, jnp.zeros((1, 64, 64, 3)), train=False),
    jax.random.key(0),
  )
  top = 1000 * (features + 1)
  assert count(shapes['params']) + top == published
  assert count(shapes['batch_stats']) == statistics


# Keras states all values together, running statistics among them: 25,636,712
# with a dense top for 1,000 classes.
def test_resnet50_of_keras_has_the_counts_of_keras():
  model = resnet.ResNet((3, 4, 6, 3), block=resnet.Bottleneck, style='keras')
  shapes = jax.eval_shape(
    lambda k: model.init(k, jnp.zeros((1, 64, 64, 3)), train=False),
    jax.random.key(0),
  )
  assert sum(freezing.count(shapes)) + 1000 * 2049 == 25_636_712
  assert freezing.count(shapes) == (23_534_592, 53_120)


def test_unknown_style_is_refused():
  model = resnet.ResNet((1,), width=2, style='kears')
  with pytest.raises(errors.UsageError, match="mean 'keras'"):
    model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
