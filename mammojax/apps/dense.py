"""Training of a small dense network on embeddings that fit into memory."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

BATCH = 128
LEARNING_RATE = 1e-3


def orders(num: int, epochs: int, seed: int) -> np.ndarray:
  """Rows of each batch of each epoch.

  Args:
    num: rows.
    epochs: epochs.
    seed: of the order.

  Returns:
    int32[epochs, steps, batch]; -1 fills up the last batch.
  """
  size = min(BATCH, num)
  steps = -(-num // size)
  rng = np.random.default_rng(seed)
  orders = np.full((epochs, steps * size), -1, np.int32)
  for order in orders:
    order[:num] = rng.permutation(num)
  return orders.reshape(epochs, steps, size)


@functools.partial(jax.jit, static_argnames='model')
def train(model, params, examples, choice, orders):
  """Adam on a weighted binary cross-entropy, all epochs in one program.

  Args:
    model: flax module, float32[b, d] and `train` to float32[b, 1].
    params: where it starts.
    examples: (float32[n, d], float32[n] 0 or 1, float32[n] weights).
    choice: the same of other examples, whose weighted loss chooses.
    orders: of `orders`.

  Returns:
    (parameters of the epoch of the least loss on `choice`, curves: name ->
    float32[epochs]).
  """
  optimizer = optax.adam(LEARNING_RATE)
  x, y, weight = examples

  def predict(params, x):
    return model.apply({'params': params}, x, train=False)[:, 0]

  def loss_fn(params, rows):
    where = jnp.where(rows >= 0, weight[rows], 0.0)
    terms = optax.sigmoid_binary_cross_entropy(
      predict(params, x[rows]), y[rows]
    )
    return (where * terms).sum() / where.sum()

  def step(carry, rows):
    params, state = carry
    gradient = jax.grad(loss_fn)(params, rows)
    updates, state = optimizer.update(gradient, state, params)
    return (optax.apply_updates(params, updates), state), None

  def epoch(carry, order):
    params, state, best, least = carry
    (params, state), _ = jax.lax.scan(step, (params, state), order)
    record = _scores('train', predict(params, x), y, weight) | _scores(
      'validation', predict(params, choice[0]), *choice[1:]
    )
    is_best = record['validation_loss'] < least
    best = jax.tree.map(
      lambda new, old: jnp.where(is_best, new, old), params, best
    )
    least = jnp.minimum(least, record['validation_loss'])
    return (params, state, best, least), record

  start = (params, optimizer.init(params), params, jnp.inf)
  (_, _, best, _), curves = jax.lax.scan(epoch, start, orders)
  return best, curves


def _scores(split: str, logits, y, weight):
  """Weighted loss; accuracy, precision and recall at 0.5, as in source 001."""
  called = logits > 0
  hits = (called * y).sum()
  terms = optax.sigmoid_binary_cross_entropy(logits, y)
  return {
    f'{split}_loss': (weight * terms).sum() / weight.sum(),
    f'{split}_accuracy': (called == (y > 0)).mean(),
    f'{split}_precision': hits / jnp.maximum(called.sum(), 1),
    f'{split}_recall': hits / y.sum(),
  }
