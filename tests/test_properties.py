"""Properties that must hold for whatever batch hypothesis thinks of.

The losses here are continuous in the distances, so that the last bit of a
product cannot change what is selected. `test_every_loss` holds all losses to
the same properties on batches of its own.
"""

import functools

import every_loss
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
import jax
import numpy as np
import pytest

from mammojax import relations

ROWS, DIM = every_loss.ROWS, every_loss.DIM
NAMES = ('batch_all_triplet', 'adatriplet', 'contrastive', 'supcon')
_whenever = settings(derandomize=True, deadline=None, max_examples=60)
# Away from 0, where the cosine distance of a row jumps.
_entries = st.floats(0.125, 1.0, width=32).flatmap(
  lambda x: st.sampled_from((x, -x))
)
_batches = st.tuples(
  arrays.arrays(np.float32, (ROWS, DIM), elements=_entries),
  arrays.arrays(np.int32, ROWS, elements=st.integers(0, 3)),
  arrays.arrays(np.bool_, ROWS),
)


@functools.cache
def _graded(name):
  """Loss and gradient of a batch whose rows may be padding."""

  def loss(embeddings, label, item, valid):
    relation = relations.Relation(label, item=item, valid=valid)
    return every_loss.CASES[name](embeddings, relation)

  return jax.jit(jax.value_and_grad(loss))


def _run(name, embeddings, label, valid, item=None):
  item = np.arange(ROWS, dtype=np.int32) if item is None else item
  value, grad = _graded(name)(embeddings, label, item, valid)
  assert np.isfinite(value) and np.all(np.isfinite(grad))
  return float(value), np.asarray(grad)


def _assert_same(got, wanted):
  np.testing.assert_allclose(got[0], wanted[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('name', NAMES)
@_whenever
@given(batch=_batches, order=st.permutations(range(ROWS)))
def test_order_of_rows_does_not_matter(name, batch, order):
  embeddings, label, valid = batch
  order = np.asarray(order)
  _assert_same(
    _run(name, embeddings[order], label[order], valid[order]),
    _run(name, embeddings, label, valid),
  )


@pytest.mark.parametrize('name', NAMES)
@_whenever
@given(
  batch=_batches,
  names=st.lists(
    st.integers(-(2**31), 2**31 - 1), min_size=4, max_size=4, unique=True
  ),
)
def test_names_of_labels_do_not_matter(name, batch, names):
  embeddings, label, valid = batch
  renamed = np.asarray(names, np.int32)[label]
  got = _run(name, embeddings, renamed, valid)
  wanted = _run(name, embeddings, label, valid)
  assert got[0] == wanted[0]
  np.testing.assert_array_equal(got[1], wanted[1])


@pytest.mark.parametrize('name', NAMES)
@_whenever
@given(batch=_batches, other=_batches)
def test_what_padding_holds_does_not_matter(name, batch, other):
  embeddings, label, valid = batch
  replaced = (
    np.where(valid[:, None], embeddings, other[0]),
    np.where(valid, label, other[1]),
  )
  got = _run(name, *replaced, valid)
  _assert_same(got, _run(name, embeddings, label, valid))
  assert not np.any(got[1][~valid])


@pytest.mark.parametrize('name', NAMES)
@_whenever
@given(batch=_batches, scale=st.floats(0.0078125, 128, width=32))
def test_cosine_does_not_see_length(name, batch, scale):
  embeddings, label, valid = batch
  _assert_same(
    _run(name, np.float32(scale) * embeddings, label, valid),
    _run(name, embeddings, label, valid),
  )


@pytest.mark.parametrize('name', NAMES)
@_whenever
@given(batch=_batches)
def test_a_copy_of_one_image_is_no_positive(name, batch):
  embeddings, label, valid = batch
  # All rows of a label are one image: no positive pair is left.
  got = _run(name, embeddings, label, valid, item=label.astype(np.int32))
  if name in ('batch_all_triplet', 'adatriplet', 'supcon'):
    assert got[0] == 0 and not np.any(got[1])
