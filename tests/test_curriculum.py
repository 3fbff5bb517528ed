"""The curriculum switches when its definition says, once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mammojax import curriculum, errors

MARGIN = 0.5


@jax.jit
def _update(state, loss, margin):
  return curriculum.update(state, loss, margin)


def _hard_from(state, values, margin=MARGIN):
  """Number of updates after which the curriculum is hard, or None."""
  first = None
  for number, loss in enumerate(values, 1):
    state = _update(state, jnp.float32(loss), jnp.float32(margin))
    is_hard = bool(curriculum.is_hard(state))
    if first is not None:
      # There is no way back.
      assert is_hard
    elif is_hard:
      first = number
  assert int(state.step) == len(values)
  return first


def _stall(values, margin, stall_at, patience, tolerance, min_drop, decay):
  """The definition in plain numbers."""
  total = weight = 0.0
  best, near, flat = float('inf'), 0, 0
  for number, loss in enumerate(values, 1):
    total = decay * total + (1 - decay) * loss
    weight = decay * weight + (1 - decay)
    mean = total / weight
    near = near + 1 if abs(mean - margin) <= tolerance * margin else 0
    if mean >= (1 - min_drop) * best:
      flat += 1
    else:
      best, flat = mean, 0
    if near >= patience or (stall_at == 'anywhere' and flat >= patience):
      return number
  return None


def test_the_step_says_when():
  state = curriculum.init('step', at_step=3)
  assert not curriculum.is_hard(state)
  assert _hard_from(state, [0.1] * 5) == 3
  assert curriculum.is_hard(curriculum.init('step', at_step=0))


def test_a_loss_at_the_margin_is_a_stall():
  options = {'patience': 4, 'tolerance': 0.1, 'decay': 0.0}
  state = curriculum.init('stall', **options)
  # 0.45 to 0.55 is at the margin of 0.5; one step outside begins anew.
  values = [0.9, 0.54, 0.46, 0.53, 0.56, 0.5, 0.47, 0.52, 0.54]
  assert _hard_from(state, values) == 9
  assert _hard_from(state, values, margin=0.2) is None


def test_a_plateau_off_the_margin_counts_only_anywhere():
  # The mean stands at 0.3, as in a training stuck below a margin of 0.4.
  values = [0.4, 0.35] + [0.3] * 8
  options = {'patience': 5, 'decay': 0.0, 'min_drop': 0.05}
  at_margin = curriculum.init('stall', tolerance=0.05, **options)
  anywhere = curriculum.init(
    'stall', stall_at='anywhere', tolerance=0.05, **options
  )
  assert _hard_from(at_margin, values) is None
  # Best at the third update; five without progress after it.
  assert _hard_from(anywhere, values) == 8


@pytest.mark.parametrize('stall_at', curriculum.STALLS)
@pytest.mark.parametrize('seed', range(4))
def test_stalls_of_noisy_losses_follow_the_definition(stall_at, seed):
  rng = np.random.default_rng(seed)
  fall = 0.5 + 0.5 * np.exp(-np.arange(120) / 12.0)
  values = (fall + rng.normal(scale=0.03, size=120)).astype(np.float32)
  options = {
    'stall_at': stall_at,
    'patience': 7,
    'tolerance': 0.04,
    'min_drop': 0.01,
    'decay': 0.8,
  }
  want = _stall(values.astype(np.float64), MARGIN, **options)
  assert want is not None
  assert _hard_from(curriculum.init('stall', **options), values) == want


def test_steady_progress_is_no_stall():
  state = curriculum.init('stall', stall_at='anywhere', patience=3, decay=0.5)
  assert _hard_from(state, 4.0 * 0.9 ** np.arange(12)) is None


def test_a_loss_that_is_not_finite_is_passed_over():
  options = {'patience': 3, 'tolerance': 0.1, 'decay': 0.5}
  state = curriculum.init('stall', **options)
  values = [0.5, 0.5, np.nan, np.inf, 0.5]
  assert _hard_from(state, values) == 5


def test_only_the_chosen_function_gives_value_and_gradient(rng):
  x = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)

  def easy(x):
    return jnp.sum(x**2)

  def hard(x):
    return jnp.sum(jnp.sin(x))

  @jax.jit
  def graded(x, state):
    return jax.value_and_grad(
      lambda x: curriculum.select(state, easy, hard, x)
    )(x)

  state = curriculum.init('step', at_step=1)
  for value, grad in (
    (np.sum(np.square(x)), 2 * np.asarray(x)),
    (np.sum(np.sin(x)), np.cos(x)),
  ):
    got = graded(x, state)
    np.testing.assert_allclose(got[0], value, rtol=1e-5)
    np.testing.assert_allclose(got[1], grad, atol=1e-6)
    state = _update(state, jnp.float32(0), jnp.float32(MARGIN))


def test_the_state_keeps_its_structure():
  state = curriculum.init('stall')
  after = _update(state, jnp.float32(1), jnp.float32(MARGIN))
  assert jax.tree.structure(after) == jax.tree.structure(state)
  for left, right in zip(
    jax.tree.leaves(state), jax.tree.leaves(after), strict=True
  ):
    assert (left.shape, left.dtype) == (right.shape, right.dtype)


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    ({'switch': 'stp'}, "Did you mean 'step'"),
    ({'stall_at': 'margn'}, "Did you mean 'margin'"),
    ({'at_step': -1}, 'at_step'),
    ({'patience': 0}, 'patience'),
    ({'tolerance': float('nan')}, 'tolerance'),
    ({'min_drop': 1.0}, 'min_drop'),
    ({'decay': 1.0}, 'decay'),
  ],
)
def test_wrong_options_are_refused(wrong, message):
  with pytest.raises(errors.UsageError, match=message):
    curriculum.init(**{'switch': 'stall', **wrong})
