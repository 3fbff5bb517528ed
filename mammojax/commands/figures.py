"""`figures`: drawings that need no run."""

from collections.abc import Sequence
import pathlib

from absl import flags

from mammojax import errors
from mammojax.commands import parsing

# What each can be told.
FIGURES = {
  'loss-surface': ('margin', 'beta', 'negative_weight'),
  'selections': ('margin',),
}


def run(arguments: Sequence[str]) -> None:
  """Draws a figure that needs no run: loss-surface or selections."""
  values = flags.FlagValues()
  flags.DEFINE_string(
    'out', 'figures', 'Folder for its SVG and PNG.', flag_values=values
  )
  for name, meaning in (
    ('margin', 'Epsilon of AdaTriplet; default: 0.25.'),
    ('beta', 'Its ceiling for negatives, loss-surface only; default: 0.1.'),
    ('negative_weight', 'Its lambda, loss-surface only; default: 1.'),
  ):
    flags.DEFINE_float(name, None, meaning, flag_values=values)
  name, numbers = _figure(values, arguments)
  from mammojax.report import selections, style, surfaces

  draw = {
    'loss-surface': surfaces.loss_surface,
    'selections': selections.small_multiples,
  }[name]
  saved = style.save(
    draw(**numbers), pathlib.Path(values.out), name.replace('-', '_')
  )
  for path in saved.values():
    print(path)


def _figure(values, arguments):
  """The name of a figure and the numbers it is given."""
  names = parsing.parse(values, 'figures', arguments, '|'.join(FIGURES))
  if len(names) != 1:
    raise errors.UsageError(
      f'figures needs one name, {" or ".join(FIGURES)}; got {len(names)}.'
    )
  (name,) = names
  if name not in FIGURES:
    raise errors.unknown('figure', name, FIGURES)
  if not values.out or pathlib.Path(values.out).is_file():
    raise errors.UsageError(f'--out must be a folder, got {values.out!r}.')
  numbers = {}
  for number in FIGURES['loss-surface']:
    if values[number].present:
      if number not in FIGURES[name]:
        raise errors.UsageError(f'figures {name} takes no --{number}.')
      numbers[number] = values[number].value
  return name, numbers
