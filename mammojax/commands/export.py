"""`export`: the network of a run as one file."""

from collections.abc import Sequence
import pathlib

from absl import flags

from mammojax import errors
from mammojax.commands import parsing


def run(arguments: Sequence[str]) -> None:
  """Writes the network of a run's best checkpoint as safetensors."""
  values = flags.FlagValues()
  flags.DEFINE_string('workdir', '', "The run's folder.", flag_values=values)
  flags.DEFINE_string(
    'out', '', 'The file to write, such as model.safetensors.',
    flag_values=values,
  )  # fmt: skip
  parsing.parse(values, 'export', arguments)
  if not values.workdir:
    raise errors.UsageError('export needs --workdir=FOLDER of a run.')
  out = pathlib.Path(values.out)
  if not values.out or out.is_dir() or not out.parent.is_dir():
    raise errors.UsageError(
      f'export needs --out=FILE in a folder that exists, got {values.out!r}.'
    )
  from mammojax.training import weights, workdir

  data = weights.packed(values.workdir)
  workdir.atomic_write_bytes(out, data)
  print(f'{out}: {len(data)} bytes. Start a run from it: model.weights={out}')
