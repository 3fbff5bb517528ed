"""AdaTriplet: a triplet hinge plus a hinge on the negative similarity."""

import jax.numpy as jnp

from mammojax import gaps, mining, numerics, pairs
from mammojax.losses import checks, mutual, triplet

FORMS = ('paper', 'code')
REDUCTIONS = ('mean', 'sum')
DEFAULT_SELECTION = {'paper': 'all', 'code': 'semihard_region'}


def adatriplet(
  embeddings,
  labels,
  *,
  margin,
  beta,
  negative_weight=1.0,
  form='paper',
  selection=None,
  reduction='mean',
  gallery=None,
  axis_name=None,
  block=pairs.BLOCK,
  stats=False,
):
  """AdaTriplet loss on cosine similarities phi.

      [phi_an - phi_ap + margin]_+  +  negative_weight [phi_an - beta]_+

  form 'paper' takes the mean of the whole expression over the selected
  triplets, so a negative counts once for each selected triplet it is in.
  form 'code' adds two means: the first hinge over the selected triplets in
  which it is above 0, and negative_weight times phi - beta over unordered
  negative pairs with phi >= beta that occur in a valid triplet.

  Args:
    embeddings: see `mammojax.losses`, as all arguments not listed.
    labels: see there.
    margin: float, epsilon of the paper, in [0, 2).
    beta: float, in [0, 1] in the paper; at least -1 here.
    negative_weight: float, lambda of the paper; at least 0.
    form: 'paper' or 'code'.
    selection: name in `mining.SELECTIONS`; None: 'all' for 'paper',
      'semihard_region' for 'code'.
    reduction: 'mean' as above, or 'sum' of the same terms undivided.
    gallery: see there.
    axis_name: see there.
    block: see there.
    stats: see there; the statistics are TripletStats.

  Returns:
    float32[], or (float32[], TripletStats).

  Source: Nguyen et al. 2022 (MIDL), Eq. 1; form 'code' as in the authors'
  release. With 'semihard_region' triplets in the wrong order get no first
  hinge, and only the second term acts on them.
  """
  checks.one_of('AdaTriplet form', form, FORMS)
  checks.one_of('reduction', reduction, REDUCTIONS)
  selection = DEFAULT_SELECTION[form] if selection is None else selection
  mining.check_name(selection)
  margin = checks.number('margin', margin)
  beta = checks.number('beta', beta, low=-1.0)
  negative_weight = checks.number('negative_weight', negative_weight)
  of = pairs.batch(embeddings, labels, gallery=gallery, axis_name=axis_name)
  negative_term = {'paper': _per_triplet, 'code': _per_pair}[form]

  def weigh(dist, positive, negative, extras):
    chosen = mining.select(selection, dist, positive, negative, margin)
    weights = mining.pair_weights(chosen, positive)
    value = triplet.hinge_sum(weights, dist, chosen, positive, margin)
    sums = triplet.selection_sums(positive, chosen)
    if stats:
      sums |= triplet.batch_sums(dist, positive, negative, extras)
    more = negative_term(dist, negative, chosen, extras, beta)
    more_weights, more_value, above_beta = more
    if form == 'code':
      sums['above_beta'] = above_beta
    return _combine(
      form, weights, value, negative_weight, more_weights, more_value, sums
    )

  def by_rows(of):
    wants_pairs = stats or form == 'code'
    extras = (
      gaps.positives_exist(of, jnp.float32)
      if wants_pairs
      else triplet.no_extras(of)
    )
    return pairs.scan(
      weigh, of, extras, num_terms={'paper': 1, 'code': 2}[form], block=block
    )

  if form == 'paper' and selection == 'all' and mutual.serves(of):
    terms, sums = mutual.scan(
      of,
      margin,
      by_rows,
      ceiling=(1.0 - beta, negative_weight),
      stats=stats,
      block=block,
    )
  else:
    terms, sums = by_rows(of)
  if reduction == 'sum':
    loss = sum(terms)
  elif form == 'paper':
    loss = numerics.divide(terms[0], sums['selected'])
  else:
    loss = numerics.divide(terms[0], sums['active'])
    loss += numerics.divide(terms[1], sums['above_beta'])
  return (loss, triplet.as_stats(sums)) if stats else loss


def _combine(form, weights, value, scale, more_weights, more_value, sums):
  """One term where both share a denominator, two where they do not."""
  more_weights, more_value = scale * more_weights, scale * more_value
  if form == 'paper':
    return (weights + more_weights,), (value + more_value,), sums
  return (weights, more_weights), (value, more_value), sums


def _per_triplet(dist, negative, chosen, extras, beta):
  """Second hinge once for each selected triplet: weights, value, count."""
  del extras
  room = (1.0 - beta) - dist
  times = jnp.where(negative & (room > 0), chosen.selected, 0)
  times = times.astype(jnp.float32)
  return -times, jnp.sum(times * room), jnp.sum(times)


def _per_pair(dist, negative, chosen, extras, beta):
  """Second term once for each unordered pair: weights, value, count."""
  del chosen
  room = (1.0 - beta) - dist
  times = triplet.unordered_weights(negative & (room >= 0), extras)
  return -times, jnp.sum(times * room), jnp.sum(times)
