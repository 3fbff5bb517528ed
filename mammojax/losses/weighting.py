"""Losses that weigh every pair by how hard it is among its anchor's pairs.

    loss = weighting.multi_similarity(embeddings, labels, epsilon=0.1)

Log-sums of positives and of negatives per anchor; their derivatives are the
weights of the pairs. Similarities are 1 - d for the cosine distance, for which
`multi_similarity` and `circle` are defined, and -d for every other.
"""

import jax
import jax.numpy as jnp

from mammojax import errors, pairs
from mammojax.losses import checks, terms

REDUCTIONS = ('mean', 'mean_active', 'sum')
VARIANTS = ('generalized', 'generalized_soft', 'original')


def multi_similarity(
  embeddings,
  labels,
  *,
  alpha=2.0,
  beta=50.0,
  base=0.5,
  epsilon=0.1,
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Multi-similarity loss: soft weights over pairs that mining has kept.

        1/alpha log (1 + sum over kept p of exp(-alpha (s_ap - base)))
      + 1/beta  log (1 + sum over kept n of exp(beta (s_an - base)))

  with s = 1 - d for cosine and -d otherwise (then `base` is minus a
  distance). Mining keeps the negatives with s_an > min_p s_ap - epsilon and
  the positives with s_ap < max_n s_an + epsilon; an anchor without positives
  or without negatives keeps no pair.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    alpha: float above 0, sharpness among positives.
    beta: float above 0, sharpness among negatives.
    base: float, lambda of the paper; any number.
    epsilon: float, at least 0; None turns the mining off: all pairs are kept.
    distance: see there.
    reduction: 'mean' over anchors that have a positive or a negative, mined
      or not; 'mean_active' over those with a loss above 0; or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over those anchors.

  Returns:
    float32[], or (float32[], AnchorStats). The choice of pairs carries no
    gradient.

  Source: Wang et al. 2019, arXiv:1904.06627, section 3.3 (mining and loss).
  Differs: the paper divides by all rows of the batch; padding and rows
  without any pair do not count here.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  alpha = checks.number('alpha', alpha, terms.SMALLEST)
  beta = checks.number('beta', beta, terms.SMALLEST)
  base = checks.number('base', base, -1e30)
  if epsilon is not None:
    epsilon = checks.number('epsilon', epsilon)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def term_fn(dist, positive, negative, extras):
    del extras
    sim = terms.similarity(dist, distance)
    counts = jnp.any(positive | negative, axis=1)
    if epsilon is not None:
      positive, negative = _mine(sim, positive, negative, epsilon)
    pull = terms.log_sum(-alpha * (sim - base), positive)
    push = terms.log_sum(beta * (sim - base), negative)
    values = jax.nn.softplus(pull) / alpha + jax.nn.softplus(push) / beta
    return terms.anchor_terms(values[:, 0], counts)

  return terms.reduce(
    term_fn, of, reduction=reduction, block=block, stats=stats
  )


def _mine(sim, positive, negative, epsilon):
  """Pairs that are hard against the anchor's hardest of the other kind."""
  infinity = jnp.inf
  lowest = jnp.where(positive, sim, infinity).min(axis=1, keepdims=True)
  highest = jnp.where(negative, sim, -infinity).max(axis=1, keepdims=True)
  # Without positives `lowest` is infinite and keeps no negative; and so on.
  return (
    positive & (sim - epsilon < highest),
    negative & (sim + epsilon > lowest),
  )


def circle(
  embeddings,
  labels,
  *,
  relaxation=0.25,
  scale=80.0,
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Circle loss: each similarity has a pace and a goal of its own.

      log (1 + sum_n exp( g w_n (s_an - m))
               sum_p exp(-g w_p (s_ap - (1 - m))))

      w_p = max(0, 1 + m - s_ap),  w_n = max(0, s_an + m)

  with m the relaxation and g the scale. The weights w carry no gradient, so
  the gradient is not that of the value. s = 1 - d for cosine; s = -d
  otherwise, though the goals 1 - m and m are meant for cosines.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    relaxation: float m, at least 0; 0.25 for faces, 0.4 for fine-grained
      retrieval in the paper.
    scale: float g, at least 0; 256 and 80 there.
    distance: see there.
    reduction: 'mean' over anchors that have a positive and a negative,
      'mean_active' over those with a loss above 0 in float32, or 'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over those anchors.

  Returns:
    float32[], or (float32[], AnchorStats).

  Source: Sun et al. 2020, arXiv:2002.10857, section 3, with similarities of
  pairs.
  Differs: averages anchors, where the paper writes the loss of one.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  relaxation = checks.number('relaxation', relaxation)
  scale = checks.number('scale', scale)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def term_fn(dist, positive, negative, extras):
    del extras
    sim = terms.similarity(dist, distance)
    held = jax.lax.stop_gradient(sim)
    weight_p = jnp.maximum(1.0 + relaxation - held, 0.0)
    weight_n = jnp.maximum(held + relaxation, 0.0)
    pull = -scale * weight_p * (sim - (1.0 - relaxation))
    push = scale * weight_n * (sim - relaxation)
    total = terms.log_sum(pull, positive) + terms.log_sum(push, negative)
    counts = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    return terms.anchor_terms(jax.nn.softplus(total)[:, 0], counts)

  return terms.reduce(
    term_fn, of, reduction=reduction, block=block, stats=stats
  )


def lifted_structure(
  embeddings,
  labels,
  *,
  margin=1.0,
  variant='generalized',
  distance='euclidean',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Lifted structure: positives against a smooth nearest negative.

      generalized       max(0, log sum_p exp(d_ap) + log sum_n exp(m - d_an))
      generalized_soft  log (1 + exp(the same sum))
      original          max(0, J_ij)^2 / 2 for each positive pair (i, j),
                        J_ij = d_ij + log (sum over negatives k of i of
                        exp(m - d_ik) + sum over those of j of exp(m - d_jl))

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    margin: float m, at least 0, in the unit of the distance.
    variant: one of the above.
    distance: see there.
    reduction: 'mean' over anchors that have a positive and a negative, for
      'original' over ordered positive pairs (each pair is met twice, which
      leaves the paper's 1 / 2|P|); 'mean_active' over those with a loss above
      0; or 'sum'.
    gallery: see there; refused by 'original', as rows of an explicit gallery
      have no negatives of their own.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over what is counted.

  Returns:
    float32[], or (float32[], AnchorStats). At a hinge of 0 the gradient is 0.
    'original' makes the distances twice.

  Source: Hermans et al. 2017, arXiv:1703.07737, section 2 (generalized);
  Oh Song et al. 2016, arXiv:1511.06452, Eq. 4 (original).
  Differs: averages anchors, where Hermans sums; 'original' counts a pair
  without a negative on either end, with value 0.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  checks.one_of('lifted structure variant', variant, VARIANTS)
  margin = checks.number('margin', margin)
  if variant == 'original' and gallery is not None:
    raise errors.UsageError(
      "variant 'original' needs the negatives of both ends of a pair, and "
      "rows of an explicit gallery have none; use 'generalized' there."
    )
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )
  extras = (None, None)
  if variant == 'original':
    extras = _negative_sums(of, margin, block)
    term_fn = _lifted_pairs
  else:
    term_fn = _lifted_anchors(margin, variant == 'generalized_soft')
  return terms.reduce(
    term_fn, of, reduction=reduction, block=block, stats=stats, extras=extras
  )


def _lifted_anchors(margin, is_soft):
  def term_fn(dist, positive, negative, extras):
    del extras
    total = terms.log_sum(dist, positive)
    total += terms.log_sum(margin - dist, negative)
    values = jax.nn.softplus(total) if is_soft else jax.nn.relu(total)
    counts = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    return terms.anchor_terms(values[:, 0], counts)

  return term_fn


def _negative_sums(of, margin, block):
  """Log-sums over negatives: of this device's anchors, and of all rows."""

  def row_fn(dist, positive, negative, extras):
    del positive, extras
    return terms.log_sum(margin - dist, negative)[:, 0]

  sums = pairs.rows(row_fn, of, block=block)
  return sums, pairs.gather(sums, of.axis_name)


def _lifted_pairs(dist, positive, negative, extras):
  del negative
  own, other = extras
  hinge = jax.nn.relu(dist + jnp.logaddexp(own[:, None], other[None, :]))
  return terms.pair_terms(0.5 * hinge * hinge, positive)
