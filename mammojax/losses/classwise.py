"""Losses on trained class weights: ArcFace, SoftTriple, Proxy-Anchor.

    weights = classwise.init_class_weights(key, num_classes, dim)
    loss = classwise.arcface(embeddings, labels, weights)

Common to the three, beside what `mammojax.losses` states:

  class_weights: float[classes * centers, d], rows of one class side by side;
    a parameter to train, equal on all devices. Like the embeddings it is
    compared by cosine, so its length does not matter.
  labels: int32[b] or Relation, class ids in [0, classes). Of a Relation only
    `label` and `valid` count: rows are compared with classes, never with
    rows, so items, groups and their rules do not apply.
  gallery, distance: none; the classes are what rows are compared with.
  axis_name: rows are of this device; sums and counts are reduced.

A label that is no class is never clamped. Where labels are known it is a
ValueError that names the row; where they are traced, loss and gradient become
NaN, on all devices, so that the run stops.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from mammojax import errors, numerics, pairs
from mammojax.losses import checks, classes, reductions, terms

REDUCTIONS = ('mean', 'sum')
SMALLEST = 1e-6


def init_class_weights(
  key: jax.Array, num_classes: int, dim: int, centers_per_class: int = 1
) -> jax.Array:
  """Random directions of unit length, uniform on the sphere.

  Args:
    key: JAX random key.
    num_classes: classes, such as the subjects of the training split.
    dim: width of the embeddings.
    centers_per_class: rows for each class, side by side.

  Returns:
    float32[num_classes * centers_per_class, dim].

  Raises:
    ValueError: a size below 1.
  """
  for name, value in (
    ('num_classes', num_classes),
    ('dim', dim),
    ('centers_per_class', centers_per_class),
  ):
    if value < 1:
      raise errors.UsageError(f'{name} must be at least 1, got {value}.')
  shape = (num_classes * centers_per_class, dim)
  return numerics.normalize(jax.random.normal(key, shape, jnp.float32))


def arcface(
  embeddings,
  labels,
  class_weights,
  *,
  scale=64.0,
  margin=0.5,
  reduction='mean',
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Softmax over classes with an angle added to that of the own class.

      -log( e^(s g(t_y)) / (e^(s g(t_y)) + sum over j != y of e^(s cos t_j)) )

      g(t) = cos(t + m)         where t < pi - m
      g(t) = cos(t) - m sin(m)  beyond, so that g keeps falling

  with t_j the angle between the row and class j.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see the module.
    class_weights: float[classes, d], see the module.
    scale: float, s, at least 0.
    margin: float, m, in radians, in [0, pi].
    reduction: 'mean' over valid rows, or 'sum'.
    axis_name: see there.
    block: see there, with the classes in the place of the gallery.
    stats: see there; the statistics are `classes.ClassStats`.

  Returns:
    float32[], or (float32[], ClassStats). Gradients are finite at angles of
    0 and pi, where the slope of sin(t) = sqrt(1 - cos(t)^2) counts as 0.

  Source: Deng et al. 2019, arXiv:1801.07698, Eq. 3; beyond pi - m as in the
  authors' InsightFace with easy_margin off.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  scale = checks.number('scale', scale)
  if isinstance(margin, numbers.Real) and margin > math.pi:
    raise errors.UsageError(
      f'margin is an angle in radians, at most pi, got {margin}. '
      '28.6 degrees are 0.5.'
    )
  margin = checks.number('margin', margin)
  of, outside = classes.compare(embeddings, labels, class_weights, axis_name)

  def row_fn(dist, positive, negative, extras):
    del negative, extras
    sim = 1.0 - dist
    logits = scale * jnp.where(positive, _add_angle(dist, margin), sim)
    return classes.cross_entropy(logits, positive), classes.row_stats(
      sim, positive
    )

  values, gap = pairs.rows(row_fn, of, block=block)
  return classes.reduce(of, values, gap, outside, reduction, stats)


def _add_angle(dist, margin):
  """g(t) for dist = 1 - cos(t), cosine and sine from one rounding."""
  cos = 1.0 - dist
  # 1 - cos^2 as a product: float32 steps of dist keep its root's slope below
  # 3e3, and that slope meets a gradient of cos that vanishes as sin does.
  sin = numerics.safe_sqrt(dist * (2.0 - dist))
  moved = cos * jnp.cos(margin) - sin * jnp.sin(margin)
  return jnp.where(
    cos > -jnp.cos(margin), moved, cos - margin * jnp.sin(margin)
  )


def soft_triplet(
  embeddings,
  labels,
  class_weights,
  *,
  centers_per_class,
  gamma=0.1,
  scale=20.0,
  margin=0.01,
  tau=0.2,
  reduction='mean',
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Softmax over classes that have several centers each.

      S_c = sum over k of softmax_k(cos_ck / gamma) cos_ck
      -log( e^(s (S_y - m)) / (e^(s (S_y - m)) + sum over j != y of e^(s S_j)) )
      + tau / (C K (K - 1)) sum over c, k < l of |w_ck - w_cl|

  with unit centers w of C classes, K a class. The last term draws the centers
  of a class together, so that spare ones merge; K = 1 has none. It does not
  look at the batch: an empty batch has it, and 'sum' does not multiply it.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see the module.
    class_weights: float[classes * centers_per_class, d], see the module.
    centers_per_class: int, K.
    gamma: float above 0, temperature of the choice among a class's centers.
    scale: float, s (lambda of the paper), at least 0.
    margin: float, m (delta of the paper), at least 0.
    tau: float, weight of the regulariser, at least 0.
    reduction: 'mean' over valid rows, or 'sum'.
    axis_name: see there.
    block: see there, with the centers in the place of the gallery.
    stats: see there; the statistics are `classes.ClassStats` of the S_c.

  Returns:
    float32[], or (float32[], ClassStats).

  Source: Qian et al. 2019, arXiv:1909.05235, section 3.
  Differs: the authors' code adds 1e-5 under the root of the regulariser; here
  the gradient is 0 where two centers agree.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  gamma = checks.number('gamma', gamma, low=SMALLEST)
  scale, margin = checks.number('scale', scale), checks.number('margin', margin)
  tau = checks.number('tau', tau)
  of, outside = classes.compare(
    embeddings, labels, class_weights, axis_name, centers_per_class
  )

  def row_fn(dist, positive, negative, extras):
    del negative, extras
    by_center = (1.0 - dist).reshape(dist.shape[0], -1, centers_per_class)
    share = jax.nn.softmax(by_center / gamma, axis=2)
    sim = jnp.sum(share * by_center, axis=2)
    own = positive[:, ::centers_per_class]
    logits = scale * jnp.where(own, sim - margin, sim)
    return classes.cross_entropy(logits, own), classes.row_stats(sim, own)

  values, gap = pairs.rows(row_fn, of, block=block)
  result = classes.reduce(of, values, gap, outside, reduction, stats)
  more = tau * _center_spread(of.gallery, centers_per_class)
  return (result[0] + more, result[1]) if stats else result + more


def _center_spread(centers, count):
  """Sum of |w_k - w_l| within the classes, over C K (K - 1)."""
  if count == 1:
    return jnp.zeros((), centers.dtype)
  by_class = centers.reshape(-1, count, centers.shape[1])
  dot = jnp.einsum(
    'ckd,cld->ckl', by_class, by_class, precision=jax.lax.Precision.HIGHEST
  )
  upper = np.triu(np.ones((1, count, count), bool), 1)
  square = jnp.where(upper, 2.0 - 2.0 * dot, 0.0)
  return jnp.sum(numerics.safe_sqrt(square)) / float(
    centers.shape[0] * (count - 1)
  )


def proxy_anchor(
  embeddings,
  labels,
  class_weights,
  *,
  alpha=32.0,
  margin=0.1,
  reduction='mean',
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Each class pulls its rows and pushes the others, the hardest most.

      mean over classes p of the batch of
        log(1 + sum over rows x of p of e^(-alpha (cos(x, p) - margin)))
      + mean over all classes p of
        log(1 + sum over rows x not of p of e^(alpha (cos(x, p) + margin)))

  The sums over rows run over all devices; only they are exchanged, two
  numbers a class, not the embeddings.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see the module.
    class_weights: float[classes, d], see the module.
    alpha: float, at least 0.
    margin: float, at least 0.
    reduction: 'mean' as above, the classes of the batch counted over all
      devices; 'sum': the sums over classes undivided.
    axis_name: see there.
    block: classes scored at a time; memory is O(block b).
    stats: see there; the statistics are `classes.ClassStats`, for
      one product more.

  Returns:
    float32[], or (float32[], ClassStats).

  Source: Kim et al. 2020, arXiv:2003.13911, Eq. 4.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  alpha, margin = checks.number('alpha', alpha), checks.number('margin', margin)
  rows, outside = classes.compare(embeddings, labels, class_weights, axis_name)
  # The same pairs with the classes as anchors; the rows stay on their device.
  of = rows._replace(
    anchors=rows.gallery,
    gallery=rows.anchors,
    anchor_relation=rows.gallery_relation,
    gallery_relation=rows.anchor_relation,
    anchor_row=jnp.full(rows.gallery.shape[:1], -1, jnp.int32),
  )

  def class_fn(dist, positive, negative, extras):
    del extras
    pull = terms.log_sum(alpha * (dist - 1.0 + margin), positive)[:, 0]
    push = terms.log_sum(alpha * (1.0 - dist + margin), negative)[:, 0]
    return pull, push, jnp.any(positive, axis=1).astype(jnp.float32)

  pull, push, occurs = pairs.rows(class_fn, of, block=block)
  pull, push = _join(pull, axis_name), _join(push, axis_name)
  num_present = reductions.count(of.total(occurs) > 0)
  pull, push = jnp.sum(jax.nn.softplus(pull)), jnp.sum(jax.nn.softplus(push))
  if reduction == 'mean':
    pull = numerics.divide(pull, num_present)
    push = push / float(class_weights.shape[0])
  loss = classes.stop_at(rows, outside, pull + push)
  return (loss, classes.stats_of_rows(rows, block)) if stats else loss


def _join(logs, axis_name):
  """Logarithm of the sum over devices of what `logs` are logarithms of."""
  if axis_name is None:
    return logs
  top = jax.lax.pmax(jax.lax.stop_gradient(logs), axis_name)
  return top + jnp.log(jax.lax.psum(jnp.exp(logs - top), axis_name))
