"""Random transforms of a batch of images, on the device.

Image i is drawn from `fold_in(key, index[i])` and nothing else, so that it
comes out the same whatever shares its batch, its device or its process. Each
field has a stream of its own: switching one on or off leaves the draws of the
others as they were. A field that is off costs nothing.

    augmentation = augment.Augmentation(horizontal_flip=True, shift=0.05)
    images = augmentation(images, jax.random.fold_in(key, step), position)

All that moves pixels is composed into one map and read in one bilinear pass;
flips and quarter turns alone hit the grid, and are exact.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from mammojax import errors

FILLS = ('zero', 'edge')

# One stream of random numbers a field. The numbers are part of the result.
_STREAMS = {
  'horizontal_flip': 0,
  'vertical_flip': 1,
  'rotate90': 2,
  'rotation_degrees': 3,
  'shift': 4,
  'zoom': 5,
  'brightness': 6,
  'contrast': 7,
  'gamma': 8,
  'noise': 9,
}
_MOVES = (
  'horizontal_flip',
  'vertical_flip',
  'rotate90',
  'rotation_degrees',
  'shift',
  'zoom',
)
_LIMITS = {
  'rotation_degrees': 180.0,
  'shift': 1.0,
  'zoom': 4.0,
  'brightness': 1.0,
  'contrast': 4.0,
  'gamma': 4.0,
  'noise': 1.0,
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Which transforms are drawn, and how far they go. The default is none.

  u is uniform in [-1, 1], drawn for each image and field.

  Attributes:
    horizontal_flip: swap left and right, every second time.
    vertical_flip: swap top and bottom, every second time.
    rotate90: 0 to 3 quarter turns; images must be square.
    rotation_degrees: turn about the centre by u * rotation_degrees.
    shift: move by u * shift of the height and, apart, of the width.
    zoom: enlarge about the centre by (1 + zoom)^u.
    brightness: add u * brightness.
    contrast: scale the distance to the mean of the image by (1 + contrast)^u.
    gamma: raise to the power (1 + gamma)^u.
    noise: add normal noise of this standard deviation, pixel by pixel.
    fill: what lies outside the image: 'zero', or its 'edge' continued.
  """

  horizontal_flip: bool = False
  vertical_flip: bool = False
  rotate90: bool = False
  rotation_degrees: float = 0.0
  shift: float = 0.0
  zoom: float = 0.0
  brightness: float = 0.0
  contrast: float = 0.0
  gamma: float = 0.0
  noise: float = 0.0
  fill: str = 'edge'

  def __post_init__(self):
    """Checks every field.

    Raises:
      UsageError: for a range below 0, not finite or beyond its limit, or an
        unknown fill.
    """
    for field, limit in _LIMITS.items():
      value = getattr(self, field)
      if not 0.0 <= value <= limit:
        raise errors.UsageError(
          f'augmentation {field} must be in [0, {limit:g}], got {value}.'
        )
    if self.fill not in FILLS:
      raise errors.unknown('augmentation fill', self.fill, FILLS)

  def __call__(
    self, images: jax.Array, key: jax.Array, index: jax.Array
  ) -> jax.Array:
    """Transformed images.

    Args:
      images: float32[b, h, w, c] in [0, 1].
      key: of the step.
      index: int32[b], place of each image in the global batch.

    Returns:
      float32[b, h, w, c] in [0, 1].

    Raises:
      ValueError: at trace time, if the shapes do not fit.
    """
    if images.ndim != 4 or index.shape != images.shape[:1]:
      raise ValueError(
        'images must be [b, h, w, c] and index [b], got '
        f'{images.shape} and {index.shape}.'
      )
    if self == Augmentation(fill=self.fill):
      return images
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
    if any(getattr(self, field) for field in _MOVES):
      matrix, offset = jax.vmap(
        lambda k: self._map(k, images.shape[1], images.shape[2])
      )(keys)
      images = warp(images, matrix, offset, fill=self.fill)
    return self._intensities(images, keys)

  def _map(
    self, key: jax.Array, height: int, width: int
  ) -> tuple[jax.Array, jax.Array]:
    """The matrix [2, 2] and offset [2] that one image is read with.

    A pixel at p, measured from the centre as (row, column), is read at
    matrix @ p + offset: the transform undone, last move first.
    """
    matrix = jnp.eye(2, dtype=jnp.float32)
    offset = jnp.zeros(2, jnp.float32)
    if self.rotation_degrees:
      angle = math.radians(self.rotation_degrees) * _uniform(
        key, 'rotation_degrees'
      )
      cos, sin = jnp.cos(angle), jnp.sin(angle)
      matrix = _row_column(cos, sin, -sin, cos)
    if self.zoom:
      matrix = matrix / _factor(key, 'zoom', self.zoom)
    if self.shift:
      size = jnp.asarray([height, width], jnp.float32)
      offset = self.shift * size * _uniform(key, 'shift', (2,))
    if self.rotate90:
      if height != width:
        raise ValueError(
          f'rotate90 needs square images, got {height} x {width}.'
        )
      turns = jax.random.randint(_stream(key, 'rotate90'), (), 0, 4)
      cos = jnp.asarray([1.0, 0.0, -1.0, 0.0], jnp.float32)[turns]
      sin = jnp.asarray([0.0, 1.0, 0.0, -1.0], jnp.float32)[turns]
      turn = _row_column(cos, sin, -sin, cos)
      matrix, offset = _times(turn, matrix), _times(turn, offset[:, None])[:, 0]
    row = _sign(key, 'vertical_flip') if self.vertical_flip else 1.0
    column = _sign(key, 'horizontal_flip') if self.horizontal_flip else 1.0
    flip = jnp.stack([jnp.float32(row), jnp.float32(column)])
    return matrix * flip[:, None], offset * flip

  def _intensities(self, images: jax.Array, keys: jax.Array) -> jax.Array:
    """Gamma, contrast, brightness and noise, in this order."""

    def drawn(fn, *args):
      return jax.vmap(lambda k: fn(k, *args))(keys)[:, None, None, None]

    before = images
    if self.gamma:
      images = images ** drawn(_factor, 'gamma', self.gamma)
    if self.contrast:
      mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
      factor = drawn(_factor, 'contrast', self.contrast)
      images = mean + factor * (images - mean)
    if self.brightness:
      images = images + self.brightness * drawn(_uniform, 'brightness')
    if self.noise:
      noise = jax.vmap(lambda k: _normal(k, images.shape[1:]))(keys)
      images = images + self.noise * noise
    return images if images is before else jnp.clip(images, 0.0, 1.0)


def apply(
  images: jax.Array, key: jax.Array, index: jax.Array, **fields: float | str
) -> jax.Array:
  """Augmentation(**fields) of a batch; see Augmentation."""
  return Augmentation(**fields)(images, key, index)


def warp(
  images: jax.Array, matrix: jax.Array, offset: jax.Array, *, fill: str
) -> jax.Array:
  """Images read, bilinearly, at mapped places.

      result[i, p + c] = images[i](matrix[i] @ p + offset[i] + c)

  with c the centre, (h - 1) / 2 and (w - 1) / 2.

  Args:
    images: float32[b, h, w, c].
    matrix: float32[b, 2, 2], on (row, column).
    offset: float32[b, 2], in pixels.
    fill: 'zero' or 'edge'.

  Returns:
    float32[b, h, w, c].
  """
  height, width = images.shape[1:3]
  down = jnp.arange(height, dtype=jnp.float32) - (height - 1) / 2
  right = jnp.arange(width, dtype=jnp.float32) - (width - 1) / 2
  # A frame of zeros makes 'zero' the 'edge' of a larger image.
  frame = 1 if fill == 'zero' else 0
  if frame:
    images = jnp.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))

  def places(axis, size):
    place = (
      matrix[:, axis, 0, None, None] * down[None, :, None]
      + matrix[:, axis, 1, None, None] * right[None, None, :]
    )
    place = place + (offset[:, axis, None, None] + ((size - 1) / 2 + frame))
    place = jnp.clip(place, 0.0, size - 1 + 2 * frame)
    low = jnp.minimum(jnp.floor(place), size - 2 + 2 * frame)
    return low.astype(jnp.int32), place - low

  row, below = places(0, height)
  column, beside = places(1, width)
  return jax.vmap(_bilinear)(images, row, column, below, beside)


def _bilinear(image, row, column, below, beside):
  """Mean of the four pixels from (row, column), weighted by the fractions."""
  width, channels = image.shape[1:]
  flat = image.reshape(-1, channels)
  at = row * width + column
  below, beside = below[..., None], beside[..., None]

  def read(step):
    return flat.at[at + step].get(mode='promise_in_bounds')

  top = read(0) * (1.0 - beside) + read(1) * beside
  bottom = read(width) * (1.0 - beside) + read(width + 1) * beside
  return top * (1.0 - below) + bottom * below


def _stream(key, field):
  return jax.random.fold_in(key, _STREAMS[field])


def _uniform(key, field, shape=()):
  """Uniform in [-1, 1)."""
  return jax.random.uniform(
    _stream(key, field), shape, jnp.float32, minval=-1.0, maxval=1.0
  )


def _factor(key, field, extent):
  """(1 + extent)^u, between 1 / (1 + extent) and 1 + extent."""
  return jnp.exp(math.log1p(extent) * _uniform(key, field))


def _sign(key, field):
  """1 or -1, each every second time."""
  return 1.0 - 2.0 * jax.random.bernoulli(_stream(key, field)).astype(
    jnp.float32
  )


def _normal(key, shape):
  return jax.random.normal(_stream(key, 'noise'), shape, jnp.float32)


def _row_column(a, b, c, d):
  """The matrix [[a, b], [c, d]]."""
  return jnp.stack([jnp.stack([a, b]), jnp.stack([c, d])])


def _times(a, b):
  """A matrix product without the reduced precision of accelerators."""
  return jnp.sum(a[:, :, None] * b[None, :, :], axis=1)
