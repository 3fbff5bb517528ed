"""Batches of few positives, scored from both ends, against the loops."""

import functools

import jax
import jax.numpy as jnp
from loss_checks import assert_close
import numpy as np
import pytest
import reference

from mammojax import losses, pairs, relations
from mammojax.losses import mutual

MARGIN = 0.3
BETA = 0.1
DISTANCES = tuple(d for d in reference.DISTANCES if d != 'snr')


def _labels():
  """20 rows each; labels of 1 to 4 rows unless the name says otherwise."""
  rng = np.random.default_rng(4)
  ragged = np.repeat([3, 1, 7, 0, 5, 9, 2, 4, 6], [2, 3, 4, 1, 1, 3, 3, 2, 1])
  return {
    'ragged': rng.permutation(ragged),
    'even': rng.permutation(np.repeat(np.arange(5), 4)),
    'singletons': rng.permutation(20),
    'one pair': np.array([5, *range(10, 28), 5]),
    'a label of five': rng.permutation(np.repeat(np.arange(4), 5)),
    'one label': np.full(20, 2),
  }


@functools.cache
def _batches():
  rng = np.random.default_rng(8)
  made = {name: _batch(rng, label) for name, label in _labels().items()}
  made['padded'] = _batch(rng, _labels()['ragged'])
  made['padded']['valid'][[0, 3, 11, 18, 19]] = False
  # Padding of one label is no label of many rows.
  made['mostly padding'] = _batch(rng, _labels()['even'])
  made['mostly padding']['label'][6:] = 0
  made['mostly padding']['valid'][6:] = False
  made['all padding'] = _batch(rng, _labels()['even'])
  made['all padding']['valid'][:] = False
  copied = _batch(rng, _labels()['ragged'])
  # Rows of labels that occur once become copies of one of two or of three.
  first = {
    label: list(copied['label']).index(label) for label in (0, 2, 3, 5, 6)
  }
  for new, old in ((0, 3), (5, 3), (6, 2)):
    for field in ('x', 'label', 'item'):
      copied[field][first[new]] = copied[field][first[old]]
  made['copied'] = copied
  return made


def _batch(rng, label):
  x = rng.normal(size=(28, 6))[label] + 1.1 * rng.normal(size=(20, 6)) + 0.4
  return {
    'x': x.astype(np.float32),
    'label': label.astype(np.int32),
    'item': rng.permutation(20).astype(np.int32) + 100,
    'valid': np.ones(20, bool),
    'group': rng.integers(0, 3, 20).astype(np.int32),
  }


def _relation(batch, **rules):
  names = ('label', 'item', 'valid', 'group')
  return relations.Relation(
    **{k: jnp.asarray(batch[k]) for k in names}, **rules
  )


def _masks(batch, **rules):
  names = ('item', 'valid', 'group')
  return reference.masks(
    batch['label'], **{k: batch[k] for k in names}, **rules
  )


def _nowhere(of):
  """Stands for `by_rows` and marks whatever comes from there with NaN."""
  nan = jnp.nan * jnp.sum(of.anchors)
  names = 'positives selected active triplets anchors gap an pairs an_pairs'
  return (nan,), dict.fromkeys(names.split(), nan)


@functools.cache
def _scan(distance='cosine', ceiling=None):
  """Jitted (x, relation, margin) -> ((total, sums), gradient)."""

  def function(x, relation, margin):
    of = pairs.batch(x, relation, distance=distance)
    assert mutual.serves(of)
    (total,), sums = mutual.scan(
      of, margin, _nowhere, ceiling=ceiling, stats=True, block=8
    )
    return total, sums

  return jax.jit(jax.value_and_grad(function, has_aux=True))


def _served():
  left_out = ('a label of five', 'one label')
  return [name for name in _batches() if name not in left_out]


def _check(batch, distance='cosine', margin=MARGIN, **rules):
  (total, sums), grad = _scan(distance)(
    batch['x'], _relation(batch, **rules), margin
  )
  dist = reference.distances(batch['x'], batch['x'], distance)
  masks = _masks(batch, **rules)
  want, weights, selected, active = reference.batch_all_triplet(
    dist, *masks, margin, reduction='sum'
  )
  np.testing.assert_allclose(total, want, rtol=2e-5, atol=1e-6)
  assert_close(grad, reference.gradient(batch['x'], weights, distance))
  assert (sums['selected'], sums['active']) == (selected, active)
  return dist, masks, sums


@pytest.mark.parametrize('distance', DISTANCES)
def test_every_distance_equals_the_triple_loop(distance):
  for name in _served():
    _check(_batches()[name], distance, margin=0.6)


def test_sums_equal_the_triple_loop():
  for name in _served():
    dist, masks, sums = _check(_batches()[name])
    want = reference.margin_means(dist, *masks)
    assert sums['positives'] == masks[0].sum()
    assert sums['triplets'] == want['num_triplets']
    assert sums['anchors'] == (masks[0].any(1) & masks[1].any(1)).sum()
    assert sums['pairs'] == want['num_pairs']
    for key, count in (('gap', 'triplets'), ('an', 'triplets')):
      mean = (want[key] or 0.0) * want[f'num_{count}']
      np.testing.assert_allclose(sums[key], mean, rtol=1e-5, atol=1e-3)
    mean = (want['an_pairs'] or 0.0) * want['num_pairs']
    np.testing.assert_allclose(sums['an_pairs'], mean, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
  'rules',
  [
    {'same_item': 'positive'},
    {'same_group': 'ignored'},
    {'same_group': 'only'},
  ],
  ids=['item', 'other group', 'own group'],
)
def test_rules_of_the_relation_equal_the_triple_loop(rules):
  for name in ('ragged', 'padded', 'copied'):
    _check(_batches()[name], **rules)


@pytest.mark.parametrize('beta, weight', [(BETA, 0.7), (-1.0, 2.0)])
def test_a_ceiling_equals_the_paper_form(beta, weight):
  for name in _served():
    batch = _batches()[name]
    (total, _), grad = _scan(ceiling=(1.0 - beta, weight))(
      batch['x'], _relation(batch), MARGIN
    )
    dist = reference.distances(batch['x'], batch['x'])
    want, weights = reference.adatriplet_paper(
      dist, *_masks(batch), MARGIN, beta, weight, reduction='sum'
    )
    np.testing.assert_allclose(total, want, rtol=2e-5, atol=1e-6)
    assert_close(grad, reference.gradient(batch['x'], weights))


@pytest.mark.parametrize(
  'name, margin',
  [('a label of five', MARGIN), ('one label', MARGIN), ('even', 0.0)],
)
def test_what_is_not_served_goes_by_rows(name, margin):
  batch = _batches()[name]
  (total, sums), _ = _scan()(batch['x'], _relation(batch), margin)
  assert np.isnan(total) and np.isnan(sums['active'])


def test_labels_may_be_numpy_arrays():
  batch = _batches()['ragged']
  want = _scan()(batch['x'], relations.Relation(jnp.asarray(batch['label'])), 1)

  def function(x):
    of = pairs.batch(x, batch['label'])
    return mutual.scan(of, jnp.float32(1), _nowhere, stats=True)[0][0]

  np.testing.assert_allclose(jax.jit(function)(batch['x']), want[0][0], 1e-6)


def test_other_galleries_devices_and_snr_are_not_served():
  batch = _batches()['even']
  x, relation = jnp.asarray(batch['x']), _relation(batch)
  own = pairs.batch(x, relation)
  assert mutual.serves(own)
  assert not mutual.serves(own._replace(axis_name='data'))
  assert not mutual.serves(pairs.batch(x, relation, distance='snr'))
  assert not mutual.serves(pairs.batch(x, relation, gallery=(x, relation)))


@pytest.mark.parametrize('name', ['ragged', 'a label of five'])
@pytest.mark.parametrize('loss', ['batch_all', 'adatriplet'])
def test_losses_equal_the_triple_loop_either_way(loss, name):
  batch = _batches()[name]
  dist = reference.distances(batch['x'], batch['x'])
  masks = _masks(batch)
  if loss == 'batch_all':
    want, weights = reference.batch_all_triplet(dist, *masks, MARGIN)[:2]
  else:
    want, weights = reference.adatriplet_paper(dist, *masks, MARGIN, BETA)
  (value, stats), grad = _loss(loss)(batch['x'], _relation(batch))
  np.testing.assert_allclose(value, want, rtol=2e-5)
  assert_close(grad, reference.gradient(batch['x'], weights))
  means = reference.margin_means(dist, *masks)
  np.testing.assert_allclose(stats.mean_gap, means['gap'], atol=2e-6)
  np.testing.assert_allclose(stats.mean_an, means['an'], atol=2e-6)
  np.testing.assert_allclose(stats.mean_an_pairs, means['an_pairs'], atol=2e-6)


@functools.cache
def _loss(name):
  loss_fn = {
    'batch_all': functools.partial(losses.batch_all_triplet, margin=MARGIN),
    'adatriplet': functools.partial(
      losses.adatriplet, margin=MARGIN, beta=BETA
    ),
  }[name]
  return jax.jit(
    jax.value_and_grad(functools.partial(loss_fn, stats=True), has_aux=True)
  )


def test_mapped_batches_equal_single_ones():
  names = ('ragged', 'copied', 'padded')
  batches = [_batches()[name] for name in names]
  stacked = jax.tree.map(
    lambda *leaves: jnp.stack(leaves), *map(_relation, batches)
  )
  x = jnp.stack([batch['x'] for batch in batches])
  got = jax.jit(jax.vmap(_scan(), in_axes=(0, 0, None)))(x, stacked, MARGIN)
  for k, batch in enumerate(batches):
    one = _scan()(batch['x'], _relation(batch), MARGIN)
    for mapped, single in zip(
      jax.tree.leaves(got), jax.tree.leaves(one), strict=True
    ):
      np.testing.assert_allclose(mapped[k], single, rtol=1e-5, atol=1e-5)


def test_an_image_under_two_labels_ties_without_harm():
  # d_ap = d_an exactly: the hinge is the margin, and 0 at a margin of 0.
  batch = dict(_batches()['even'], x=np.ones((20, 6), np.float32))
  (total, sums), grad = _scan()(batch['x'], _relation(batch), MARGIN)
  np.testing.assert_allclose(total, MARGIN * sums['selected'], rtol=1e-5)
  assert sums['active'] == sums['selected'] > 0
  assert np.abs(grad).max() < 1e-3
