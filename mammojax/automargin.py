"""AutoMargin: margins that follow the embeddings, as a pytree.

    state = automargin.init('step', k_gap=2.0, k_an=2.0)
    loss, stats = losses.adatriplet(
      embeddings, labels, margin=state.margin, beta=state.beta, stats=True
    )
    state = automargin.update(automargin.accumulate(state, stats))

The margins of a step come from the batches before it. The state is jitted,
replicated and checkpointed like parameters; the rule travels with it as
static data.

Source: Nguyen et al. 2022, MIDL, Eqs. 2 and 3 (form 'paper'), and the
authors' release (form 'code'), which differ in start, clamp and averaging.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mammojax import errors

MODES = ('step', 'epoch', 'ema', 'linear', 'exponential', 'fixed')
FORMS = ('paper', 'code')
# Epsilon lies in [0, 2): this is the largest float32 below 2.
_BELOW_TWO = 1.9999999


@dataclasses.dataclass(frozen=True)
class Rule:
  """How margins move; static, hashable.

  Attributes:
    mode: 'step' sets them from each batch, 'epoch' from the triplets of the
      epoch before; 'ema' moves them a share 1 - decay of the way from where
      they are to where 'step' would set them, so that a network that starts
      nearly collapsed, with a gap near 0, is not asked for a margin near 0;
      'linear' and 'exponential' go from start to end in `total_steps`;
      'fixed' never moves.
    form: 'paper' clamps margin to [0, 2) and beta to [0, 1], and beta
      follows the mean over valid triplets; 'code' clamps margin at 0 only,
      and beta follows the mean over unordered negative pairs.
    k_gap: K of the margin, Eq. 2.
    k_an: K of beta, Eq. 3.
    decay: share of the margin kept in a step of mode 'ema'.
    steps_per_epoch: steps between updates of mode 'epoch'.
    total_steps: length of the schedules.
    margin_end: last margin of the schedules.
    beta_end: last beta of the schedules.
  """

  mode: str
  form: str
  k_gap: float
  k_an: float
  decay: float
  steps_per_epoch: int
  total_steps: int
  margin_end: float
  beta_end: float


_DATA = (
  'margin', 'beta', 'step', 'mean_gap', 'mean_an', 'weight_gap', 'weight_an',
  'clamped', 'margin_start', 'beta_start',
)  # fmt: skip


@functools.partial(
  jax.tree_util.register_dataclass, data_fields=_DATA, meta_fields=('rule',)
)
@dataclasses.dataclass(frozen=True)
class AutoMarginState:
  """Margins now, and what the next ones will be made of; float32[] each.

  Attributes:
    margin: epsilon, the margin of the gap.
    beta: the margin of the negative term.
    step: int32[], updates so far.
    mean_gap: mean of phi_ap - phi_an over the triplets accumulated.
    mean_an: mean of phi_an accumulated.
    weight_gap: triplets behind `mean_gap`.
    weight_an: triplets or pairs behind `mean_an`.
    clamped: int32[], updates in which a bound cut a margin.
    margin_start: margin at step 0.
    beta_start: beta at step 0.
    rule: Rule.
  """

  margin: jax.Array
  beta: jax.Array
  step: jax.Array
  mean_gap: jax.Array
  mean_an: jax.Array
  weight_gap: jax.Array
  weight_an: jax.Array
  clamped: jax.Array
  margin_start: jax.Array
  beta_start: jax.Array
  rule: Rule


def init(
  mode: str = 'step',
  *,
  form: str = 'paper',
  k_gap: float = 2.0,
  k_an: float = 2.0,
  margin: float | None = None,
  beta: float | None = None,
  decay: float = 0.98,
  steps_per_epoch: int = 1,
  total_steps: int = 1,
  margin_end: float = 0.25,
  beta_end: float = 0.0,
) -> AutoMarginState:
  """The state before the first step.

  Args:
    mode: one of MODES.
    form: 'paper' or 'code'; decides start, clamp and averaging.
    k_gap: at least 1; the paper's best is 2.
    k_an: likewise.
    margin: first margin; None: 1 for 'paper', 0.25 for 'code'.
    beta: first beta; None: 1 for 'paper', 0 for 'code'.
    decay: in [0, 1), for mode 'ema'.
    steps_per_epoch: for mode 'epoch', training images // batch.
    total_steps: for the schedules.
    margin_end: for the schedules.
    beta_end: for the schedules.

  Returns:
    AutoMarginState.

  Raises:
    ValueError: an unknown name or a number out of its range.
  """
  if mode not in MODES:
    raise errors.unknown('AutoMargin mode', mode, MODES)
  if form not in FORMS:
    raise errors.unknown('AdaTriplet form', form, FORMS)
  margin = margin if margin is not None else (0.25, 1.0)[form == 'paper']
  beta = beta if beta is not None else (0.0, 1.0)[form == 'paper']
  _check(mode, k_gap, k_an, margin, decay, steps_per_epoch, total_steps)
  if mode == 'exponential' and min(margin, margin_end, beta, beta_end) <= 0:
    raise errors.UsageError(
      'An exponential schedule needs margins and betas above 0 at both ends, '
      f'got margin {margin} to {margin_end}, beta {beta} to {beta_end}.'
    )
  rule = Rule(
    mode, form, k_gap, k_an, decay, steps_per_epoch, total_steps, margin_end,
    beta_end,
  )  # fmt: skip
  number = functools.partial(jnp.asarray, dtype=jnp.float32)
  zero, start = number(0), jnp.asarray(0, jnp.int32)
  return AutoMarginState(
    margin=number(margin),
    beta=number(beta),
    step=start,
    mean_gap=zero,
    mean_an=zero,
    weight_gap=zero,
    weight_an=zero,
    clamped=start,
    margin_start=number(margin),
    beta_start=number(beta),
    rule=rule,
  )


def _check(mode, k_gap, k_an, margin, decay, steps_per_epoch, total_steps):
  for name, value, low, high in (
    ('k_gap', k_gap, 1, float('inf')),
    ('k_an', k_an, 1, float('inf')),
    ('margin', margin, 0, 2),
    ('decay', decay, 0, 0.999999),
    ('steps_per_epoch', steps_per_epoch, 1, float('inf')),
    ('total_steps', total_steps, 1, float('inf')),
  ):
    if not low <= value <= high:
      raise errors.UsageError(
        f'AutoMargin {mode}: {name} must lie in [{low}, {high}], got {value}.'
      )


def accumulate(state: AutoMarginState, stats) -> AutoMarginState:
  """Takes the statistics of one batch into the running means.

  Args:
    state: AutoMarginState.
    stats: `losses.TripletStats` of the global batch. A batch without a
      triplet changes nothing.

  Returns:
    AutoMarginState; margins are unchanged.
  """
  rule = state.rule
  if rule.mode in ('fixed', 'linear', 'exponential'):
    return state
  is_paper = rule.form == 'paper'
  mean_an = stats.mean_an if is_paper else stats.mean_an_pairs
  num_an = stats.num_triplets if is_paper else stats.num_negative_pairs
  keep = 1.0 if rule.mode == 'epoch' else 0.0
  gap, weight_gap = _merge(
    state.mean_gap, state.weight_gap, stats.mean_gap, stats.num_triplets, keep
  )
  an, weight_an = _merge(state.mean_an, state.weight_an, mean_an, num_an, keep)
  return dataclasses.replace(
    state, mean_gap=gap, weight_gap=weight_gap, mean_an=an, weight_an=weight_an
  )


def _merge(mean, weight, new_mean, new_weight, keep):
  """Weighted mean of the old, times `keep`, and the new.

  A mean is corrected rather than a total grown: float32 totals of triplets
  stop being exact after a hundred batches, a mean's weight may round.
  """
  new_weight = jnp.asarray(new_weight, jnp.float32)
  total = keep * weight + new_weight
  is_empty = new_weight <= 0
  moved = mean + (new_weight / jnp.where(is_empty, 1, total)) * (
    new_mean - mean
  )
  return (
    jnp.where(is_empty, mean, moved),
    jnp.where(is_empty, weight, total),
  )


def update(state: AutoMarginState) -> AutoMarginState:
  """Moves to the next step, and sets margins where the mode says so.

      margin = mean_gap / k_gap                     (Eq. 2)
      beta   = 1 + (mean_an - 1) / k_an             (Eq. 3)

  Args:
    state: AutoMarginState after `accumulate`.

  Returns:
    AutoMarginState for the next step. Without a triplet so far the margins
    stay; mode 'epoch' sets them after the last batch of each epoch and
    starts anew.
  """
  step = state.step + 1
  state = dataclasses.replace(state, step=step)
  rule = state.rule
  if rule.mode == 'fixed':
    return state
  if rule.mode in ('linear', 'exponential'):
    return _scheduled(state)
  is_due = (step % rule.steps_per_epoch == 0) | (rule.mode != 'epoch')
  keep = rule.decay if rule.mode == 'ema' else 0.0
  wanted_margin = state.mean_gap / rule.k_gap
  wanted_beta = 1 + (state.mean_an - 1) / rule.k_an
  margin, beta, is_clamped = _clamp(
    keep * state.margin + (1 - keep) * wanted_margin,
    keep * state.beta + (1 - keep) * wanted_beta,
    rule.form,
  )
  sets_margin = is_due & (state.weight_gap > 0)
  sets_beta = is_due & (state.weight_an > 0)
  state = dataclasses.replace(
    state,
    margin=jnp.where(sets_margin, margin, state.margin),
    beta=jnp.where(sets_beta, beta, state.beta),
    clamped=state.clamped + (sets_margin & is_clamped),
  )
  if rule.mode == 'step':
    return state
  # What was accumulated has had its say.
  fresh = {
    name: jnp.where(is_due, 0, getattr(state, name))
    for name in ('mean_gap', 'mean_an', 'weight_gap', 'weight_an')
  }
  return dataclasses.replace(state, **fresh)


def _clamp(margin, beta, form):
  if form == 'code':
    return jnp.maximum(margin, 0.0), beta, margin < 0
  kept_margin = jnp.clip(margin, 0.0, _BELOW_TWO)
  kept_beta = jnp.clip(beta, 0.0, 1.0)
  return kept_margin, kept_beta, (kept_margin != margin) | (kept_beta != beta)


def _scheduled(state):
  rule = state.rule
  share = jnp.minimum(state.step / rule.total_steps, 1.0).astype(jnp.float32)

  def between(start, end):
    if rule.mode == 'linear':
      return start + share * (end - start)
    return start * (end / start) ** share

  return dataclasses.replace(
    state,
    margin=between(state.margin_start, rule.margin_end),
    beta=between(state.beta_start, rule.beta_end),
  )
