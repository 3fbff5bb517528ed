"""Relations against a loop over pairs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference

from mammojax import errors, relations

SAME_ITEM = ('ignored', 'positive')
SAME_GROUP = ('kept', 'ignored', 'only')


def _rows(rng, count):
  return {
    'label': rng.integers(0, 4, count).astype(np.int32),
    'valid': rng.random(count) < 0.8,
    'group': rng.integers(0, 6, count).astype(np.int32),
  }


def _masks(anchor, gallery, anchor_row=None):
  got = relations.masks(anchor, gallery, anchor_row)
  return tuple(np.asarray(one) for one in got)


def _assert_equal(got, want):
  for one, other in zip(got, want, strict=True):
    assert one.dtype == bool
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize('same_group', SAME_GROUP)
@pytest.mark.parametrize('same_item', SAME_ITEM)
def test_masks_equal_the_loop_for_every_rule(same_item, same_group, rng):
  rows = _rows(rng, 18)
  # One item belongs to one subject and exam: copies of a row share them.
  item = np.arange(50, 68, dtype=np.int32)
  for copy, original in ((5, 2), (9, 2), (16, 11)):
    item[copy] = item[original]
    for name in ('label', 'group'):
      rows[name][copy] = rows[name][original]
  rules = {'same_item': same_item, 'same_group': same_group}
  relation = relations.Relation(item=item, **rows, **rules)
  want = reference.masks(item=item, **rows, **rules)
  _assert_equal(_masks(relation, relation), want)
  jitted = jax.jit(lambda r: relations.masks(r, r))(relation)
  _assert_equal(tuple(np.asarray(one) for one in jitted), want)


@pytest.mark.parametrize('same_item', SAME_ITEM)
def test_blocks_of_anchors_concatenate_to_the_whole(same_item, rng):
  rows = _rows(rng, 12)
  rules = {'same_item': same_item, 'same_group': 'ignored'}
  whole = relations.fill(relations.Relation(**rows, **rules))
  want = reference.masks(**rows, same_group='ignored')
  jitted = jax.jit(relations.masks)
  for start in (0, 4, 8):
    # No item ids: the item is the row of the whole, so the offset counts.
    part = {k: v[start : start + 4] for k, v in rows.items()}
    block = relations.fill(relations.Relation(**part, **rules), start)
    anchor_row = jnp.arange(4, dtype=jnp.int32) + start
    for masks in (relations.masks, jitted):
      got = [np.asarray(one) for one in masks(block, whole, anchor_row)]
      _assert_equal(got, [one[start : start + 4] for one in want])


def test_a_row_is_never_its_own_positive_without_items():
  label = np.zeros(5, np.int32)
  positive, negative = _masks(
    relations.Relation(label=label), relations.Relation(label=label)
  )
  np.testing.assert_array_equal(positive, ~np.eye(5, dtype=bool))
  assert not negative.any()


def test_another_copy_of_the_item_is_ignored_or_a_positive_on_request():
  label = np.array([1, 1, 1, 2], np.int32)
  item = np.array([7, 7, 8, 9], np.int32)
  for rule, expected in zip(SAME_ITEM, (False, True), strict=True):
    relation = relations.Relation(label=label, item=item, same_item=rule)
    positive, negative = _masks(relation, relation)
    assert positive[0, 1] == positive[1, 0] == expected
    assert positive[0, 2] and not positive.diagonal().any()
    assert not negative[0, 1] and negative[0, 3]


def test_padding_is_neither_positive_nor_negative():
  label = np.array([1, 1, 1, 2, 2], np.int32)
  valid = np.array([True, True, False, True, False])
  relation = relations.Relation(label=label, valid=valid)
  for mask in _masks(relation, relation):
    assert not mask[~valid].any() and not mask[:, ~valid].any()


def test_positive_and_negative_never_meet(rng):
  for same_item, same_group in itertools.product(SAME_ITEM, SAME_GROUP):
    rows = _rows(rng, 15)
    item = rng.integers(0, 9, 15).astype(np.int32)
    relation = relations.Relation(
      item=item, **rows, same_item=same_item, same_group=same_group
    )
    positive, negative = _masks(relation, relation)
    assert not (positive & negative).any()
    assert not positive.diagonal().any() and not negative.diagonal().any()


def test_labels_beyond_float32_stay_apart():
  label = np.array([100000000, 100000001, 100000001, 2**31 - 1], np.int32)
  relation = relations.Relation(label=label)
  positive, negative = _masks(relation, relation)
  assert not positive[0].any() and positive[1, 2] and negative[0, 1]
  item = np.array([100000000, 100000001, 100000000, 100000003], np.int32)
  same = np.zeros(4, np.int32)
  relation = relations.Relation(label=same, item=item)
  positive, _ = _masks(relation, relation)
  assert positive[0, 1] and not positive[0, 2]


def test_negative_labels_and_items_are_ordinary_values():
  label = np.array([-1, -1, -2, 0], np.int32)
  relation = relations.Relation(
    label=label, item=np.array([-5, -4, -3, -2], np.int32)
  )
  positive, negative = _masks(relation, relation)
  assert positive[0, 1] and negative[0, 2] and negative[0, 3]


def test_an_explicit_gallery_compares_item_ids():
  anchor = {
    'label': np.array([1, 2, 3], np.int32),
    'item': np.array([10, 20, 30], np.int32),
  }
  gallery = {
    'label': np.array([2, 1, 1, 3, 3], np.int32),
    'item': np.array([20, 10, 11, 31, 30], np.int32),
  }
  got = _masks(relations.Relation(**anchor), relations.Relation(**gallery))
  want = reference.masks(
    anchor['label'], gallery['label'], anchor['item'], gallery['item']
  )
  _assert_equal(got, want)
  np.testing.assert_array_equal(np.argwhere(got[0]), [[0, 2], [2, 3]])


@pytest.mark.parametrize('field', ['label', 'item', 'group'])
@pytest.mark.parametrize('dtype', [np.float32, np.int64, np.uint8, bool])
def test_ids_that_are_not_int32_are_refused(field, dtype):
  ids = {'label': np.zeros(4, np.int32), field: np.zeros(4, dtype)}
  with pytest.raises(TypeError, match=np.dtype(dtype).name):
    relations.as_relation(relations.Relation(**ids), 4)


@pytest.mark.parametrize('field', ['item', 'group', 'valid'])
def test_vectors_of_another_length_are_refused(field):
  dtype = bool if field == 'valid' else np.int32
  with pytest.raises(ValueError, match='3'):
    relations.as_relation(
      relations.Relation(
        label=np.zeros(4, np.int32), **{field: np.zeros(3, dtype)}
      ),
      4,
    )


def test_labels_must_be_a_vector():
  with pytest.raises(ValueError, match='label'):
    relations.as_relation(np.zeros((4, 1), np.int32), 4)


def test_a_mask_that_is_not_boolean_is_refused():
  with pytest.raises(TypeError, match='valid'):
    relations.as_relation(
      relations.Relation(
        label=np.zeros(4, np.int32), valid=np.ones(4, np.float32)
      ),
      4,
    )


@pytest.mark.parametrize(
  'rule, wrong, known',
  [
    ('same_item', 'ignore', SAME_ITEM),
    ('same_group', 'keep', SAME_GROUP),
  ],
)
def test_an_unknown_rule_lists_the_known_ones(rule, wrong, known):
  with pytest.raises(errors.UsageError) as caught:
    relations.as_relation(
      relations.Relation(
        label=np.zeros(4, np.int32),
        group=np.zeros(4, np.int32),
        **{rule: wrong},
      ),
      4,
    )
  for name in known:
    assert name in str(caught.value)


def test_a_relation_is_a_pytree_whose_rules_are_static():
  relation = relations.Relation(
    label=np.arange(3, dtype=np.int32), same_item='positive'
  )
  leaves, tree = jax.tree.flatten(relation)
  assert len(leaves) == 1 and all(np.shape(leaf) == (3,) for leaf in leaves)
  again = jax.tree.unflatten(tree, leaves)
  assert again.same_item == 'positive' and again.item is None


def test_a_list_of_labels_is_refused():
  with pytest.raises(TypeError, match='int32'):
    relations.as_relation([0, 0, 1], 3)


@pytest.mark.parametrize('rule', ['ignored', 'only'])
def test_the_group_rule_without_groups_is_refused(rule):
  relation = relations.Relation(label=np.zeros(4, np.int32), same_group=rule)
  with pytest.raises(ValueError, match='group'):
    relations.masks(relation, relation)


@pytest.mark.parametrize('size', [2, 3], ids=['pairs', 'triplets'])
def test_drawn_relates_the_rows_of_one_tuple(size):
  position = np.arange(24, 36, dtype=np.int32)
  label = (np.arange(12) % size == size - 1).astype(np.int32)
  relation = relations.drawn(relations.Relation(label=label), position, size)
  positive, negative = _masks(relation, relation)
  for i, j in itertools.product(range(12), repeat=2):
    together = i // size == j // size and i != j
    assert positive[i, j] == (together and label[i] == label[j])
    assert negative[i, j] == (together and label[i] != label[j])
