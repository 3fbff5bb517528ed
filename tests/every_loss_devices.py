"""A batch in unequal shares, and the step that devices take on it."""

import functools

import every_loss
import jax
import numpy as np

DEVICES = 8
# The first devices hold all pairs, the last have a row of each label.
CROWDED = [0] * 9 + [1] * 4 + [2] * 3 + list(range(10, 26))


@functools.cache
def global_batch():
  """32 rows, 4 a device; labels crowd the first, the last have no pair."""
  rng = np.random.default_rng(9)
  item = np.arange(4 * DEVICES, dtype=np.int32)
  item[5] = item[2]
  x = rng.normal(size=(4 * DEVICES, 7)).astype(np.float32)
  x[5] = x[2]
  valid = np.ones(4 * DEVICES, bool)
  # The last device but one has nothing at all, others a part of their rows.
  valid[[1, 11, 16, 17, *range(24, 28)]] = False
  label = np.array(CROWDED, np.int32)
  return {'x': x, 'label': label, 'item': item, 'valid': valid}


def parameters_of(case):
  """What is trained: a matrix for the rows, and class weights."""
  rng = np.random.default_rng(10)
  made = {'w': rng.normal(size=(7, every_loss.DIM)).astype(np.float32)}
  if case.kind == 'classes':
    made['class_weights'] = case.options['class_weights']
  return made


def step_of(case, axis_name):
  """f(parameters, x, relation) -> value, gradients averaged once."""

  def step(parameters, x, relation):
    def function(parameters):
      trained = dict(parameters)
      rows = x @ trained.pop('w')
      return case(rows, relation, axis_name=axis_name, **trained)

    value, grads = jax.value_and_grad(function)(parameters)
    if axis_name is not None:
      grads = jax.lax.pmean(grads, axis_name)
    return value, grads

  return step
