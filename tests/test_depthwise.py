"""Convolution of each channel on its own, and its gradients, against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_networks as loops

from mammojax.models import depthwise
from tests import on_devices


# A map larger than the kernel, one smaller, and batches that chunks divide
# in unlike ways.
@pytest.mark.parametrize(
  'shape, size',
  [((3, 9, 8, 2), 7), ((34, 3, 2, 3), 7), ((1, 4, 5, 2), 3)],
  ids=['large', 'small', 'three'],
)
def test_value_and_gradients_equal_loops(rng, shape, size):
  x = rng.normal(size=shape)
  kernel = rng.normal(size=(size, size, 1, shape[-1]))
  cotangent = rng.normal(size=shape)
  got, pull = jax.vjp(
    jax.jit(depthwise.convolve), jnp.float32(x), jnp.float32(kernel)
  )
  np.testing.assert_allclose(
    got, loops.depthwise(x, kernel), rtol=1e-4, atol=1e-4
  )
  into_x, into_kernel = pull(jnp.float32(cotangent))
  # The map is bilinear: its change along a move is its value there.
  move = rng.normal(size=shape)
  want = (loops.depthwise(move, kernel) * cotangent).sum()
  np.testing.assert_allclose((into_x * move).sum(), want, rtol=1e-3, atol=1e-3)
  want_kernel = np.zeros_like(kernel)
  for u, v in np.ndindex(size, size):
    unit = np.zeros_like(kernel)
    unit[u, v] = 1.0
    want_kernel[u, v, 0] = (loops.depthwise(x, unit) * cotangent).sum((0, 1, 2))
  np.testing.assert_allclose(into_kernel, want_kernel, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
  'shape, size, stride, before',
  [
    ((2, 8, 9, 2), 3, 2, (0, 1)),
    ((17, 7, 4, 3), 5, 2, (2, 1)),
    ((1, 1, 2, 2), 3, 2, (1, 0)),
    ((2, 8, 7, 2), 5, 3, (1, 2)),
    ((2, 5, 6, 2), 1, 2, (0, 0)),
  ],
)
def test_steps_and_their_gradients_equal_loops(
  rng, shape, size, stride, before
):
  x, kernel = rng.normal(size=shape), rng.normal(size=(size, size, 1, shape[3]))
  got, pull = jax.vjp(
    jax.jit(lambda x, k: depthwise.strided(x, k, stride, before)),
    jnp.float32(x),
    jnp.float32(kernel),
  )
  loop = loops.depthwise_strided
  want = loop(x, kernel, stride, before)
  np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
  cotangent = rng.normal(size=want.shape)
  into_x, into_kernel = pull(jnp.float32(cotangent))
  # The map is bilinear: its change along a move is its value there.
  for found, moves in (
    (into_x, lambda move: loop(move, kernel, stride, before)),
    (into_kernel, lambda move: loop(x, move, stride, before)),
  ):
    for _ in range(4):
      move = rng.normal(size=found.shape)
      want = (moves(move) * cotangent).sum()
      np.testing.assert_allclose(
        (found * move).sum(), want, rtol=1e-3, atol=1e-3
      )


@pytest.mark.parametrize('transform', on_devices.TRANSFORMS)
def test_gradient_of_a_shared_kernel_sums_over_devices(rng, transform):
  x = rng.normal(size=(8, 3, 3, 2)).astype(np.float32)
  x *= np.arange(1, 9, dtype=np.float32)[:, None, None, None]
  kernel = rng.normal(size=(3, 3, 1, 2)).astype(np.float32)

  def slope(kernel, x, axis_name=None):
    def loss(kernel):
      total = jnp.sum(jnp.sin(depthwise.convolve(x, kernel)))
      return jax.lax.psum(total, axis_name) if axis_name else total

    grad = jax.grad(loss)(kernel)
    return jax.lax.pmean(grad, axis_name) if axis_name else grad

  got = on_devices.run(
    lambda k, x: slope(k, x, on_devices.AXIS), transform, (kernel,), (x,)
  )
  np.testing.assert_allclose(got, slope(kernel, x), rtol=1e-4, atol=1e-4)
