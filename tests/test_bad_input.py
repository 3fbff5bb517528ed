"""What no loss can work with, for every loss: an error that says so.

A message names what was given and what was expected, so that it can be acted
on without reading the code.
"""

import every_loss
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors, relations

CASES = every_loss.CASES
GOOD = every_loss.batch(7, num_padding=0)
ROWS, DIM = every_loss.ROWS, every_loss.DIM


def cases(where=lambda case: True):
  """Every loss once: what is refused does not hang on the variant."""
  names = [n for n, case in CASES.items() if ' ' not in n and where(case)]
  return pytest.mark.parametrize('name', names)


def takes(argument):
  return cases(lambda case: case.takes(argument))


def on_rows(case):
  """Logits have shapes of their own; `test_siamese` has them."""
  return case.kind != 'logits'


def call(name, x=None, labels=None, **common):
  case = CASES[name]
  x = GOOD['x'] if x is None else x
  if labels is None:
    labels = every_loss.relation_of(GOOD, case)
  return case(jnp.asarray(x), labels, **common)


def words_of(error):
  return str(error.value)


@cases()
def test_what_is_good_is_taken_with_numpy_labels_too(name):
  found = jax.eval_shape(lambda x: CASES[name](x, GOOD['label']), GOOD['x'])
  assert found.shape == ()


@cases(on_rows)
@pytest.mark.parametrize('shape', [(ROWS,), (2, ROWS, DIM), ()])
def test_embeddings_that_are_no_matrix(name, shape):
  with pytest.raises(ValueError, match=r'mbeddings.*\[') as error:
    call(name, x=np.ones(shape, np.float32))
  assert str(shape) in words_of(error)


@cases()
def test_embeddings_that_are_not_floating(name):
  with pytest.raises(TypeError, match='must be floating, got int32'):
    call(name, x=np.ones((ROWS, DIM), np.int32))


@cases()
@pytest.mark.parametrize('field', ['label', 'item', 'valid'])
@pytest.mark.parametrize('length', [ROWS - 1, ROWS + 1])
def test_ids_of_another_length(name, field, length):
  fields = {'label': GOOD['label'], field: np.resize(GOOD[field], length)}
  with pytest.raises(ValueError, match=field) as error:
    call(name, labels=relations.Relation(**fields))
  assert f'({ROWS},)' in words_of(error)
  assert f'({length},)' in words_of(error)


@cases()
@pytest.mark.parametrize('dtype', [np.float32, np.int64, np.uint8, np.bool_])
def test_labels_that_are_not_int32(name, dtype):
  label = GOOD['label'].astype(dtype)
  with pytest.raises(TypeError, match='label must be int32') as error:
    call(name, labels=label)
  assert f'got {np.dtype(dtype).name}' in words_of(error)


@cases()
def test_labels_that_are_a_list(name):
  with pytest.raises(TypeError, match=r'label must be int32.*got list'):
    call(name, labels=GOOD['label'].tolist())


@cases()
def test_validity_that_is_not_bool(name):
  relation = relations.Relation(GOOD['label'], valid=np.ones(ROWS, np.int32))
  with pytest.raises(TypeError, match=r'valid must be bool.*got int32'):
    call(name, labels=relation)


@takes('distance')
def test_an_unknown_distance(name):
  with pytest.raises(errors.UsageError, match=r"'euclidaen'.*'euclidean'"):
    call(name, distance='euclidaen')


@cases()
def test_an_unknown_reduction(name):
  with pytest.raises(errors.UsageError, match=r"'summ'.*'sum'.*mean"):
    call(name, reduction='summ')


OPTIONS = [
  ('batch_all_triplet', 'selection', 'seminard_region', 'semihard_region'),
  ('adatriplet', 'selection', 'al', 'all'),
  ('adatriplet', 'form', 'papr', 'paper'),
  ('semihard_triplet', 'variant', 'facnet', 'facenet'),
  ('lifted_structure', 'variant', 'orignal', 'original'),
  ('supcon', 'positives', 'outsid', 'outside'),
]


@pytest.mark.parametrize('name, option, wrong, near', OPTIONS)
def test_an_unknown_option(name, option, wrong, near):
  with pytest.raises(errors.UsageError, match=f"'{wrong}'.*'{near}'"):
    call(name, **{option: wrong})


NUMBERS = [
  (name, number)
  for name, case in CASES.items()
  for number in case.numbers
  if ' ' not in name
]
# Levels of similarity, which may lie below 0.
LEVELS = ('base', 'beta', 'threshold')


@pytest.mark.parametrize('name, number', NUMBERS)
@pytest.mark.parametrize('value', [-0.1, float('nan'), float('inf')])
def test_a_number_out_of_range(name, number, value):
  if number in LEVELS and value == -0.1:
    value = -1e31
  with pytest.raises(
    errors.UsageError, match=f'{number} (must be|is)'
  ) as error:
    call(name, **{number: value})
  assert f'got {value}' in words_of(error)


@pytest.mark.parametrize('name, number', NUMBERS)
@pytest.mark.parametrize('value', ['0.2', [0.2], np.True_], ids=str)
def test_a_number_that_is_none(name, number, value):
  with pytest.raises(TypeError, match=f'{number} must be a number') as error:
    call(name, **{number: value})
  assert repr(value) in words_of(error)


@pytest.mark.parametrize('name, number', NUMBERS)
def test_a_number_that_is_many(name, number):
  with pytest.raises(errors.UsageError, match=rf'{number}.*scalar.*\(3,\)'):
    call(name, **{number: np.ones(3, np.float32)})


@cases(lambda case: case.kind == 'pairs' and case.takes_gallery)
def test_a_gallery_without_item_ids(name):
  full = every_loss.relation_of(GOOD)
  bare = relations.Relation(full.label)
  for own, other in ((full, bare), (bare, full)):
    with pytest.raises(ValueError, match='needs item ids on both sides'):
      call(name, labels=own, gallery=(jnp.asarray(GOOD['x']), other))


@cases(lambda case: case.kind == 'pairs' and case.takes_gallery)
@pytest.mark.parametrize('shape', [(5, DIM + 1), (DIM,), (2, 5, DIM)])
def test_a_gallery_of_another_width(name, shape):
  relation = every_loss.relation_of(GOOD)
  with pytest.raises(
    ValueError, match=rf'gallery must be \[m, {DIM}\]'
  ) as error:
    call(name, gallery=(jnp.ones(shape), relation))
  assert str(shape) in words_of(error)


def test_a_gallery_where_both_ends_need_negatives():
  relation = every_loss.relation_of(GOOD)
  gallery = (jnp.asarray(GOOD['x']), relation)
  with pytest.raises(errors.UsageError, match="'generalized'"):
    call('lifted_structure original', gallery=gallery)


@cases()
@pytest.mark.parametrize('shape', [(0, DIM), (ROWS, 0)], ids=str)
def test_an_empty_batch(name, shape):
  label = GOOD['label'][: shape[0]]
  with pytest.raises(ValueError) as error:
    call(name, x=np.ones(shape, np.float32), labels=label)
  if on_rows(CASES[name]):
    assert str(shape) in words_of(error)


@takes('block')
@pytest.mark.parametrize('block', [0, -1, 2.5, None])
def test_a_block_that_is_no_count(name, block):
  with pytest.raises(errors.UsageError, match='block must be an int') as error:
    call(name, block=block)
  assert f'got {block}' in words_of(error)


@cases(lambda case: case.kind == 'classes')
@pytest.mark.parametrize('shape', [(every_loss.CLASSES, DIM + 1), (DIM,)])
def test_class_weights_of_another_shape(name, shape):
  with pytest.raises(ValueError, match='class_weights must be') as error:
    call(name, class_weights=jnp.ones(shape))
  assert str(shape) in words_of(error)


@cases(lambda case: case.kind == 'classes')
@pytest.mark.parametrize('label', [every_loss.CLASSES, -1])
def test_a_label_that_is_no_class(name, label):
  labels = GOOD['label'].copy()
  labels[3] = label
  with pytest.raises(ValueError, match=f'Row 3 has label {label}.*0 to 5'):
    call(name, labels=labels)
