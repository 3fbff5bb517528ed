"""One image seen several ways, and what a network says of it on average.

    embed = views.averaged(model.apply, 'turned')
    embeddings = embed(variables, images)

A lesion has no upright: a network should say the same of it however it lies.
Trained ones nearly do, and what they differ by is error that a mean lessens.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mammojax import errors


def _mirrored(images: jax.Array) -> list[jax.Array]:
  return [images, images[:, :, ::-1]]


def _turned(images: jax.Array) -> list[jax.Array]:
  return [
    jnp.rot90(seen, turns, axes=(1, 2))
    for seen in _mirrored(images)
    for turns in range(4)
  ]


# kind -> the views of float32[b, h, w, c]; 'turned' wants square images.
KINDS = {
  'one': lambda images: [images],
  'mirrored': _mirrored,
  'turned': _turned,
}


def averaged(
  apply_fn: Callable[..., jax.Array], kind: str
) -> Callable[[Any, jax.Array], jax.Array]:
  """A network that is asked about every view of an image.

  Args:
    apply_fn: (variables, images, train) -> float32[b, d].
    kind: key of KINDS: 'one'; 'mirrored', with its mirror image; 'turned', both
      in four quarter turns.

  Returns:
    (variables, images float32[b, h, w, c]) -> float32[b, d], the mean of what
    apply_fn says of 1, 2 or 8 views, at as many times the cost. A mean of
    embeddings of length one is shorter than one where the views disagree.

  Raises:
    UsageError: an unknown kind; at trace time, turns of images that are not
      square.
  """
  if kind not in KINDS:
    raise errors.unknown('views', kind, KINDS)

  def embed(variables, images):
    if kind == 'turned' and images.shape[1] != images.shape[2]:
      raise errors.UsageError(
        f'Quarter turns need square images, got {images.shape[1:3]}.'
      )
    seen = KINDS[kind](images)
    return sum(apply_fn(variables, x, train=False) for x in seen) / len(seen)

  return embed
