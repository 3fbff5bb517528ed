"""Distances between two sets of embeddings: [n, d] x [m, d] -> [n, m].

Smaller is closer, always; `cosine` is 1 - similarity. Half-precision input is
widened, and products accumulate in float32.

    dist = distances.pairwise(query, gallery, 'euclidean')

Each distance is a preparation of the rows, done once, and a comparison of
prepared rows, done block by block: `pairwise(x, y)` equals
`between(prepare(x), prepare(y))`.

Rounding: `squared_euclidean`, `euclidean` and `snr` use the Gram form
|x|^2 + |y|^2 - 2xy, whose error is about 1e-7 (|x|^2 + |y|^2), so that closer
pairs than about 3e-4 |x| come out as 0; negative results are clamped to 0.
"""

import jax
import jax.numpy as jnp

from mammojax import errors, numerics


def _dot(x, y):
  return jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)


def _cosine(x, y, dot=_dot):
  return 1.0 - dot(x, y)


def _squared_euclidean(x, y, dot=_dot):
  norms = jnp.sum(x * x, -1)[:, None] + jnp.sum(y * y, -1)[None, :]
  return jnp.maximum(norms - 2.0 * dot(x, y), 0.0)


def _euclidean(x, y, dot=_dot):
  return numerics.safe_sqrt(_squared_euclidean(x, y, dot))


def _manhattan(x, y, dot=_dot):
  del dot

  # Row by row, also backward: differences of all pairs would be [n, m, d].
  @jax.checkpoint
  def to_all(row):
    # |t| as t sign(t): the slope of `abs` at 0 is not 0 in every release.
    step = row[None, :] - y
    return jnp.sum(step * jax.lax.stop_gradient(jnp.sign(step)), axis=-1)

  return jax.lax.map(to_all, x)


def _snr(x, y, dot=_dot):
  spread = jnp.sum(x * x, -1)[:, None]
  is_flat = spread <= 0
  return _squared_euclidean(x, y, dot) / jnp.where(is_flat, 1.0, spread)


def _widen(x):
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _center(x):
  x = _widen(x)
  return x - jnp.mean(x, axis=-1, keepdims=True)


# name -> (preparation of rows, comparison of prepared rows)
DISTANCES = {
  'cosine': (numerics.normalize, _cosine),
  'euclidean': (_widen, _euclidean),
  'squared_euclidean': (_widen, _squared_euclidean),
  'manhattan': (_widen, _manhattan),
  'snr': (_center, _snr),
}
# d(x, y) is not d(y, x).
ASYMMETRIC = ('snr',)


def _look_up(name):
  if name not in DISTANCES:
    raise errors.unknown('distance', name, DISTANCES)
  return DISTANCES[name]


def prepare(x: jax.Array, name: str = 'cosine') -> jax.Array:
  """Rows as `between` wants them: unit length, centred, or only widened.

  Args:
    x: float[n, d] embeddings.
    name: a key of DISTANCES.

  Returns:
    float32[n, d] (float64 stays float64).

  Raises:
    ValueError: unknown name, or x is not a matrix.
    TypeError: x is not floating.
  """
  prepare_fn, _ = _look_up(name)
  check_rows(x)
  return prepare_fn(x)


def check_rows(x: jax.Array) -> None:
  """Refuses what are no embeddings.

  Raises:
    ValueError: x is not a matrix.
    TypeError: x is not floating.
  """
  if x.ndim != 2:
    raise ValueError(f'Embeddings must be [n, d], got shape {x.shape}.')
  if not jnp.issubdtype(x.dtype, jnp.floating):
    raise TypeError(f'Embeddings must be floating, got {x.dtype}.')


def between(x: jax.Array, y: jax.Array, name: str = 'cosine') -> jax.Array:
  """Distances between rows that `prepare` has made.

  Args:
    x: float32[n, d].
    y: float32[m, d].
    name: the same key of DISTANCES.

  Returns:
    float32[n, m].
  """
  _, between_fn = _look_up(name)
  return between_fn(x, y)


def between_columns(
  x: jax.Array, x_columns: jax.Array, y_columns: jax.Array, name: str
) -> jax.Array:
  """`between` whose gradient is a product of matrices as they lie in memory.

  The gradient of y sums over the rows of the weights and of x. CPUs take
  twice as long for that as for `x_columns @ weights`, which is the gradient
  of y's columns.

  Args:
    x: float32[n, d], prepared.
    x_columns: float32[d, n], the same, made where the compiler cannot undo
      it: outside the loop that this is called in. No gradient flows to it.
    y_columns: float32[d, m], prepared rows as columns.
    name: the same key of DISTANCES.

  Returns:
    float32[n, m]; differentiable once, in reverse mode.
  """
  _, between_fn = _look_up(name)

  def dot(x, y):
    return _dot_columns(x, y.T, x_columns)

  return between_fn(x, y_columns.T, dot)


@jax.custom_vjp
def _dot_columns(x, y_columns, x_columns):
  del x_columns
  return _dot(x, y_columns.T)


def _dot_columns_forward(x, y_columns, x_columns):
  return _dot_columns(x, y_columns, x_columns), (y_columns, x_columns)


def _dot_columns_backward(saved, weights):
  y_columns, x_columns = saved
  of_x = _dot(weights, y_columns)
  of_y = _dot(x_columns, weights.T)
  return of_x, of_y, jnp.zeros_like(x_columns)


_dot_columns.defvjp(_dot_columns_forward, _dot_columns_backward)


def pairwise(x: jax.Array, y: jax.Array, name: str = 'cosine') -> jax.Array:
  """All distances from rows of x to rows of y.

      cosine             1 - x.y / (|x| |y|); a zero row has similarity 0
      euclidean          |x - y|; gradient 0 where x = y
      squared_euclidean  |x - y|^2
      manhattan          sum of |x_k - y_k|
      snr                var(x - y) / var(x), x the anchor; not symmetric;
                         var(x) = 0 divides by 1

  Args:
    x: float[n, d].
    y: float[m, d].
    name: a key of DISTANCES.

  Returns:
    float32[n, m], smaller is closer. Time O(n m d), memory O(n m).

  Raises:
    ValueError: unknown name, not matrices, or widths that differ.
    TypeError: x or y is not floating.

  Source: snr from Yuan et al. 2019, arXiv:1904.02616, Eq. 6, with the sum of
  squares in place of the variance after centring, which is the same ratio.
  """
  x, y = prepare(x, name), prepare(y, name)
  if x.shape[1] != y.shape[1]:
    raise ValueError(
      f'Both sides need one width, got {x.shape[1]} and {y.shape[1]}.'
    )
  return between(x, y, name)


def paired(x: jax.Array, y: jax.Array, name: str = 'cosine') -> jax.Array:
  """Distances of row i of x to row i of y, without the Gram form.

  Differences are taken before they are squared, so that close pairs keep
  their distance: the relative error is about 1e-7 however close they are,
  where `pairwise` loses pairs closer than about 3e-4 of their length.
  `cosine` is |x/|x| - y/|y||^2 / 2 here, the same number.

  Args:
    x: float[n, d].
    y: float[n, d].
    name: a key of DISTANCES.

  Returns:
    float32[n]; gradient 0 where the rows are equal.

  Raises:
    ValueError: unknown name, not matrices, or shapes that differ.
    TypeError: x or y is not floating.
  """
  x, y = prepare(x, name), prepare(y, name)
  if x.shape != y.shape:
    raise ValueError(f'Rows are paired: got shapes {x.shape} and {y.shape}.')
  return paired_between(x, y, name)


def paired_between(x: jax.Array, y: jax.Array, name: str) -> jax.Array:
  """`paired` for rows that `prepare` has made: float32[n, d] -> float32[n]."""
  _look_up(name)
  step = x - y
  if name == 'manhattan':
    return jnp.sum(step * jax.lax.stop_gradient(jnp.sign(step)), axis=-1)
  square = jnp.sum(step * step, axis=-1)
  if name == 'cosine':
    return _half_chord(x, y, square)
  if name == 'euclidean':
    return numerics.safe_sqrt(square)
  if name == 'snr':
    spread = jnp.sum(x * x, -1)
    return square / jnp.where(spread <= 0, 1.0, spread)
  return square


def _half_chord(x, y, square):
  # A zero row stays zero under `prepare`, and has similarity 0 to any other.
  is_zero = (jnp.max(jnp.abs(x), -1) <= 0) | (jnp.max(jnp.abs(y), -1) <= 0)
  return jnp.where(is_zero, 1.0, 0.5 * square)
