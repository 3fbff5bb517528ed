"""What `mammojax.losses` promises of every loss, on seeded random batches.

One shape, so that a loss compiles once for all of this; variants of a loss
are slow. `test_every_loss_programs` has what needs another program.
"""

import dataclasses
import inspect

import every_loss
from every_loss_checks import assert_same, cases, changed
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import losses

CASES = every_loss.CASES
SEEDS = range(5)
HARD = every_loss.hard_batches()
COMMON = ('reduction', 'axis_name', 'block', 'stats')


def test_no_public_loss_is_missing():
  functions = {
    name for name in losses.__all__ if inspect.isfunction(getattr(losses, name))
  }
  held = {case.function.__name__ for case in CASES.values()}
  assert held == functions - set(every_loss.NO_LOSSES)
  # The fast run has each of them, by its plain name.
  assert held <= set(CASES)


@cases()
def test_the_signature_is_the_common_one(name):
  case = CASES[name]
  parameters = inspect.signature(case.function).parameters
  if case.kind in ('pairs', 'classes'):
    assert all(case.takes(argument) for argument in COMMON)
    assert list(parameters)[:2] == ['embeddings', 'labels']
    assert parameters['reduction'].default == 'mean'
    assert parameters['stats'].default is False
  if case.kind == 'pairs':
    fixed = ('adatriplet', 'sct', 'wat')
    assert case.takes('gallery')
    assert case.takes('distance') == (case.function.__name__ not in fixed)
  keyword = inspect.Parameter.KEYWORD_ONLY
  assert all(
    parameter.kind is keyword
    for key, parameter in parameters.items()
    if key in COMMON or key in case.numbers
  )


@cases()
def test_the_batches_are_not_empty_to_it(name):
  for seed in SEEDS:
    value, grad = every_loss.evaluate(name, every_loss.batch(seed))
    assert value > 0.0 and np.abs(grad).max() > 1e-3


@cases(where=lambda case: not case.holds_weights)
def test_the_gradient_is_that_of_the_value(name):
  step = 1e-3
  for seed in SEEDS:
    rng = np.random.default_rng(seed + 50)
    rows = every_loss.batch(seed)
    way = rng.normal(size=rows['x'].shape).astype(np.float32)
    way /= np.linalg.norm(way)
    ahead, back = (
      every_loss.evaluate(name, changed(rows, x=rows['x'] + sign * step * way))
      for sign in (1, -1)
    )
    slope = (ahead[0] - back[0]) / (2 * step)
    value, grad = every_loss.evaluate(name, rows)
    # Differences of float32 values know the slope to 1e-7 / step of them.
    np.testing.assert_allclose(
      slope,
      np.sum(grad * way),
      rtol=0,
      atol=3e-4 * value + 0.01 * np.linalg.norm(grad),
    )


@cases(where=lambda case: case.ignores_order)
def test_permuting_the_batch_permutes_the_gradient(name):
  for seed in SEEDS:
    rows = every_loss.batch(seed)
    order = np.random.default_rng(seed + 100).permutation(every_loss.ROWS)
    moved = {field: rows[field][order] for field in rows}
    value, grad = every_loss.evaluate(name, rows)
    assert_same(every_loss.evaluate(name, moved), (value, grad[order]))


@cases(where=lambda case: case.ignores_names)
def test_renaming_labels_and_items_changes_nothing(name):
  for seed in SEEDS:
    rng = np.random.default_rng(seed)
    rows = every_loss.batch(seed)
    # Neighbours near 1e8 are one number in float32.
    names = np.array([100000000, 100000001, 100000002, -1, 2**31 - 1, -(2**31)])
    names = rng.permutation(names).astype(np.int32)
    items = rng.choice(2**31 - 1, every_loss.ROWS, replace=False)
    new = changed(rows, label=names[rows['label']], item=items.astype(np.int32))
    for got, want in zip(
      every_loss.evaluate(name, new),
      every_loss.evaluate(name, rows),
      strict=True,
    ):
      np.testing.assert_array_equal(got, want)


@cases()
def test_what_stands_in_padding_is_never_read(name):
  case = CASES[name]
  for seed in SEEDS:
    rows = every_loss.batch(seed, num_padding=3)
    empty = ~rows['valid']
    other = changed(rows)
    other['x'][empty] = 1e3 * rows['x'][empty] ** 2 + 1
    # A label that no class has, too.
    other['label'][empty] = 77
    other['item'][empty] = rows['item'][0]
    value, grad = every_loss.evaluate(name, rows)
    relation = every_loss.relation_of(other)
    numbers = {key: jnp.float32(n) for key, n in case.numbers.items()}
    again, (new_grad, _) = every_loss.compiled(name)(
      other['x'], relation, numbers
    )
    assert value == again and not grad[empty].any()
    np.testing.assert_array_equal(grad, new_grad)


@cases(where=lambda case: case.is_cosine)
def test_cosine_does_not_see_length(name):
  for seed in SEEDS:
    rows = every_loss.batch(seed)
    # Powers of two scale without rounding, so that no choice can change.
    power = np.random.default_rng(seed).integers(-20, 20, (every_loss.ROWS, 1))
    scale = np.exp2(power).astype(np.float32)
    value, grad = every_loss.evaluate(name, rows)
    again, new_grad = every_loss.evaluate(
      name, changed(rows, x=rows['x'] * scale)
    )
    assert_same((again, new_grad * scale), (value, grad))


@cases()
def test_batches_with_little_in_them_give_finite_numbers(name):
  case = CASES[name]
  for key, rows in HARD.items():
    value, grad = every_loss.evaluate(name, rows)
    assert np.isfinite(value) and np.isfinite(grad).all(), key
    if key in case.zero_on:
      assert value == 0 and not grad.any(), key


@cases(where=lambda case: case.collapsed is not None)
def test_a_collapsed_batch_costs_what_is_documented(name):
  value, grad = every_loss.evaluate(name, HARD['collapsed'])
  np.testing.assert_allclose(value, CASES[name].collapsed, rtol=1e-6)
  np.testing.assert_allclose(grad, np.zeros_like(grad), atol=1e-6)


@cases(where=lambda case: case.numbers)
def test_numbers_carry_no_gradient(name):
  case, rows = CASES[name], every_loss.batch(0)
  numbers = {key: jnp.float32(value) for key, value in case.numbers.items()}
  _, (_, grads) = every_loss.compiled(name)(
    rows['x'], every_loss.relation_of(rows, case), numbers
  )
  assert {key: float(value) for key, value in grads.items()} == dict.fromkeys(
    case.numbers, 0.0
  )


@cases()
def test_no_dtype_or_rank_is_promoted_in_silence(name, strict_promotion):
  case, rows = CASES[name], every_loss.batch(0)
  relation = every_loss.relation_of(rows, case)
  common = {'stats': True} if case.takes('stats') else {}
  found = jax.eval_shape(
    lambda x: case(x, relation, **common), jnp.asarray(rows['x'])
  )
  for leaf in jax.tree.leaves(found):
    assert leaf.shape == () and leaf.dtype == jnp.float32


def test_the_table_can_tell_a_loss_that_breaks_its_promise(monkeypatch):
  # A loss that reads padding and sees length, in the place of a good one.
  def broken(embeddings, labels, **common):
    del labels, common
    return jnp.mean(embeddings**2)

  bad = dataclasses.replace(CASES['supcon'], function=broken, options={})
  monkeypatch.setitem(CASES, 'supcon', bad)
  monkeypatch.setattr(every_loss, 'compiled', every_loss.compiled.__wrapped__)
  for test in (
    test_what_stands_in_padding_is_never_read,
    test_cosine_does_not_see_length,
    test_batches_with_little_in_them_give_finite_numbers,
  ):
    with pytest.raises(AssertionError):
      test('supcon')
