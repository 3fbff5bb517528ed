"""Which checkpoints stay on the disk: the newest ones and the best one."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import datetime
from typing import Any

from orbax.checkpoint import checkpoint_managers


@dataclasses.dataclass(frozen=True)
class _Info:
  """What the preservation policies of Orbax read of a step."""

  step: int
  time: datetime.datetime
  metrics: Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True)
class LatestAndBest:
  """A preservation policy of Orbax over the steps that are known to be good.

  Orbax takes every folder named by a number for a step. Counting one that
  cannot be restored would push out one that can, so the others are neither
  counted nor removed.

  Attributes:
    is_known: step -> whether it is being saved or can be restored.
    metric: known step -> its value, higher is better; None without one.
    keep_latest: how many of the newest known steps stay.
  """

  is_known: Callable[[int], bool]
  metric: Callable[[int], float | None]
  keep_latest: int

  def should_preserve(self, checkpoints, *, context) -> Sequence[bool]:
    """One flag for each of `checkpoints`, in their order."""
    policy = checkpoint_managers.AnyPreservationPolicy(
      [
        checkpoint_managers.LatestN(self.keep_latest),
        checkpoint_managers.BestN(
          get_metric_fn=lambda metrics: metrics['value'],
          n=1,
          keep_checkpoints_without_metrics=False,
        ),
      ]
    )
    known = []
    for info in checkpoints:
      if self.is_known(info.step):
        value = self.metric(info.step)
        metrics = None if value is None else {'value': value}
        known.append(_Info(info.step, info.time, metrics))
    flags = policy.should_preserve(known, context=context) if known else []
    keep = {info.step: flag for info, flag in zip(known, flags, strict=True)}
    return [keep.get(info.step, True) for info in checkpoints]
