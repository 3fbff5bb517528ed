"""Runs a function on eight devices, by shard_map or by pmap."""

import jax
from jax.sharding import AxisType, PartitionSpec
import numpy as np

DEVICES = 8
AXIS = 'data'
TRANSFORMS = ('shard_map', 'pmap')


def run(function, transform, replicated, split, splits_output=False):
  """function(*replicated, *split) with the rows of `split` shared out.

  Args:
    function: may use the device axis AXIS.
    transform: one of TRANSFORMS.
    replicated: tuple of pytrees, the same on every device.
    split: tuple of pytrees whose leaves have a multiple of DEVICES rows.
    splits_output: the result is rows of each device, put together again;
      otherwise it must be equal on all of them.
  """
  rows = PartitionSpec(AXIS)
  if transform == 'shard_map':
    mesh = jax.make_mesh((DEVICES,), (AXIS,), axis_types=(AxisType.Auto,))
    mapped = jax.shard_map(
      function,
      mesh=mesh,
      in_specs=(PartitionSpec(),) * len(replicated) + (rows,) * len(split),
      out_specs=rows if splits_output else PartitionSpec(),
    )
    return jax.jit(mapped)(*replicated, *split)
  mapped = jax.pmap(
    function,
    axis_name=AXIS,
    in_axes=(None,) * len(replicated) + (0,) * len(split),
    out_axes=0 if splits_output else None,
  )
  by_device = jax.tree.map(
    lambda leaf: leaf.reshape((DEVICES, -1) + leaf.shape[1:]), split
  )
  out = mapped(*replicated, *by_device)
  if not splits_output:
    return out
  return jax.tree.map(
    lambda leaf: np.asarray(leaf).reshape((-1,) + leaf.shape[2:]), out
  )


def global_batch():
  """32 rows: five labels crowd the first devices, the last have no pair.

  One image occurs twice and one row is padding. Embeddings are `x @ w`, so
  that a gradient by the replicated `w` crosses the gather and both places a
  row is used in.
  """
  rng = np.random.default_rng(9)
  label = [0] * 9 + [1] * 4 + [2] * 3 + list(range(10, 26))
  item = np.arange(32)
  item[5] = item[2]
  x = rng.normal(size=(32, 7)).astype(np.float32)
  x[5] = x[2]
  return {
    'x': x,
    'w': rng.normal(size=(7, 5)).astype(np.float32),
    'label': np.array(label, np.int32),
    'item': item.astype(np.int32),
    'valid': np.arange(32) != 11,
  }


def loss_and_gradient(loss, transform, batch, relation):
  """(value, stats, gradient by w) on eight devices, or on one ('one').

  Args:
    loss: (embeddings, relation, axis_name=, stats=) -> (value, stats).
    transform: one of TRANSFORMS, or 'one'.
    batch: 'x' and 'w', as `global_batch` has them.
    relation: pytree of rows.
  """

  def function(w, x, relation, **options):
    return loss(x @ w, relation, **options)

  return value_and_gradient(
    function, transform, batch['w'], (batch['x'], relation)
  )


def value_and_gradient(function, transform, params, rows):
  """(value, stats, gradient by the parameters), see `loss_and_gradient`.

  Args:
    function: (params, *rows, axis_name=, stats=) -> (value, stats).
    transform: one of TRANSFORMS, or 'one'.
    params: pytree, the same on every device.
    rows: tuple of pytrees that are shared out.
  """
  axis_name = None if transform == 'one' else AXIS

  def step(params, *rows):
    def of_params(params):
      return function(params, *rows, axis_name=axis_name, stats=True)

    (value, stats), grad = jax.value_and_grad(of_params, has_aux=True)(params)
    if axis_name is not None:
      grad = jax.lax.pmean(grad, AXIS)
    return value, stats, grad

  if transform == 'one':
    return jax.jit(step)(params, *rows)
  return run(step, transform, (params,), rows)
