"""These losses in a training loop of one's own: plain JAX, no config.

    python examples/losses_in_twenty_lines.py

A small network learns to put noisy handwritten digits of one kind side by
side. Printed is the share of held-out digits whose nearest training digit is
of their kind: by pixels, by the network before training, and after it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import datasets

from mammojax import automargin, distances, losses

digits, rng = datasets.load_digits(), np.random.default_rng(0)
noisy = digits.data / 16 + rng.normal(0, 0.4, digits.data.shape)
x, y = jnp.asarray(noisy, jnp.float32), jnp.asarray(digits.target, jnp.int32)


def embed(params, images):
  """Two layers; the loss sees directions only, so no length is set."""
  return jax.nn.relu(images @ params[0]) @ params[1]


def accuracy(rows):
  """Share of held-out rows whose nearest training row is of their kind."""
  dist = distances.pairwise(rows[1000:], rows[:1000])
  return jnp.mean(y[jnp.argmin(dist, axis=1)] == y[1000:])


@jax.jit
def step(params, auto, batch):
  """One step of plain gradient descent, and of the margins."""

  def loss(params):
    rows = embed(params, x[batch])
    return losses.adatriplet(
      rows, y[batch], margin=auto.margin, beta=auto.beta, stats=True
    )

  grads, stats = jax.grad(loss, has_aux=True)(params)
  params = jax.tree.map(lambda p, g: p - 3.0 * g, params, grads)
  return params, automargin.update(automargin.accumulate(auto, stats))


shapes = (64, 256), (256, 32)
params = [jnp.asarray(rng.normal(0, 0.1, s), jnp.float32) for s in shapes]
auto = automargin.init('step')
print(f'pixels {accuracy(x):.3f}')
print(f'before {accuracy(embed(params, x)):.3f}')
for _ in range(120):
  params, auto = step(params, auto, rng.choice(1000, 128, replace=False))
print(f'after {accuracy(embed(params, x)):.3f}')
