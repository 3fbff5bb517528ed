"""AutoMargin's rule, static and checked, and the state that carries it."""

import dataclasses
import functools

import jax

from mammojax import errors, quantiles

QUANTILES = tuple(quantiles.LEVELS)
SCHEDULES = ('linear', 'exponential')
MODES = ('step', 'epoch', 'ema', *QUANTILES, *SCHEDULES, 'fixed')
FORMS = ('paper', 'code')


@dataclasses.dataclass(frozen=True)
class Rule:
  """How margins move; static, hashable.

  Attributes:
    mode: 'step' sets them from each batch, 'epoch' from the triplets of the
      epoch before; 'ema' moves them a share 1 - decay of the way from where
      they are to where 'step' would set them, so that a network that starts
      nearly collapsed, with a gap near 0, is not asked for a margin near 0;
      'q1' and 'q2' set them to quantiles over valid triplets: 25 % of the gap
      and 75 % of phi_an, or 50 % of both; 'linear' and 'exponential' go from
      start to end in `total_steps`; 'fixed' never moves.
    form: 'paper' clamps margin to [0, 2) and beta to [0, 1], and beta
      follows the mean over valid triplets; 'code' clamps margin at 0 only,
      and beta follows the mean over unordered negative pairs.
    k_gap: K of the margin, Eq. 2; not read by 'q1' and 'q2'.
    k_an: K of beta, Eq. 3; likewise.
    decay: share of the margin kept in a step of mode 'ema'.
    steps_per_epoch: steps between updates of mode 'epoch'; of 'q1' and 'q2'
      too, which with 1 take the exact quantiles of each batch, with more
      those of the epoch before, from a histogram of 4,096 bins on [-2, 2].
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

  @property
  def counts_an_epoch(self) -> bool:
    """Whether quantiles are over an epoch, so that its triplets are counted."""
    return self.mode in QUANTILES and self.steps_per_epoch > 1

  def check(self, margin: float, beta: float) -> None:
    """Raises UsageError for an unknown name or a number out of its range."""
    if self.mode not in MODES:
      raise errors.unknown('AutoMargin mode', self.mode, MODES)
    if self.form not in FORMS:
      raise errors.unknown('AdaTriplet form', self.form, FORMS)
    infinity = float('inf')
    for name, value, low, high in (
      ('k_gap', self.k_gap, 1, infinity),
      ('k_an', self.k_an, 1, infinity),
      ('margin', margin, 0, 2),
      ('decay', self.decay, 0, 0.999999),
      ('steps_per_epoch', self.steps_per_epoch, 1, infinity),
      ('total_steps', self.total_steps, 1, infinity),
    ):
      if not low <= value <= high:
        raise errors.UsageError(
          f'AutoMargin {self.mode}: {name} must lie in [{low}, {high}], got '
          f'{value}.'
        )
    ends = (margin, self.margin_end, beta, self.beta_end)
    if self.mode == 'exponential' and min(ends) <= 0:
      raise errors.UsageError(
        'An exponential schedule needs margins and betas above 0 at both '
        f'ends, got margin {margin} to {self.margin_end}, beta {beta} to '
        f'{self.beta_end}.'
      )


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
    mean_gap: mean of phi_ap - phi_an over the triplets accumulated; in modes
      'q1' and 'q2' the quantile.
    mean_an: mean of phi_an accumulated, or its quantile.
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


@functools.partial(
  jax.tree_util.register_dataclass,
  data_fields=(*_DATA, 'histograms'),
  meta_fields=('rule',),
)
@dataclasses.dataclass(frozen=True)
class EpochQuantileState(AutoMarginState):
  """AutoMarginState that counts the triplets of an epoch.

  A class of its own, so that states of other modes are saved without it.

  Attributes:
    histograms: quantiles.Histograms of the epoch so far.
  """

  histograms: quantiles.Histograms
