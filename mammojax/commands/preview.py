"""`preview`: what the steps of a config do to pictures, before training."""

from collections.abc import Sequence
import pathlib

from absl import flags
import numpy as np

from mammojax import errors
from mammojax.commands import parsing

_ROWS = 6
_MOST_ROWS = 40


def run(arguments: Sequence[str]) -> None:
  """Draws pictures before and after every step of data.steps."""
  values = flags.FlagValues()
  parsing.define_config(values, arguments)
  flags.DEFINE_string('out', 'preview.png', 'The PNG.', flag_values=values)
  flags.DEFINE_string(
    'rows',
    '',
    'Rows of the table, such as 2,7,10-12, as messages count them; "doubt": '
    'those that are suspect, found by going through all; default: '
    f'{_ROWS} spread over the table.',
    flag_values=values,
  )
  parsing.parse(values, 'preview', arguments)
  config, _ = parsing.config(values, 'preview')
  out = pathlib.Path(values.out)
  if out.suffix.lower() != '.png' or out.is_dir():
    raise errors.UsageError(f'--out must be a .png file, got {str(out)!r}.')
  is_doubt = values.rows == 'doubt'
  wanted = [] if is_doubt else _numbers(values.rows)
  from mammojax.report import previews, style
  from mammojax.training import originals

  source = originals.Originals(config, preload=is_doubt)
  if is_doubt:
    chosen = source.in_doubt()
    print(f'{len(chosen)} of {len(source)} images are in doubt.')
    if not chosen:
      return
  else:
    chosen = _positions(wanted, source.numbers())
  shown = chosen[:_MOST_ROWS]
  if len(shown) < len(chosen):
    print(f'The first {len(shown)} of them are drawn; name others by --rows.')
  lines = [_line(source, row, previews) for row in shown]
  style.write_atomic(out, style.png_bytes(previews.draw(lines)))
  print(out)


def _line(source, row: int, previews):
  """A line of the figure, and its words on the terminal."""
  from mammojax.data import steps

  pictures, doubts, name = source.walk(row)
  for doubt in doubts:
    print(f'{name}: {steps.DOUBTS[doubt]}')
  panels = [
    previews.Panel(
      step,
      picture.image,
      picture.mask if step == 'read' and picture.steps_see_mask else None,
    )
    for step, picture in pictures
  ]
  return previews.Line(name, doubts, panels)


def _numbers(text: str) -> list[int]:
  """The numbers of '2,7,10-12'."""
  numbers: list[int] = []
  for part in text.replace(' ', '').split(','):
    first, dash, last = part.partition('-')
    if not part and not text.strip():
      continue
    if not first.isdecimal() or (dash and not last.isdecimal()):
      raise errors.UsageError(
        f'--rows={text!r}: {part!r} is no row; write --rows=2,7,10-12 or'
        ' --rows=doubt.'
      )
    end = int(last or first)
    if end - int(first) >= 100_000:
      raise errors.UsageError(f'--rows={text!r} names too many rows.')
    numbers += range(int(first), end + 1)
  return numbers


def _positions(wanted: list[int], numbers: list[int]) -> list[int]:
  """Positions in the table of rows as the file counts them."""
  if not wanted:
    count = min(_ROWS, len(numbers))
    return np.linspace(0, len(numbers) - 1, count).astype(int).tolist()
  where = {number: position for position, number in enumerate(numbers)}
  missing = [number for number in wanted if number not in where]
  if missing:
    raise errors.UsageError(
      f'--rows: the table has no row {missing[0]}; its rows are'
      f' {numbers[0]} to {numbers[-1]}.'
    )
  return [where[number] for number in wanted]
