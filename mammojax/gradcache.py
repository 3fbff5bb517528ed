"""Gradients of a loss over a batch that is embedded in micro-batches.

    graded = gradcache.value_and_grad(embed_fn, loss_fn, micro_batch=32)
    (value, (aux, embeddings, carry)), grads = graded(
      params, carry, images, key
    )

`embed_fn(params, carry, inputs, key) -> (embeddings, carry)` embeds one
micro-batch; `loss_fn(embeddings) -> (float32[], aux)` sees all of them, so a
batch-all loss still compares every image with every other. Activations of one
micro-batch exist at a time, embeddings of all:

    1. embed every micro-batch, keep the embeddings alone
    2. the loss and its gradient with respect to the embeddings
    3. embed every micro-batch again, and pull that gradient back

Both passes give micro-batch i the same key, `fold_in(key, i)`, and the same
carry, which goes from one micro-batch to the next (running statistics of
batch norm: new ones come out after the last). A batch norm therefore
normalises each micro-batch on its own, in both passes alike: what comes out
is the gradient of that micro-batched network, not of one that sees the whole
batch. No gradient flows through the carry.

Source: Gao et al. 2021, arXiv:2101.06983, section 3.2.
Differs: keys and running statistics are part of the interface; the paper
restores the state of a random generator.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mammojax import errors, numerics


def value_and_grad(
  embed_fn: Callable[..., tuple[jax.Array, Any]],
  loss_fn: Callable[..., Any],
  *,
  micro_batch: int,
  has_aux: bool = True,
  loss_has_params: bool = False,
) -> Callable[..., tuple[tuple[jax.Array, Any], Any]]:
  """A function like that of `jax.value_and_grad`, in micro-batches.

  Args:
    embed_fn: see the module; the carry it returns has the shapes and dtypes
      of the one it got.
    loss_fn: float[b, d] -> (float32[], aux), or float32[] if not has_aux. It
      may use a device axis, as every loss of `mammojax.losses` does; then
      average the gradients over the axis once, as without micro-batches.
    micro_batch: rows embedded at a time; divides b.
    has_aux: whether loss_fn returns a pair.
    loss_has_params: call loss_fn(params, embeddings), for a loss that trains
      something of its own, such as class weights among the params.

  Returns:
    (params, carry, inputs, key=None) -> ((value, (aux, embeddings, carry)),
    gradients of params); inputs is a pytree of [b, ...], aux is None if not
    has_aux. Two forward passes and one backward pass; memory is that of one
    micro-batch and of all embeddings.

  Raises:
    ValueError: micro_batch is below 1, or does not divide b.
  """
  if micro_batch < 1:
    raise errors.UsageError(
      f'micro_batch must be at least 1, got {micro_batch}.'
    )

  def loss_and_aux(params, embeddings):
    inputs = (params, embeddings) if loss_has_params else (embeddings,)
    return loss_fn(*inputs) if has_aux else (loss_fn(*inputs), None)

  def graded(params, carry, inputs, key=None):
    parts = _split(inputs, micro_batch)
    embeddings, new_carry = _embed(embed_fn, params, carry, parts, key)
    shape = embeddings.shape
    embeddings = embeddings.reshape((-1, *shape[2:]))
    (value, aux), (own, cached) = jax.value_and_grad(
      loss_and_aux, (0, 1), has_aux=True
    )(params, embeddings)
    cached = cached.reshape(shape)
    grads = _pull_back(embed_fn, params, carry, parts, key, cached)
    if loss_has_params:
      grads = jax.tree.map(jnp.add, grads, own)
    return (value, (aux, embeddings, new_carry)), grads

  return graded


def _split(inputs, size):
  """[b, ...] -> [b / size, size, ...] for every leaf."""

  def split(leaf):
    if leaf.shape[0] % size:
      raise errors.UsageError(
        f'A share of {leaf.shape[0]} rows cannot be embedded in micro-batches '
        f'of {size}: choose a micro_batch that divides it.'
      )
    return leaf.reshape((-1, size) + leaf.shape[1:])

  return jax.tree.map(split, inputs)


def _numbered(parts):
  """The parts with their index, which makes their keys."""
  count = jax.tree.leaves(parts)[0].shape[0]
  return jnp.arange(count, dtype=jnp.int32), parts


def _key_of(key, index):
  return None if key is None else jax.random.fold_in(key, index)


def _embed(embed_fn, params, carry, parts, key):
  """First pass: embeddings [parts, size, d] and the last carry."""

  def visit(carry, numbered):
    index, part = numbered
    embeddings, carry = embed_fn(params, carry, part, _key_of(key, index))
    return jax.lax.stop_gradient(carry), embeddings

  carry, embeddings = jax.lax.scan(visit, carry, _numbered(parts))
  return embeddings, carry


def _pull_back(embed_fn, params, carry, parts, key, cached):
  """Second pass: gradients of params from those of the embeddings."""
  # Inside a checked `shard_map` params are one value for all devices, and
  # their gradient is summed over the devices wherever it is taken. Params
  # that vary put this sum behind the scan: once, not once a micro-batch.
  varied, pull_params = jax.vjp(
    lambda params: numerics.vary_like(params, cached), params
  )

  def visit(so_far, numbered):
    carry, grads = so_far
    index, (part, cotangent) = numbered

    def embed(params):
      return embed_fn(params, carry, part, _key_of(key, index))

    _, pull, carry = jax.vjp(embed, varied, has_aux=True)
    (more,) = pull(cotangent)
    grads = jax.tree.map(jnp.add, grads, more)
    return (jax.lax.stop_gradient(carry), grads), None

  zeros = jax.tree.map(jnp.zeros_like, varied)
  (_, grads), _ = jax.lax.scan(
    visit, (carry, zeros), _numbered((parts, cached))
  )
  (grads,) = pull_params(grads)
  return grads
