"""Files of our own: names are the paths of our arrays, nothing is turned.

The metadata has one field, `mammojax`, in JSON: what made the file and what is
needed to build its network again.
"""

from collections.abc import Mapping
import json
from typing import Any

from mammojax.models.weights import arrays, plans

FIELD = 'mammojax'
_MAX_BYTES = 1 << 24


def is_own(archive: arrays.Archive) -> bool:
  """Whether a file was written by this project."""
  return FIELD in archive.metadata


def description(archive: arrays.Archive) -> dict[str, Any]:
  """What the file says about its network; {} in files of others.

  Args:
    archive: open file.

  Raises:
    DataError: the text is not JSON of an object.
  """
  text = archive.metadata.get(FIELD, '{}')
  try:
    if len(text) > _MAX_BYTES:
      raise ValueError(f'{len(text)} characters')
    found = json.loads(text)
    if not isinstance(found, dict):
      raise ValueError('it is no object')
  except (ValueError, RecursionError) as error:
    raise arrays.damaged(
      archive.path, f'its field {FIELD!r}: {error}'
    ) from error
  return found


def plan(
  shapes: Mapping[str, tuple[int, ...]], archive: arrays.Archive, root: str
) -> plans.Plan:
  """Sources of all our arrays.

  The backbone must be in the file. What is outside of it, the head, is taken
  if all of it is there in the same shapes; else it stays as it is.

  Args:
    shapes: collection and path of our array -> shape.
    archive: open file.
    root: what precedes the backbone's paths in each collection.
  """

  def is_backbone(name: str) -> bool:
    return name.split('/', 1)[1].startswith(root)

  head = [name for name in shapes if not is_backbone(name)]
  fits = all(
    name in archive.entries and archive.entries[name].shape == shapes[name]
    for name in head
  )
  new = () if fits else tuple(head)
  wanted = {name: plans.Source(name) for name in shapes if name not in new}
  why = 'not of this network' if fits else 'head of another shape'
  skipped = {
    name: why
    for name in archive.entries
    if name not in wanted and '/' in name and not is_backbone(name)
  }
  return plans.Plan('mammojax', wanted, skipped, new)
