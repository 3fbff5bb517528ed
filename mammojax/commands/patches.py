"""`patches`: phantom patches in pairs, as the NumPy arrays of CBIS-DDSM."""

from collections.abc import Sequence
import io
import shlex

from absl import flags
import numpy as np

from mammojax import errors
from mammojax.commands import parsing, tables


def run(arguments: Sequence[str]) -> None:
  """Draws the patches and writes the four arrays."""
  values = flags.FlagValues()
  flags.DEFINE_string('out', '', 'Folder of the arrays.', flag_values=values)
  for name, default, meaning in (
    ('train', 400, 'Pairs to train on.'),
    ('test', 100, 'Pairs to test on.'),
    ('size', 150, 'Height and width of a patch in pixels.'),
    ('seed', 0, 'Another seed draws other women.'),
  ):
    flags.DEFINE_integer(name, default, meaning, flag_values=values)
  flags.DEFINE_bool(
    'overwrite', False, 'Replace arrays that are there.', flag_values=values
  )
  parsing.parse(values, 'patches', arguments)
  if not values.out:
    raise errors.UsageError('patches needs --out=FOLDER.')
  from mammojax.data.phantom import patches
  from mammojax.training import workdir

  spec = patches.Spec(values.train, values.test, values.size, values.seed)
  folder = tables.make_folder(values.out)
  there = [name for name in patches.FILES if (folder / name).exists()]
  if there and not values.overwrite:
    raise errors.UsageError(
      f'{str(folder / there[0])!r} exists; choose another --out, or '
      '--overwrite.'
    )
  for name, array in patches.arrays(spec).items():
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    workdir.atomic_write_bytes(folder / name, buffer.getvalue())
    print(f'{folder / name}: {array.dtype}{list(array.shape)}')
  root = shlex.quote(str(folder))
  print(
    'Their table: python -m mammojax catalog cbis_npy'
    f' --task=mass_calcification --root={root} --out=patches.csv'
  )
