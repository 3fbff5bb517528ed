"""Views of an image, and the mean of what a network says of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors
from mammojax.models import views


def apply_fn(variables, images, *, train):
  """Two numbers an image that depend on where every pixel lies."""
  assert not train
  return jnp.einsum('bhwc,hwcd->bd', images, variables) ** 2


@pytest.fixture
def weights(rng):
  return rng.normal(size=(5, 5, 3, 2)).astype(np.float32)


def by_hand(weights, image, transforms):
  said = []
  for transform in transforms:
    seen = transform(image).astype(np.float64)
    said.append(
      [(seen * weights[..., d].astype(np.float64)).sum() ** 2 for d in range(2)]
    )
  return np.mean(said, axis=0)


TRANSFORMS = {
  'one': [lambda x: x],
  'mirrored': [lambda x: x, np.fliplr],
  'turned': [
    *(lambda x, k=k: np.rot90(x, k) for k in range(4)),
    *(lambda x, k=k: np.rot90(np.fliplr(x), k) for k in range(4)),
  ],
}


@pytest.mark.parametrize('kind', views.KINDS)
def test_the_mean_is_that_of_a_loop(rng, weights, kind):
  images = rng.random((3, 5, 5, 3)).astype(np.float32)
  found = jax.jit(views.averaged(apply_fn, kind))(weights, images)
  want = [by_hand(weights, image, TRANSFORMS[kind]) for image in images]
  np.testing.assert_allclose(found, want, rtol=1e-4)


@pytest.mark.parametrize('turns', [1, 2, 3])
def test_a_turned_or_mirrored_image_is_the_same(rng, weights, turns):
  images = rng.random((2, 5, 5, 3)).astype(np.float32)
  embed = views.averaged(apply_fn, 'turned')
  turned = np.rot90(images[:, ::-1], turns, axes=(1, 2))
  np.testing.assert_allclose(
    embed(weights, turned), embed(weights, images), rtol=1e-5
  )
  # The network by itself tells them apart.
  alone = views.averaged(apply_fn, 'one')
  assert np.abs(alone(weights, turned) - alone(weights, images)).max() > 0.1


def test_what_cannot_be_seen_is_refused(weights):
  with pytest.raises(errors.UsageError, match="'turned'"):
    views.averaged(apply_fn, 'turnd')
  oblong = np.zeros((1, 5, 4, 3), np.float32)
  with pytest.raises(errors.UsageError, match='square'):
    views.averaged(apply_fn, 'turned')(weights, oblong)
