"""Equal distances in retrieval: every order counts; near ones are no tie."""

import numpy as np
import pytest
import reference_retrieval as reference
from retrieval_problems import NAMES, line, relation

from mammojax.metrics import retrieval, ties


def tied_galleries(rng, count):
  """Galleries of six items on three places: every query has many ties."""
  for _ in range(count):
    places = rng.integers(1, 4, 6)
    relevant = rng.random(6) < 0.45
    if relevant.any():
      yield places, relevant


@pytest.mark.parametrize('rule', retrieval.TIES)
def test_per_query_equals_every_order_of_ties(rng, rule):
  loop = getattr(reference, rule)
  for places, relevant in tied_galleries(rng, 25):
    got = retrieval.per_query(
      line([0]),
      line(places),
      **relation([1], relevant.astype(int)),
      metrics=NAMES,
      distance='euclidean',
      ties=rule,
    )
    for name in NAMES:
      want = loop(name, list(places), list(relevant))
      assert got[name][0] == pytest.approx(want, abs=1e-12), name


def test_ranks_expects_the_first_rank_over_every_order(rng):
  for places, relevant in tied_galleries(rng, 25):
    got = retrieval.ranks(
      line([0]),
      line(places),
      **relation([1], relevant.astype(int)),
      distance='euclidean',
      k=3,
    )
    want = reference.expected('first_rank', list(places), list(relevant))
    assert got.first[0] == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
@pytest.mark.parametrize('noise', [0.0, 1e-6, 1e-4])
def test_collapsed_embeddings_score_chance(rng, distance, noise):
  point = rng.normal(size=128)
  table = point * (1 + noise * rng.normal(size=(90, 128)))
  table = table.astype(np.float32)
  labels = relation(np.arange(40), np.arange(50))
  got = retrieval.per_query(
    table[:40], table[40:], **labels, distance=distance, metrics=NAMES
  )
  assert got['cmc@1'] == pytest.approx(np.full(40, 1 / 50), abs=1e-12)
  assert got['cmc@4'] == pytest.approx(np.full(40, 4 / 50), abs=1e-12)
  harmonic = sum(1 / j for j in range(1, 51)) / 50
  assert got['map'] == pytest.approx(np.full(40, harmonic), abs=1e-12)
  worst = retrieval.per_query(
    table[:40], table[40:], **labels, distance=distance, ties='pessimistic'
  )
  assert worst['map'] == pytest.approx(np.full(40, 1 / 50), abs=1e-12)


def test_duplicates_of_a_gallery_row_are_a_tie(rng):
  # Odd sizes make the matrix product treat the last columns differently.
  rows = rng.normal(size=(31, 37)).astype(np.float32)
  source = rng.permutation(np.repeat(np.arange(31), 10))[:301]
  query = rng.normal(size=(20, 37)).astype(np.float32)
  wanted = source[:20]
  for i in range(20):
    label = np.zeros(301, int)
    label[i] = 1
    got = retrieval.ranks(
      query[i : i + 1], rows[source], **relation([1], label)
    )
    near = [reference.cosine_distance(query[i], row) for row in rows]
    closer = sum(near[j] < near[wanted[i]] for j in source)
    copies = sum(source == wanted[i])
    assert got.first[0] == closer + (copies + 1) / 2


def test_near_but_different_distances_are_no_tie():
  angle = np.array([1e-3, 2e-3])
  gallery = np.stack([np.cos(angle), np.sin(angle)], axis=1)
  query = np.array([[1.0, 0.0]], np.float32)
  got = retrieval.per_query(
    query,
    gallery.astype(np.float32),
    **relation([0], [0, 1]),
    metrics=('cmc@1',),
  )
  assert got['cmc@1'][0] == 1.0


def test_zero_vector_is_chance():
  gallery = np.eye(4, dtype=np.float32)
  got = retrieval.per_query(
    np.zeros((1, 4), np.float32),
    gallery,
    **relation([2], np.arange(4)),
    metrics=('cmc@1',),
  )
  assert got['cmc@1'][0] == pytest.approx(0.25)


def test_large_tie_probabilities_stay_exact():
  table = ties.single(np.array([100_000, 100_000]), np.array([1, 3]))
  want = 1 - 99_995 / 100_000 * 99_994 / 99_999 * 99_993 / 99_998
  assert ties.cmc(table, 5) == pytest.approx([5e-5, want], abs=1e-9)
  assert ties.cmc(table, 1) == pytest.approx([1e-5, 3e-5], rel=1e-15)
  assert ties.first_rank(table).tolist() == [50_000.5, 25_000.25]
