"""Quantiles over all triplets of a batch or an epoch, without listing them.

    found = quantiles.of_batch(embeddings, labels, mode='q1')
    found.gap          # 25 % quantile of phi_ap - phi_an
    found.an           # 75 % quantile of phi_an

Within a batch they are exact: order statistics of the float32 gaps, found by
bisection over all float32 numbers with a count of the triplets below each,
and interpolated linearly between two, as `numpy.quantile` does. Over an epoch
they come from a fixed histogram of 4,096 bins on [-2, 2], to which every
batch is added; they are right to one bin, 1 / 1,024, and what lies outside
(only distances other than cosine can) counts in the outermost bin:

    seen = quantiles.merge(seen, quantiles.histogram_of_batch(x, labels))
    found = quantiles.of_histograms(seen, mode='q1')

With form 'paper' phi_an runs over valid triplets, so that a pair counts once
for each positive of its anchor; with form 'code' over unordered negative
pairs that occur in a triplet.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mammojax import errors, gaps, orderstats, pairs, relations

# mode -> level of the gap and level of phi_an, in quarters.
LEVELS = {'q1': (1, 3), 'q2': (2, 2)}
FORMS = ('paper', 'code')


class Quantiles(NamedTuple):
  """Of one batch or one epoch, over all devices; float32[] each.

  Attributes:
    gap: quantile of d_an - d_ap over valid triplets; 0 if there are none.
    an: quantile of 1 - d_an.
    num_triplets: valid triplets.
    num_an: triplets (form 'paper') or unordered pairs ('code') behind `an`.
  """

  gap: jax.Array
  an: jax.Array
  num_triplets: jax.Array
  num_an: jax.Array


class Histograms(NamedTuple):
  """Counts by bin in two words, int32[2, 4096] each; see `orderstats`.

  Attributes:
    gap: of d_an - d_ap over valid triplets.
    an: of 1 - d_an; with form 'code' each pair twice.
  """

  gap: jax.Array
  an: jax.Array


def of_batch(
  embeddings: jax.Array,
  labels: jax.Array | relations.Relation,
  *,
  mode: str = 'q1',
  form: str = 'paper',
  distance: str = 'cosine',
  gallery: tuple[jax.Array, relations.Relation] | None = None,
  axis_name: str | None = None,
) -> Quantiles:
  """Exact quantiles over the triplets of the global batch.

  Args:
    embeddings: float[b, d], this device's share; no gradient flows.
    labels: int32[b] or Relation.
    mode: 'q1' (25 % of the gap, 75 % of phi_an) or 'q2' (50 % of both).
    form: 'paper' or 'code', see the module.
    distance: key of `distances.DISTANCES`.
    gallery: as for every loss, see `pairs.batch`.
    axis_name: device axis of the batch.

  Returns:
    Quantiles, equal on all devices; all 0 without a triplet. A gap counts as
    at most t if d_an <= d_ap + t in float32. Time O(b m (log^2 m + p log m))
    for p positives in the fullest row, memory O(b m).

  Raises:
    ValueError: unknown names; see `pairs.batch`.
  """
  gap_level, an_level = _levels(mode)
  of, extras = _prepare(embeddings, labels, form, distance, gallery, axis_name)
  rows = pairs.rows(gaps.sorted_rows, of, extras)
  scale = _scale(form)

  def count_gaps(value):
    return _over_devices(of, *gaps.gaps_upto(rows, value))

  def count_sims(value):
    return _over_devices(of, *gaps.sims_upto(rows, value))

  # Nothing lies above infinity.
  num_gaps, _ = count_gaps(jnp.float32(jnp.inf))
  num_sims, _ = count_sims(jnp.float32(jnp.inf))
  return Quantiles(
    gap=orderstats.quantile(count_gaps, num_gaps, gap_level),
    an=orderstats.quantile(count_sims, num_sims, an_level, scale),
    num_triplets=orderstats.as_float(num_gaps),
    num_an=orderstats.as_float(num_sims) / scale,
  )


def histogram_of_batch(
  embeddings: jax.Array,
  labels: jax.Array | relations.Relation,
  *,
  form: str = 'paper',
  distance: str = 'cosine',
  gallery: tuple[jax.Array, relations.Relation] | None = None,
  axis_name: str | None = None,
  block: int = pairs.BLOCK,
) -> Histograms:
  """Counts all triplets of the global batch by gap and by phi_an.

  Args:
    embeddings: float[b, d], this device's share; no gradient flows.
    labels: int32[b] or Relation.
    form: 'paper' or 'code', see the module.
    distance: key of `distances.DISTANCES`.
    gallery: as for every loss, see `pairs.batch`.
    axis_name: device axis of the batch.
    block: anchors at a time.

  Returns:
    Histograms, equal on all devices. Memory O(block m); time O(b m p) for p
    positives in the fullest row: every triplet is put into its bin, which
    takes long for thousands of images in two classes.

  Raises:
    ValueError: unknown names; see `pairs.batch`.
  """
  of, extras = _prepare(embeddings, labels, form, distance, gallery, axis_name)

  def weigh(dist, positive, negative, extra):
    dist = dist.astype(jnp.float32)
    weight = gaps.sim_weights(positive, negative, extra)
    counts = Histograms(
      gap=gaps.gap_histogram(dist, positive, negative),
      an=orderstats.histogram(orderstats.bin_of(1.0 - dist), weight),
    )
    return (), (), counts

  _, counts = pairs.scan(weigh, of, extras, num_terms=0, block=block)
  return jax.tree.map(orderstats.carry, counts)


def empty() -> Histograms:
  """Histograms of nothing."""
  return Histograms(
    *(jnp.zeros((2, orderstats.BINS), jnp.int32) for _ in Histograms._fields)
  )


def merge(one: Histograms, other: Histograms) -> Histograms:
  """Adds counts bin by bin, exactly."""
  return jax.tree.map(lambda a, b: orderstats.carry(a + b), one, other)


def of_histograms(
  counts: Histograms, *, mode: str = 'q1', form: str = 'paper'
) -> Quantiles:
  """Quantiles of all that was counted, right to one bin.

  Args:
    counts: Histograms.
    mode: 'q1' or 'q2'.
    form: with which the counts were made.

  Returns:
    Quantiles; all 0 if nothing was counted.
  """
  gap_level, an_level = _levels(mode)
  scale = _scale(form)
  num_triplets, num_an = (
    jnp.sum(orderstats.as_float(words)) for words in counts
  )
  return Quantiles(
    gap=orderstats.of_histogram(counts.gap, gap_level),
    an=orderstats.of_histogram(counts.an, an_level, scale),
    num_triplets=num_triplets,
    num_an=num_an / scale,
  )


def _scale(form):
  """How often the weights below count one value of phi_an."""
  if form not in FORMS:
    raise errors.unknown('AdaTriplet form', form, FORMS)
  return 2 if form == 'code' else 1


def _levels(mode):
  if mode not in LEVELS:
    raise errors.unknown('quantile mode', mode, LEVELS)
  return LEVELS[mode]


def _prepare(embeddings, labels, form, distance, gallery, axis_name):
  """The batch, and for form 'code' which rows have a positive."""
  embeddings, gallery = jax.lax.stop_gradient((embeddings, gallery))
  of = pairs.batch(
    embeddings,
    labels,
    distance=distance,
    gallery=gallery,
    axis_name=axis_name,
  )
  if _scale(form) == 1:
    return of, (None, None)
  return of, gaps.positives_exist(of, jnp.int32)


def _over_devices(of, counts, above):
  """Counts of all anchors, and the least value above the bound."""
  above = jnp.min(above)
  if of.axis_name is not None:
    above = jax.lax.pmin(above, of.axis_name)
  return orderstats.carry(of.total(orderstats.wide(counts))), above
