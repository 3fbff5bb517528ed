"""Retrieval metrics against loops: values, exclusions, refusals and memory."""

import tracemalloc

import numpy as np
import pytest
import reference_retrieval as reference
from retrieval_problems import NAMES, line, random_problem, relation
from sklearn import metrics as sklearn_metrics

from mammojax import errors
from mammojax.metrics import retrieval


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
@pytest.mark.parametrize('block', [1, 7, 256])
def test_per_query_equals_loops_whatever_the_block(rng, distance, block):
  query, gallery, labels = random_problem(rng)
  got = retrieval.per_query(
    query, gallery, **labels, metrics=NAMES, distance=distance, block=block
  )
  measure = reference.cosine_distance
  if distance == 'euclidean':
    measure = reference.squared_distance
  for i, anchor in enumerate(query):
    dist = [measure(anchor, row) for row in gallery]
    relevant = list(labels['gallery_label'] == labels['query_label'][i])
    for name in NAMES:
      want = reference.expected(name, dist, relevant)
      assert got[name][i] == pytest.approx(want, abs=1e-12, nan_ok=True)


def test_map_equals_scikit_learn_without_ties(rng):
  query, gallery, labels = random_problem(rng, q=40, g=300, d=16)
  got = retrieval.per_query(query, gallery, **labels, metrics=('map',))['map']
  unit = gallery / np.linalg.norm(gallery, axis=1, keepdims=True)
  scores = query.astype(np.float64) @ unit.astype(np.float64).T
  for i, row in enumerate(scores):
    relevant = labels['gallery_label'] == labels['query_label'][i]
    want = sklearn_metrics.average_precision_score(relevant, row)
    assert got[i] == pytest.approx(want, abs=1e-9)


def test_self_matches_leave_even_when_an_image_occurs_twice():
  # Item 'a' stands twice in the gallery; the only mate 'b' is farther than 'c'.
  gallery = line([0.0, 0.0, 3.0, 1.0])
  got = retrieval.per_query(
    line([0.0]),
    gallery,
    query_label=np.array([7]),
    gallery_label=np.array([7, 7, 7, 8]),
    query_item=np.array(['a']),
    gallery_item=np.array(['a', 'a', 'b', 'c']),
    metrics=('map', 'recall@1'),
    distance='euclidean',
  )
  assert got['map'][0] == 0.5
  assert got['recall@1'][0] == 0.0


def test_same_group_is_left_out_only_on_request():
  arguments = relation([5], [5, 6, 5])
  arguments['query_group'] = np.array(['exam1'])
  arguments['gallery_group'] = np.array(['exam1', 'exam9', 'exam2'])
  places = line([1.0, 2.0, 3.0])
  for ignore, want in ((False, 1.0), (True, 0.5)):
    got = retrieval.per_query(
      line([0.0]),
      places,
      **arguments,
      ignore_same_group=ignore,
      metrics=('mrr',),
      distance='euclidean',
    )
    assert got['mrr'][0] == want


def test_query_without_a_mate_is_nan_in_every_metric():
  got = retrieval.per_query(
    line([0.0, 0.0]),
    line([1.0, 2.0, 3.0, 4.0, 5.0]),
    **relation([1, 9], [2, 1, 3, 3, 3]),
    metrics=NAMES,
    distance='euclidean',
  )
  for name in NAMES:
    assert np.isnan(got[name][1]), name
    assert np.isfinite(got[name][0]), name


def test_labels_above_float_precision_stay_apart():
  labels = relation([2**24 + 1], [2**24, 2**24 + 1])
  got = retrieval.per_query(
    line([0.0]),
    line([1.0, 2.0]),
    **labels,
    metrics=('cmc@1',),
    distance='euclidean',
  )
  assert got['cmc@1'][0] == 0.0


def test_permuting_the_gallery_changes_nothing(rng):
  query, gallery, labels = random_problem(rng)
  gallery = np.round(gallery)
  before = retrieval.per_query(query, gallery, **labels, metrics=NAMES)
  order = rng.permutation(len(gallery))
  for key in ('gallery_label', 'gallery_item'):
    labels[key] = labels[key][order]
  after = retrieval.per_query(query, gallery[order], **labels, metrics=NAMES)
  for name in NAMES:
    np.testing.assert_allclose(before[name], after[name], atol=1e-12)


def test_ranks_returns_the_nearest_rows_and_their_distances(rng):
  query, gallery, labels = random_problem(rng)
  labels['gallery_item'][:3] = labels['query_item'][:3]
  for distance in ('cosine', 'euclidean'):
    got = retrieval.ranks(query, gallery, **labels, k=4, distance=distance)
    for i, anchor in enumerate(query):
      if distance == 'cosine':
        dist = [reference.cosine_distance(anchor, row) for row in gallery]
      else:
        dist = [
          reference.squared_distance(anchor, row) ** 0.5 for row in gallery
        ]
      if i < 3:
        dist[i] = np.inf
      order = np.argsort(dist)[:4]
      assert got.index[i].tolist() == order.tolist()
      want = np.array(dist)[order]
      np.testing.assert_allclose(got.distance[i], want, atol=1e-6)


def test_ranks_marks_places_that_no_row_is_left_for():
  got = retrieval.ranks(
    line([0.0]),
    line([2.0, 1.0]),
    query_label=np.array([1]),
    gallery_label=np.array([1, 1]),
    query_item=np.array([4]),
    gallery_item=np.array([4, 5]),
    k=2,
    distance='euclidean',
  )
  assert got.index.tolist() == [[1, -1]]
  assert got.distance[0, 0] == 1.0 and np.isnan(got.distance[0, 1])
  assert got.first[0] == 1.0


def test_distance_histogram_counts_each_pair_once(rng):
  query, gallery, labels = random_problem(rng)
  labels['gallery_item'][5] = labels['query_item'][2]
  edges = np.array([0.0, 0.5, 0.9, 1.2, 1.6])  # some distances lie beyond
  got = retrieval.distance_histogram(
    query, gallery, **labels, edges=edges, block=10
  )
  want = np.zeros((2, 4), int)
  for i, anchor in enumerate(query):
    for j, row in enumerate(gallery):
      if labels['query_item'][i] == labels['gallery_item'][j]:
        continue
      mated = labels['query_label'][i] == labels['gallery_label'][j]
      dist = reference.cosine_distance(anchor, row)
      place = sum(dist >= edge for edge in edges[1:-1])
      want[0 if mated else 1, place] += 1
  assert np.array_equal(np.stack(got), want)
  assert got[0].dtype == np.int64


def test_non_finite_rows_are_named_with_their_item(rng):
  query, gallery, labels = random_problem(rng)
  gallery[11, 2] = np.inf
  labels['query_item'] = np.array([f'q{i}.png' for i in range(23)])
  labels['gallery_item'] = np.array([f'g{i}.png' for i in range(57)])
  with pytest.raises(errors.DataError, match=r'gallery row 11 .*g11\.png'):
    retrieval.per_query(query, gallery, **labels)


@pytest.mark.parametrize(
  ('change', 'error', 'message'),
  [
    ({'metrics': ('mpa',)}, errors.UsageError, "mean 'map'"),
    ({'metrics': ('cmc',)}, errors.UsageError, "mean 'cmc@k'"),
    ({'metrics': ('map@3',)}, errors.UsageError, 'Unknown'),
    ({'metrics': ('cmc@0',)}, errors.UsageError, 'from 1'),
    ({'metrics': ('cmc@58',)}, errors.UsageError, 'gallery size, 57'),
    ({'distance': 'cosin'}, errors.UsageError, "mean 'cosine'"),
    ({'ties': 'optimistic'}, errors.UsageError, 'tie rule'),
    ({'block': 0}, errors.UsageError, 'block'),
    ({'query_label': np.zeros(22, int)}, errors.UsageError, 'label'),
    ({'query_label': np.zeros(23)}, errors.UsageError, 'float64'),
    ({'query_item': np.array(['x'] * 23)}, errors.UsageError, 'item'),
    ({'ignore_same_group': True}, errors.UsageError, 'query_group'),
    ({'query': np.zeros((23, 6), np.float32)}, errors.UsageError, '6 dim'),
    ({'query': np.zeros((23, 5), int)}, errors.UsageError, 'int64'),
    ({'query': np.zeros(5, np.float32)}, errors.UsageError, 'rows, d'),
  ],
)
def test_bad_arguments_are_answered_clearly(rng, change, error, message):
  query, gallery, labels = random_problem(rng)
  arguments = {'query': query, 'gallery': gallery, **labels, **change}
  with pytest.raises(error, match=message):
    retrieval.per_query(**arguments)


def test_empty_gallery_is_a_data_error():
  with pytest.raises(errors.DataError, match='gallery is empty'):
    retrieval.per_query(line([0.0]), line([]), **relation([1], []))


def test_no_queries_give_empty_results():
  empty = np.zeros((0, 1), np.float32)
  labels = relation(np.zeros(0, int), [1, 2])
  got = retrieval.per_query(empty, line([1, 2]), **labels, metrics=('map',))
  assert got['map'].shape == (0,)


def test_memory_does_not_grow_with_queries_times_gallery(rng):
  query, gallery, labels = random_problem(rng, q=3000, g=3000, subjects=900)
  tracemalloc.start()
  retrieval.per_query(query, gallery, **labels, block=20)
  retrieval.distance_histogram(
    query, gallery, **labels, block=20, edges=np.linspace(0.0, 2.0, 50)
  )
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  # Even one byte a pair would be 9 MB.
  assert peak < 6e6
