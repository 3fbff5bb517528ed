"""AutoMargin against its two equations, step by step in float64."""

import jax
import jax.numpy as jnp
import margin_stats as made
import numpy as np
import pytest
import reference

from mammojax import automargin, errors, losses, relations

BATCHES = reference.batches()


@pytest.mark.parametrize(
  'form, want', [('paper', (1.0, 1.0)), ('code', (0.25, 0.0))]
)
@pytest.mark.parametrize('mode', ['step', 'epoch', 'ema', 'fixed'])
def test_the_start_is_that_of_the_form(mode, form, want):
  assert made.margins(automargin.init(mode, form=form)) == want


def test_the_paper_is_the_default():
  state = automargin.init('step')
  assert made.margins(state) == (1.0, 1.0)
  # K = 2 in both: 0.6 / 2 and 1 + (0.4 - 1) / 2.
  got = made.margins(made.advance(state, made.stats(0.6, 0.4)))
  np.testing.assert_allclose(got, (0.3, 0.7), rtol=1e-6)


@pytest.mark.parametrize('k_gap, k_an', [(2, 2), (2, 4), (4, 2), (3.0, 1.0)])
@pytest.mark.parametrize('form', ['paper', 'code'])
def test_step_mode_follows_the_batch_just_seen(form, k_gap, k_an):
  state = automargin.init('step', form=form, k_gap=k_gap, k_an=k_an)
  for stats in made.random_stats(3):
    state = made.advance(state, stats)
    mean_an = stats.mean_an if form == 'paper' else stats.mean_an_pairs
    want = reference.automargin(
      float(stats.mean_gap), float(mean_an), k_gap, k_an, form
    )
    np.testing.assert_allclose(made.margins(state), want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize('form', ['paper', 'code'])
def test_margins_come_from_the_embeddings_of_the_batch(form):
  state = automargin.init('step', form=form)

  @jax.jit
  def step(state, x, relation):
    _, stats = losses.adatriplet(
      x,
      relation,
      margin=state.margin,
      beta=state.beta,
      form=form,
      stats=True,
    )
    return automargin.update(automargin.accumulate(state, stats))

  for batch in BATCHES.values():
    fields = {k: jnp.asarray(batch[k]) for k in ('label', 'item', 'valid')}
    before = made.margins(state)
    state = step(state, batch['x'], relations.Relation(**fields))
    masks = reference.masks(
      batch['label'], item=batch['item'], valid=batch['valid']
    )
    dist = reference.distances(batch['x'], batch['x'])
    means = reference.margin_means(dist, *masks)
    if not means['num_triplets']:
      assert made.margins(state) == before
      continue
    mean_an = means['an'] if form == 'paper' else means['an_pairs']
    want = reference.automargin(means['gap'], mean_an, form=form)
    np.testing.assert_allclose(made.margins(state), want, atol=3e-6)


@pytest.mark.parametrize('form', ['paper', 'code'])
def test_epoch_mode_moves_once_with_the_weighted_means_of_the_epoch(form):
  steps = 4
  state = automargin.init('epoch', form=form, steps_per_epoch=steps)
  current = made.margins(state)
  all_stats = made.random_stats(3 * steps)
  for epoch in range(3):
    gap = an = num_gap = num_an = 0.0
    for stats in all_stats[epoch * steps : (epoch + 1) * steps]:
      # Every batch of an epoch, the first included, meets the same margins.
      assert made.margins(state) == current
      state = made.advance(state, stats)
      count = float(stats.num_triplets)
      gap, num_gap = gap + count * float(stats.mean_gap), num_gap + count
      mean = stats.mean_an if form == 'paper' else stats.mean_an_pairs
      if form == 'code':
        count = float(stats.num_negative_pairs)
      an, num_an = an + count * float(mean), num_an + count
    want = reference.automargin(gap / num_gap, an / num_an, form=form)
    np.testing.assert_allclose(made.margins(state), want, rtol=1e-5)
    assert made.margins(state) != current
    current = made.margins(state)


def test_an_epoch_without_a_triplet_keeps_the_margins():
  state = automargin.init('epoch', steps_per_epoch=2)
  for stats in (made.stats(0.6, 0.4), made.stats(0.6, 0.4)):
    state = made.advance(state, stats)
  before = made.margins(state)
  for _ in range(2):
    state = made.advance(state, made.stats(0.0, 0.0, triplets=0.0, pairs=0.0))
  assert made.margins(state) == before


@pytest.mark.parametrize(
  'mode, want',
  [
    ('step', (0.3, 0.7)),
    # Nine tenths of where it started, one tenth of where 'step' would be.
    ('ema', (0.9 * 1 + 0.1 * 0.3, 0.9 * 1 + 0.1 * 0.7)),
    ('epoch', (0.3, 0.7)),
  ],
)
def test_a_batch_without_a_triplet_has_no_say(mode, want):
  filled, empty = (
    made.stats(0.6, 0.4),
    made.stats(0, 0, triplets=0, pairs=0),
  )
  state = automargin.init(mode, steps_per_epoch=2, decay=0.9)
  for stats in (filled, empty):
    state = made.advance(state, stats)
  np.testing.assert_allclose(made.margins(state), want, rtol=1e-6)


def test_ema_mode_is_a_running_mean():
  state = automargin.init('ema', decay=0.5)
  for _ in range(40):
    state = made.advance(state, made.stats(0.8, 0.2))
  np.testing.assert_allclose(made.margins(state), (0.4, 0.6), rtol=1e-5)
  # Settled, a new value moves the mean by 1 - decay of the way.
  state = made.advance(state, made.stats(0.4, 0.6))
  np.testing.assert_allclose(made.margins(state), (0.3, 0.7), rtol=1e-5)


@pytest.mark.parametrize(
  'gap, an, want',
  [
    (-0.6, 0.4, (0.0, 0.7)),
    (0.6, -3.0, (0.3, 0.0)),
    (0.6, 1.5, (0.3, 1.0)),
  ],
  ids=['margin below 0', 'beta below 0', 'beta above 1'],
)
def test_the_paper_form_clamps_and_says_so(gap, an, want):
  state = made.advance(automargin.init('step'), made.stats(gap, an))
  np.testing.assert_allclose(made.margins(state), want, rtol=1e-6)
  assert state.clamped == 1
  state = made.advance(state, made.stats(0.6, 0.4))
  assert state.clamped == 1


def test_the_paper_margin_stays_below_two():
  state = automargin.init('step', k_gap=1.0)
  state = made.advance(state, made.stats(2.0, 0.4))
  assert 1.99 < float(state.margin) < 2.0


def test_the_code_form_clamps_only_the_margin_at_zero():
  state = automargin.init('step', form='code', k_gap=1.0, k_an=1.0)
  low = made.advance(state, made.stats(-0.5, 0.0, an_pairs=-0.25))
  np.testing.assert_allclose(made.margins(low), (0.0, -0.25), atol=1e-7)
  assert low.clamped == 1
  high = made.advance(state, made.stats(2.5, 0.0, an_pairs=1.25))
  np.testing.assert_allclose(made.margins(high), (2.5, 1.25))


def test_schedules_go_from_start_to_end_and_stay():
  options = {'margin': 0.8, 'beta': 0.5, 'total_steps': 4}
  ends = {'margin_end': 0.2, 'beta_end': 0.125}
  for mode, halfway in (
    ('linear', ((0.8 + 0.2) / 2, (0.5 + 0.125) / 2)),
    ('exponential', (np.sqrt(0.8 * 0.2), np.sqrt(0.5 * 0.125))),
  ):
    state = automargin.init(mode, **options, **ends)
    seen = [made.margins(state)]
    for stats in made.random_stats(6):
      state = made.advance(state, stats)
      seen.append(made.margins(state))
    np.testing.assert_allclose(seen[0], (0.8, 0.5), rtol=1e-6)
    np.testing.assert_allclose(seen[2], halfway, rtol=1e-5)
    for late in seen[4:]:
      np.testing.assert_allclose(late, (0.2, 0.125), rtol=1e-5)


def test_fixed_margins_never_move():
  state = automargin.init('fixed', margin=0.25, beta=0.1)
  before = made.margins(state)
  np.testing.assert_allclose(before, (0.25, 0.1), rtol=1e-6)
  for stats in made.random_stats(3):
    state = made.advance(state, stats)
  assert made.margins(state) == before


def test_unknown_names_are_answered_with_the_nearest():
  with pytest.raises(errors.UsageError, match="'epoch'"):
    automargin.init('epok')
  with pytest.raises(errors.UsageError, match="'paper'"):
    automargin.init('step', form='papr')


@pytest.mark.parametrize(
  'wrong',
  [
    {'k_gap': 0.0},
    {'k_an': -1.0},
    {'margin': -0.1},
    {'margin': float('nan')},
    {'mode': 'ema', 'decay': 1.0},
    {'mode': 'epoch', 'steps_per_epoch': 0},
    {'mode': 'linear', 'total_steps': 0},
  ],
  ids=lambda wrong: next(reversed(wrong)),
)
def test_numbers_out_of_range_are_refused(wrong):
  with pytest.raises(ValueError, match=next(reversed(wrong))):
    automargin.init(**{'mode': 'step', **wrong})
