"""Arrays of a file put where a plan says, or a table of what does not fit."""

from collections.abc import Mapping
import difflib
from typing import NamedTuple

import numpy as np

from mammojax import errors
from mammojax.models.weights import arrays, plans

_SHOWN = 20


class _Row(NamedTuple):
  """A line of the table of problems."""

  problem: str
  name: str
  detail: str


def fill(
  shapes: Mapping[str, tuple[int, ...]],
  plan: plans.Plan,
  archive: arrays.Archive,
) -> dict[str, np.ndarray]:
  """Our arrays, from a file.

  Names and shapes are compared before anything is read.

  Args:
    shapes: path of our array -> shape; those of `plan.wanted` among them.
    plan: where they come from.
    archive: open file.

  Returns:
    path -> float32 array, for all of `plan.wanted`.

  Raises:
    DataError: arrays that are missing, left over, of another shape or type,
      or not finite; all of them in one table.
  """
  rows = [
    row
    for path, source in plan.wanted.items()
    if (row := _misfit(shapes[path], path, source, plan, archive))
  ]
  used = {source.name for source in plan.wanted.values()}
  rows += [
    _Row('unexpected', name, str(list(entry.shape)))
    for name, entry in archive.entries.items()
    if name not in used and name not in plan.skipped
  ]
  _raise(rows, plan, archive, 'does not fit the network')
  values, bad = {}, []
  for path, source in plan.wanted.items():
    value = archive.entries[source.name].float32()
    bad += _not_finite(path, source.name, value)
    if not bad:
      values[path] = _turned(value, source, shapes[path])
  _raise(bad, plan, archive, 'holds values that no network works with')
  return values


def grey_stem(kernel: np.ndarray) -> np.ndarray:
  """A kernel for grey images that answers as before to grey in all colours.

  Args:
    kernel: float32[h, w, c, f], of c colours.

  Returns:
    float32[h, w, 1, f], the sum over colours; added up in float64.
  """
  total = kernel.sum(axis=2, keepdims=True, dtype=np.float64)
  return total.astype(np.float32)


def is_summed(
  shape: tuple[int, ...], source: plans.Source, entry: arrays.Entry
) -> bool:
  """Whether the colours of a kernel are to be summed."""
  turned = _turn_shape(entry.shape, source.axes)
  return (
    source.is_stem
    and len(turned) == 4
    and (shape[2], turned[2]) == (1, 3)
    and turned[:2] + turned[3:] == shape[:2] + shape[3:]
  )


def _turned(value, source, shape) -> np.ndarray:
  """An array of the file with our axes."""
  value = value.transpose(source.axes) if source.axes else value
  if value.shape != shape and value.size == np.prod(shape):
    value = value.reshape(shape)
  return np.ascontiguousarray(
    value if value.shape == shape else grey_stem(value)
  )


def _turn_shape(shape, axes) -> tuple[int, ...]:
  return tuple(shape[axis] for axis in axes) if axes else tuple(shape)


def _is_same(shape, turned) -> bool:
  """Whether shapes agree; a 1x1 convolution serves as a dense layer."""
  return turned in (shape, (1, 1, *shape))


def _misfit(shape, path, source, plan, archive) -> _Row | None:
  """What is wrong with one of our arrays' sources; None if nothing is."""
  entry = archive.entries.get(source.name)
  if entry is None:
    others = set(archive.entries) - {s.name for s in plan.wanted.values()}
    near = difflib.get_close_matches(source.name, others, n=3)
    hint = f'; nearest: {", ".join(near)}' if near else ''
    return _Row('missing', source.name, f'for {path}{hint}')
  if not entry.is_float():
    return _Row('type', source.name, f'{entry.dtype}; floats are needed')
  turned = _turn_shape(entry.shape, source.axes)
  if _is_same(shape, turned) or is_summed(shape, source, entry):
    return None
  return _Row(
    'shape', source.name, f'{list(turned)}, wanted {list(shape)} for {path}'
  )


def _not_finite(path: str, name: str, value: np.ndarray) -> list[_Row]:
  count = int(value.size - np.isfinite(value).sum())
  if count:
    return [_Row('not finite', name, f'{count} of {value.size} values')]
  if path.endswith('/var') and value.size and value.min() < 0:
    return [_Row('negative', name, f'a variance of {value.min()}')]
  return []


def _raise(rows, plan, archive, what) -> None:
  """Raises if there are rows."""
  if not rows:
    return
  counts = {row.problem: 0 for row in rows}
  for row in rows:
    counts[row.problem] += 1
  summary = ', '.join(f'{number} {kind}' for kind, number in counts.items())
  width = max(len(row.problem) for row in rows[:_SHOWN])
  lines = [
    f'  {row.problem.ljust(width)}  {row.name}  {row.detail}'
    for row in rows[:_SHOWN]
  ]
  if len(rows) > _SHOWN:
    lines.append(f'  and {len(rows) - _SHOWN} more')
  raise errors.DataError(
    f'{archive.path!r} {what} ({plan.scheme} names, {len(archive.entries)} '
    f'arrays): {summary}.\n' + '\n'.join(lines) + '\n'
    'Give model.name, model.width, model.stem and data.channels the values of '
    'the network in the file, or choose another file.'
  )
