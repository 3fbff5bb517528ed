"""Arguments that no loss can work with, refused before anything is computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import errors, losses, pairs, relations
from mammojax.losses import checks

LOSSES = {
  'batch_all_triplet': functools.partial(losses.batch_all_triplet, margin=0.2),
  'adatriplet': functools.partial(losses.adatriplet, margin=0.2, beta=0.1),
  'contrastive': losses.contrastive,
}
LABELS = np.array([0, 0, 1, 1], np.int32)
ROWS = np.eye(4, 3, dtype=np.float32)


@pytest.mark.parametrize('name', LOSSES)
@pytest.mark.parametrize('shape', [(0, 3), (4, 0)], ids=['no row', 'no column'])
def test_an_empty_batch_is_refused(name, shape):
  with pytest.raises(ValueError, match='The batch must not be empty'):
    LOSSES[name](jnp.zeros(shape), jnp.asarray(LABELS[: shape[0]]))


def test_an_empty_gallery_is_refused():
  relation = relations.Relation(jnp.asarray(LABELS), item=jnp.asarray(LABELS))
  nothing = jnp.zeros(0, jnp.int32)
  gallery = (jnp.zeros((0, 3)), relations.Relation(nothing, item=nothing))
  with pytest.raises(ValueError, match='The gallery must not be empty'):
    losses.contrastive(jnp.asarray(ROWS), relation, gallery=gallery)


@pytest.mark.parametrize('block', [0, -1, 2.0, None])
@pytest.mark.parametrize('name', LOSSES)
def test_a_block_that_is_no_count_is_refused(name, block):
  with pytest.raises(errors.UsageError, match=f'above 0, got {block}'):
    LOSSES[name](jnp.asarray(ROWS), jnp.asarray(LABELS), block=block)


@pytest.mark.parametrize('block', [0, -1, 2.0, None])
def test_rows_refuse_it_too(block):
  of = pairs.batch(jnp.asarray(ROWS), jnp.asarray(LABELS))
  with pytest.raises(errors.UsageError, match='block'):
    pairs.rows(lambda dist, *others: dist.sum(1), of, block=block)


@pytest.mark.parametrize(
  'value', ['0.2', None, [0.2], (1,), object(), np.array('0.2'), np.True_],
  ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_margin_that_is_no_number_is_a_type_error(value):
  for name in ('batch_all_triplet', 'adatriplet', 'contrastive'):
    with pytest.raises(TypeError, match='margin must be a number'):
      LOSSES[name](jnp.asarray(ROWS), jnp.asarray(LABELS), margin=value)


@pytest.mark.parametrize('value', [-0.5, float('nan'), float('inf')])
def test_a_margin_out_of_range_is_a_usage_error(value):
  with pytest.raises(errors.UsageError, match='margin must be a finite'):
    checks.number('margin', value)


def test_numbers_of_every_kind_are_taken():
  for value in (
    1,
    1.0,
    np.float32(1),
    np.int64(1),
    np.array(1.0),
    jnp.ones(()),
  ):
    found = checks.number('margin', value)
    assert (found.dtype, found.shape, float(found)) == (jnp.float32, (), 1.0)
  assert jax.jit(lambda m: checks.number('margin', m))(1.0) == 1.0
  with pytest.raises(errors.UsageError, match='scalar'):
    checks.number('margin', np.ones(3))


def test_beta_may_be_as_low_as_a_cosine():
  loss = functools.partial(losses.adatriplet, ROWS, LABELS, margin=0.2)
  assert np.isfinite(loss(beta=-1.0))
  with pytest.raises(errors.UsageError, match='beta'):
    loss(beta=-1.1)


@pytest.mark.parametrize(
  'fields, error',
  [
    (dict(label=LABELS.astype(np.int64)), TypeError),
    (dict(label=LABELS, item=LABELS.astype(np.float32)), TypeError),
    (dict(label=LABELS, valid=LABELS), TypeError),
    (dict(label=LABELS, item=LABELS[:3]), ValueError),
    (dict(label=LABELS[:, None]), ValueError),
    (dict(label=LABELS, same_item='kept'), errors.UsageError),
  ],
  ids=['label', 'item', 'valid', 'short', 'matrix', 'rule'],
)
def test_masks_check_what_they_are_given(fields, error):
  good, bad = relations.Relation(LABELS), relations.Relation(**fields)
  for sides in ((good, bad), (bad, good)):
    with pytest.raises(error):
      relations.masks(*sides)
