"""AutoMargin: margins that follow the embeddings, as a pytree.

    state = automargin.init('step', k_gap=2.0, k_an=2.0)
    loss, stats = losses.adatriplet(
      embeddings, labels, margin=state.margin, beta=state.beta, stats=True
    )
    state = automargin.update(automargin.accumulate(state, stats))

The margins of a step come from the batches before it. The state is jitted,
replicated and checkpointed like parameters; the rule travels with it as
static data. Modes 'q1' and 'q2' need quantiles of the batch besides:

    found = automargin.measure(state, embeddings, labels)
    state = automargin.update(automargin.accumulate(state, stats, found))

For the plain triplet loss use `state.margin` alone.

Source: Nguyen et al. 2022, MIDL, Eqs. 2 and 3 (form 'paper'), and the
authors' release (form 'code'), which differ in start, clamp and averaging.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from mammojax import errors, margin_rules, quantiles

MODES = margin_rules.MODES
FORMS = margin_rules.FORMS
Rule = margin_rules.Rule
AutoMarginState = margin_rules.AutoMarginState
EpochQuantileState = margin_rules.EpochQuantileState
# Epsilon lies in [0, 2): this is the largest float32 below 2.
_BELOW_TWO = 1.9999999


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
    steps_per_epoch: for mode 'epoch', training images // batch; in modes
      'q1' and 'q2' 1 takes the quantiles of each batch, exactly, and more
      those of each epoch, from a histogram of 4,096 bins on [-2, 2].
    total_steps: for the schedules.
    margin_end: for the schedules.
    beta_end: for the schedules.

  Returns:
    AutoMarginState; an EpochQuantileState where an epoch is counted.

  Raises:
    ValueError: an unknown name or a number out of its range.
  """
  margin = margin if margin is not None else (0.25, 1.0)[form == 'paper']
  beta = beta if beta is not None else (0.0, 1.0)[form == 'paper']
  rule = Rule(
    mode, form, k_gap, k_an, decay, steps_per_epoch, total_steps, margin_end,
    beta_end,
  )  # fmt: skip
  rule.check(margin, beta)
  number = functools.partial(jnp.asarray, dtype=jnp.float32)
  zero, start = number(0), jnp.asarray(0, jnp.int32)
  state = AutoMarginState(
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
  if not rule.counts_an_epoch:
    return state
  fields = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
  return EpochQuantileState(**fields, histograms=quantiles.empty())


def measure(
  state: AutoMarginState, embeddings, labels, **options
) -> quantiles.Quantiles | quantiles.Histograms | None:
  """What modes 'q1' and 'q2' need of a batch besides its statistics.

  Args:
    state: AutoMarginState.
    embeddings: as given to the loss.
    labels: likewise.
    **options: `distance`, `gallery` and `axis_name` as given to the loss.

  Returns:
    Quantiles of the batch, its Histograms where an epoch is counted, or None
    in all other modes. No gradient flows.
  """
  rule = state.rule
  if rule.mode not in margin_rules.QUANTILES:
    return None
  options['form'] = rule.form
  if rule.counts_an_epoch:
    return quantiles.histogram_of_batch(embeddings, labels, **options)
  return quantiles.of_batch(embeddings, labels, mode=rule.mode, **options)


def accumulate(
  state: AutoMarginState, stats, quantile_stats=None
) -> AutoMarginState:
  """Takes the statistics of one batch into the running means.

  Args:
    state: AutoMarginState.
    stats: `losses.TripletStats` of the global batch. A batch without a
      triplet changes nothing.
    quantile_stats: what `measure` returned; modes 'q1' and 'q2' read it in
      place of `stats`, all others do not.

  Returns:
    AutoMarginState; margins are unchanged.

  Raises:
    ValueError: mode 'q1' or 'q2' without quantile_stats.
  """
  rule = state.rule
  if rule.mode == 'fixed' or rule.mode in margin_rules.SCHEDULES:
    return state
  if rule.mode in margin_rules.QUANTILES:
    return _accumulate_quantiles(state, quantile_stats)
  is_paper = rule.form == 'paper'
  mean_an = stats.mean_an if is_paper else stats.mean_an_pairs
  num_an = stats.num_triplets if is_paper else stats.num_negative_pairs
  found = quantiles.Quantiles(
    stats.mean_gap, mean_an, stats.num_triplets, num_an
  )
  return _take_in(state, found, keep=1.0 if rule.mode == 'epoch' else 0.0)


def _accumulate_quantiles(state, found):
  if found is None:
    raise errors.UsageError(
      f'AutoMargin {state.rule.mode} needs quantiles: give accumulate what '
      'automargin.measure returned for the batch.'
    )
  if isinstance(state, EpochQuantileState):
    seen = quantiles.merge(state.histograms, found)
    return dataclasses.replace(state, histograms=seen)
  return _take_in(state, found, keep=0.0)


def _take_in(state, found, keep):
  """Merges gap and an of Quantiles into the state."""
  gap, weight_gap = _merge(
    state.mean_gap, state.weight_gap, found.gap, found.num_triplets, keep
  )
  an, weight_an = _merge(
    state.mean_an, state.weight_an, found.an, found.num_an, keep
  )
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

  and in modes 'q1' and 'q2' the quantiles as they are, without K.

  Args:
    state: AutoMarginState after `accumulate`.

  Returns:
    AutoMarginState for the next step. Without a triplet so far the margins
    stay; mode 'epoch', and 'q1' and 'q2' over epochs, set them after the last
    batch of each epoch and start anew.
  """
  step = state.step + 1
  state = dataclasses.replace(state, step=step)
  rule = state.rule
  if rule.mode == 'fixed':
    return state
  if rule.mode in margin_rules.SCHEDULES:
    return _scheduled(state)
  is_due = step % rule.steps_per_epoch == 0
  if rule.mode in ('step', 'ema'):
    is_due = jnp.ones_like(is_due)
  if isinstance(state, EpochQuantileState):
    state = _take_epoch(state)
  keep = rule.decay if rule.mode == 'ema' else 0.0
  wanted_margin, wanted_beta = _wanted(state)
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
  names = ['mean_gap', 'mean_an', 'weight_gap', 'weight_an']
  if isinstance(state, EpochQuantileState):
    names.append('histograms')
  fresh = jax.tree.map(
    lambda leaf: jnp.where(is_due, 0, leaf),
    {name: getattr(state, name) for name in names},
  )
  return dataclasses.replace(state, **fresh)


def _wanted(state):
  """Margins that follow from what was accumulated."""
  rule = state.rule
  if rule.mode in margin_rules.QUANTILES:
    return state.mean_gap, state.mean_an
  return state.mean_gap / rule.k_gap, 1 + (state.mean_an - 1) / rule.k_an


def _take_epoch(state):
  """The quantiles of all triplets counted so far."""
  rule = state.rule
  found = quantiles.of_histograms(
    state.histograms, mode=rule.mode, form=rule.form
  )
  return _take_in(state, found, keep=0.0)


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
