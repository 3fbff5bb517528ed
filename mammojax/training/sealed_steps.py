"""The numbered folders of a run that are whole, by their seals.

shelf = SealedSteps(workdir / 'checkpoints', best_metric='map')
shelf.steps()         # [500, 1000]
shelf.ranked()        # best first
"""

from collections.abc import Mapping
import logging
import math
import pathlib
import shutil
from typing import Any

from mammojax import errors
from mammojax.training import seals

_LOG = logging.getLogger(__name__)


class SealedSteps:
  """Tells the sealed steps of a folder from all else that lies there.

  Args:
    directory: holds `<step>/` and `<step>.json`; may be missing.
    best_metric: key in the metrics by which steps are ranked.
  """

  def __init__(self, directory: pathlib.Path, best_metric: str):
    self.directory = directory
    self._best_metric = best_metric
    self._damaged: set[int] = set()
    self._seals: dict[int, dict[str, Any]] = {}

  def folder(self, step: int) -> pathlib.Path:
    """Where a step lies."""
    return self.directory / str(step)

  def folders(self) -> list[int]:
    """Numbers that have a folder, whatever is in it, in rising order."""
    if not self.directory.is_dir():
      return []
    names = [path.name for path in self.directory.iterdir() if path.is_dir()]
    return sorted(
      int(name) for name in names if name.isdecimal() and name == str(int(name))
    )

  def seal(self, step: int) -> dict[str, Any] | None:
    """The record of a step; None when it has no valid seal."""
    if step not in self._seals:
      body = seals.read(self.directory, str(step))
      if body is None:
        return None
      self._seals[step] = body
    return self._seals[step]

  def is_good(self, step: int) -> bool:
    """Whether a step is sealed and was not found damaged."""
    return step not in self._damaged and self.seal(step) is not None

  def steps(self) -> list[int]:
    """Good steps in rising order."""
    return [step for step in self.folders() if self.is_good(step)]

  def value_of(self, record: dict[str, Any] | None) -> float | None:
    """The metric in a record; None where it is missing or not finite."""
    metrics = (record or {}).get('metrics') or {}
    value = metrics.get(self._best_metric)
    return None if value is None or not math.isfinite(value) else float(value)

  def ranked(self) -> list[int]:
    """Good steps that have the metric, highest first, of equals the latest."""
    values = [(self.value_of(self.seal(step)), step) for step in self.steps()]
    scored = [(value, step) for value, step in values if value is not None]
    return [step for _, step in sorted(scored, reverse=True)]

  def annotate(self, step: int, metrics: Mapping[str, Any]) -> None:
    """Seals a good step anew with these metrics.

    Raises:
      UsageError: the step is not good.
    """
    body = self.seal(step)
    if body is None or not self.is_good(step):
      raise errors.UsageError(f'{self.directory} has no whole step {step}.')
    body = {**body, 'metrics': metrics}
    seals.replace(self.directory, str(step), body)
    self._seals[step] = body

  def damaged(self) -> list[int]:
    """Steps that `verify` refused, or whose seal is there but broken."""
    broken = [
      step
      for step in self.folders()
      if seals.path_of(self.directory, str(step)).exists()
      and self.seal(step) is None
    ]
    return sorted(self._damaged.union(broken))

  def candidates(self, step: int | str | None) -> list[int]:
    """Good steps in the order in which to try them.

    Args:
      step: 'best', None for the newest, or a number: that one and the lower.

    Raises:
      UsageError: the number has no folder.
    """
    if step == 'best':
      return self.ranked()
    known = self.steps()[::-1]
    if step is None:
      return known
    if step not in self.folders():
      raise errors.UsageError(
        f'{self.directory} has no step {step}. Known: '
        f'{", ".join(map(str, known[::-1])) or "none"}.'
      )
    return [other for other in known if other <= int(step)]

  def verify(self, step: int) -> dict[str, Any] | None:
    """The record of a step all of whose files are as they were sealed.

    Args:
      step: a good step; all its files are read.

    Returns:
      None when a file is missing or changed: it is named in the log, and the
      step is not good any more.
    """
    body = self.seal(step)
    if body is None:
      return None
    file = seals.damaged_file(self.directory, str(step), body)
    if file is None:
      return body
    self._damaged.add(step)
    _LOG.error(
      'Checkpoint %d is damaged: %s is not as it was written. It is passed '
      'over.',
      step,
      self.folder(step) / file,
    )
    return None

  def none_whole(self, step: int | str | None) -> errors.IntegrityError:
    """The error for a folder without any step that can be restored."""
    damaged = ', '.join(map(str, self.damaged())) or 'none'
    return errors.IntegrityError(
      f'{self.directory} has no whole checkpoint to restore '
      f'({step or "latest"} was asked for; damaged: {damaged}). Restore the '
      'folder from a copy, or start again in another --workdir.'
    )

  def note_others(self) -> None:
    """Logs the numbered folders that are no checkpoints."""
    for step in self.folders():
      if self.seal(step) is None:
        _LOG.warning(
          '%s has no valid seal (cut short, damaged, or not a checkpoint): '
          'it is passed over.',
          self.folder(step),
        )

  def set_aside(self, step: int) -> None:
    """Renames a folder that is in the way of a new step."""
    folder = self.folder(step)
    number = 1
    while (aside := folder.with_name(f'{step}.aside{number}')).exists():
      number += 1
    _LOG.warning('%s is set aside as %s.', folder, aside.name)
    folder.rename(aside)
    seals.path_of(self.directory, str(step)).unlink(missing_ok=True)

  def forget(self, step: int) -> None:
    """Drops what is remembered of a step that will be written anew."""
    self._damaged.discard(step)
    self._seals.pop(step, None)

  def remove_temporaries(self) -> None:
    """Deletes what an interrupted save or seal left behind."""
    for path in self.directory.glob('*.orbax-checkpoint-tmp*'):
      shutil.rmtree(path, ignore_errors=True)
    for path in self.directory.glob('.*.json.*'):
      path.unlink(missing_ok=True)

  def remove_orphans(self) -> None:
    """Deletes the seals of steps whose folders are gone."""
    for path in self.directory.glob('*.json'):
      if path.stem.isdecimal() and not path.with_suffix('').exists():
        path.unlink(missing_ok=True)
