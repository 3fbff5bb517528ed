"""Which array of a file goes where: what every scheme of names answers with."""

from collections.abc import Collection, Mapping
import re
from typing import NamedTuple

from mammojax import errors
from mammojax.models.weights import arrays


class Source(NamedTuple):
  """Where one of our arrays comes from.

  Attributes:
    name: in the file.
    axes: how its axes are permuted to become ours; () leaves them.
    is_stem: the kernel that sees the image, whose colours may be summed.
  """

  name: str
  axes: tuple[int, ...] = ()
  is_stem: bool = False


class Plan(NamedTuple):
  """Where all of our arrays come from.

  Attributes:
    scheme: whose names these are.
    wanted: path of our array -> Source; all must be in the file.
    skipped: name in the file -> why it is not used.
    new: paths of ours that the file does not have and that stay as they are.
  """

  scheme: str
  wanted: Mapping[str, Source]
  skipped: Mapping[str, str]
  new: tuple[str, ...] = ()


class Leaf(NamedTuple):
  """One of our arrays.

  Attributes:
    path: inside the backbone, such as 'stage1_block1/conv1/kernel'.
    shape: of it.
  """

  path: str
  shape: tuple[int, ...]


def skip(
  found: Collection[str], wanted: Collection[str], reasons: Mapping[str, str]
) -> dict[str, str]:
  """Arrays of a file that are known and not wanted.

  Args:
    found: names in the file.
    wanted: names that are used.
    reasons: pattern of a whole name -> why it is skipped.

  Returns:
    name -> reason. What matches no pattern is left out: it is unexpected.
  """
  skipped = {}
  for name in found:
    if name in wanted:
      continue
    for pattern, reason in reasons.items():
      if re.fullmatch(pattern, name):
        skipped[name] = reason
        break
  return skipped


def cannot(archive: arrays.Archive, why: str) -> errors.DataError:
  """The error for a file whose network is not the one that was built."""
  return errors.DataError(f'{archive.path!r}: {why}')
