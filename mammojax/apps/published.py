"""Numbers of a source that a sweep shows beside its own."""

from collections.abc import Mapping
import pathlib
from typing import Any

from mammojax import errors


def check(path: pathlib.Path, published: Any) -> None:
  """Refuses what the tables could not show once everything is trained.

  Args:
    path: of the file of the sweep.
    published: row -> group -> metric -> (value, standard error or None), in
      percent, or what somebody wrote instead.

  Raises:
    UsageError: with the place of what is otherwise.
  """
  kept: list[tuple[tuple[str, ...], Any]] = [(('published',), published)]
  for _ in range(3):
    for where, level in kept:
      if not isinstance(level, Mapping):
        raise _unlike(path, where, level)
    kept = [
      ((*where, name), level[name]) for where, level in kept for name in level
    ]
  for where, cell in kept:
    numbers = cell if isinstance(cell, tuple | list) else ()
    is_pair = len(numbers) == 2 and numbers[0] is not None
    if not is_pair or not all(
      one is None or isinstance(one, int | float) for one in numbers
    ):
      raise _unlike(path, where, cell)


def _unlike(path, where, got) -> errors.UsageError:
  return errors.UsageError(
    f'{path}: {" / ".join(map(str, where))} is {got!r}. Published numbers are '
    "given as {'row': {'all': {'map': (96.9, 0.1)}}}: row, group and metric, "
    'then the value in percent and its standard error or None.'
  )
