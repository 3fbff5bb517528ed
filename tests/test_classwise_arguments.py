"""Dtypes, labels and options of the losses on class weights."""

from classwise_cases import (
  BATCHES,
  CLASSES,
  DIM,
  LOSSES,
  NUMBERS,
  jitted,
  weights_of,
)
import jax
import jax.numpy as jnp
from loss_checks import relation_of
import numpy as np
import pytest

from mammojax import errors
from mammojax.losses import classwise

every_loss = pytest.mark.parametrize('name', LOSSES)


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
