"""Softmax losses: positives against the other pairs of their anchor.

    loss = softmax.nt_xent(embeddings, labels, temperature=0.1)

Similarities are 1 - d for the cosine distance, for which these losses are
defined, and -d for every other. The softmax of one positive is log-add-exp of
its own score and the log-sum of the anchor's negatives, so many positives
need no cube.
"""

import jax
import jax.numpy as jnp

from mammojax import distances, pairs
from mammojax.losses import checks, terms

REDUCTIONS = ('mean', 'sum')
POSITIVES = ('outside', 'inside')
INNER = 'inner'


def _against_negatives(scores, positive, negative) -> terms.Terms:
  """-log of exp(s_ap) / (exp(s_ap) + sum_n exp(s_an)), for each positive."""
  gap = terms.log_sum(scores, negative) - scores
  return terms.pair_terms(jax.nn.softplus(gap), positive)


def nt_xent(
  embeddings,
  labels,
  *,
  temperature=0.1,
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Cross-entropy of each positive pair against its anchor's negatives.

      -log  exp(s_ap / t) / (exp(s_ap / t) + sum_n exp(s_an / t))

  with s = 1 - d for cosine and -d otherwise; other positives of the anchor
  are not in the denominator. For SimCLR give both views one label. Two views
  that also share an item id are ignored unless the Relation says
  same_item='positive'.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    temperature: float t, above 0.
    distance: see there.
    reduction: 'mean' over ordered positive pairs, or 'sum'. A pair whose
      anchor has no negative counts, with value 0.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over positive pairs.

  Returns:
    float32[], or (float32[], AnchorStats).

  Source: Chen et al. 2020, arXiv:2002.05709, Eq. 1; for several positives as
  in pytorch-metric-learning's NTXentLoss.
  Differs: Chen has one positive for each anchor; here each positive makes a
  term of its own.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  temperature = checks.number('temperature', temperature, terms.SMALLEST)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def term_fn(dist, positive, negative, extras):
    del extras
    scores = terms.similarity(dist, distance) / temperature
    return _against_negatives(scores, positive, negative)

  return terms.reduce(
    term_fn, of, reduction=reduction, block=block, stats=stats
  )


def supcon(
  embeddings,
  labels,
  *,
  temperature=0.1,
  positives='outside',
  distance='cosine',
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """Supervised contrastive loss: all positives of an anchor in one term.

      z_a       =  sum over p and n of exp(s / t)
      outside      -1/|P(a)| sum_p log (exp(s_ap / t) / z_a)
      inside       -log (1/|P(a)| sum_p exp(s_ap / t) / z_a)

  with s = 1 - d for cosine and -d otherwise. An ignored pair is in neither
  sum.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    temperature: float t, above 0.
    positives: 'outside' or 'inside' the logarithm.
    distance: see there.
    reduction: 'mean' over anchors that have a positive and a negative, or
      'sum'.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over those anchors.

  Returns:
    float32[], or (float32[], AnchorStats).

  Source: Khosla et al. 2020, arXiv:2004.11362, Eq. 2 (outside) and 3
  (inside).
  Differs: averages anchors, the paper sums; anchors without a negative do not
  count, so that a batch of one class is 0.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  checks.one_of('place of the positives', positives, POSITIVES)
  temperature = checks.number('temperature', temperature, terms.SMALLEST)
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def term_fn(dist, positive, negative, extras):
    del extras
    scores = terms.similarity(dist, distance) / temperature
    everything = terms.log_sum(scores, positive | negative)
    number = jnp.sum(positive, axis=1, keepdims=True, dtype=jnp.int32)
    number = jnp.maximum(number, 1).astype(jnp.float32)
    if positives == 'inside':
      values = everything - terms.log_sum(scores, positive) + jnp.log(number)
    else:
      lacks = jnp.where(positive, everything - scores, 0.0)
      values = jnp.sum(lacks, axis=1, keepdims=True) / number
    counts = jnp.any(positive, axis=1) & jnp.any(negative, axis=1)
    return terms.anchor_terms(values[:, 0], counts)

  return terms.reduce(
    term_fn, of, reduction=reduction, block=block, stats=stats
  )


def n_pair(
  embeddings,
  labels,
  *,
  distance=INNER,
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """N-pair loss: each positive pair against its anchor's negatives.

      log (1 + sum_n exp(s_an - s_ap))

  with s the inner product of the embeddings as they are, or 1 - d for cosine
  and -d for every other distance. The regulariser that keeps norms of inner
  products small is a function of its own and not part of this loss.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    distance: 'inner' (d = -s in the statistics) or a key of
      `distances.DISTANCES`.
    reduction: 'mean' over ordered positive pairs, or 'sum'. A pair whose
      anchor has no negative counts, with value 0.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are AnchorStats over positive pairs.

  Returns:
    float32[], or (float32[], AnchorStats).

  Source: Sohn 2016 (NIPS), section 3.2 (multi-class N-pair).
  Differs: every negative of the anchor counts; Sohn takes one row of each
  other class. That loss results from anchors as embeddings and one positive
  of each class as the gallery.
  """
  checks.one_of('reduction', reduction, REDUCTIONS)
  checks.one_of('distance', distance, (INNER, *distances.DISTANCES))
  is_inner = distance == INNER
  of = pairs.batch(
    embeddings,
    labels,
    # Leaves the rows as they are.
    distance='squared_euclidean' if is_inner else distance,
    gallery=gallery,
    axis_name=axis_name,
  )

  def term_fn(dist, positive, negative, extras):
    del extras
    scores = terms.similarity(dist, distance)
    return _against_negatives(scores, positive, negative)

  return terms.reduce(
    term_fn,
    of,
    reduction=reduction,
    block=block,
    stats=stats,
    extras=(of.anchors, of.gallery) if is_inner else (None, None),
    dist_fn=_minus_inner if is_inner else None,
  )


def _minus_inner(dist, extras):
  del dist
  anchors, gallery = extras
  return -jnp.matmul(anchors, gallery.T, precision=jax.lax.Precision.HIGHEST)
