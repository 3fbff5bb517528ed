"""From a config to the margins before step 0."""

import ml_collections

from mammojax import automargin, errors, margin_rules
from mammojax.training import loss_names

NAMES = ('margin', 'beta')


def taken(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """Those of NAMES that the losses of a config follow.

  The others rest where they began, and say nothing about the training.
  """
  used = [config.loss.name]
  if config.curriculum.switch != 'off':
    used.append(config.curriculum.then)
  found = []
  if any(loss_names.LOSSES[name].follows for name in used):
    found.append('margin')
  if 'adatriplet' in used:
    found.append('beta')
  return tuple(found)


def state(config, *, steps_per_epoch: int) -> automargin.AutoMarginState:
  """AutoMargin before step 0, of `config.automargin` and `config.loss`.

  Raises:
    UsageError: an unknown name, or a number out of its range.
  """
  auto, start = config.automargin, {}
  windows = {'batch': 1, 'epoch': steps_per_epoch}
  if auto.quantile_over not in windows:
    raise errors.unknown(
      'automargin.quantile_over', auto.quantile_over, windows
    )
  if auto.mode in margin_rules.QUANTILES:
    steps_per_epoch = windows[auto.quantile_over]
  if auto.mode in ('fixed', 'linear', 'exponential'):
    start = {'margin': config.loss.margin, 'beta': config.loss.beta}
  return automargin.init(
    auto.mode,
    form=config.loss.form,
    k_gap=auto.k_gap,
    k_an=auto.k_an,
    decay=auto.decay,
    steps_per_epoch=steps_per_epoch,
    total_steps=config.train.steps,
    margin_end=auto.margin_end,
    beta_end=auto.beta_end,
    **start,
  )
