"""`cut`: patches around the places that a table names."""

from collections.abc import Sequence
import pathlib

from absl import flags
import numpy as np
import pandas as pd

from mammojax import errors
from mammojax.commands import parsing, tables


def run(arguments: Sequence[str]) -> None:
  """Writes a 16-bit PNG for each abnormality, and their table."""
  values = flags.FlagValues()
  tables.define(values)
  parsing.define_voi(values)
  _define(values)
  tables.parse(values, 'cut', arguments, 'FOLDER')
  folder = tables.make_folder(values.out)
  table_path = folder / 'patches.csv'
  if table_path.exists() and not values.overwrite:
    raise errors.UsageError(
      f'{str(table_path)!r} exists; choose another --out, or --overwrite.'
    )
  from mammojax.data import records
  from mammojax.training import workdir

  frame, store = tables.usable(values, values.out)
  raw = records.read(pathlib.Path(values.table)).loc[frame['row']]
  made = pd.DataFrame(_cut(values, folder, frame, store, raw))
  workdir.atomic_write_bytes(table_path, made.to_csv(index=False).encode())
  counts = made['diagnosis'].value_counts().sort_index()
  shares = ', '.join(f'{count} {name}' for name, count in counts.items())
  print(
    f'{table_path}: {len(made)} patches of {made["subject"].nunique()} subjects'
    f' ({shares}).'
  )


def _cut(values, folder: pathlib.Path, frame, store, raw) -> list[dict]:
  """Writes the patches; the lines of their table."""
  import cv2

  from mammojax.data import cutting, imagefiles
  from mammojax.training import workdir

  files = imagefiles.ImageFiles(store, values.voi)
  paths = frame['path'].tolist()
  rows = []
  for patch in cutting.patches(
    cutting.places(raw),
    paths,
    lambda row: files.image(paths[row]),
    counted_in=values.counted_in,
    least=values.least,
    margin=values.margin,
  ):
    levels = np.rint(patch.image * 65535.0).astype(np.uint16)
    # OpenCV writes blue first.
    is_written, data = cv2.imencode('.png', levels[..., ::-1])
    if not is_written:
      raise errors.ResourceError(f'{patch.name}.png cannot be encoded.')
    workdir.atomic_write_bytes(folder / f'{patch.name}.png', data.tobytes())
    rows.append(_row(patch, frame.iloc[patch.place.row]))
  return rows


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('out', '', 'Folder of the patches.', flag_values=values)
  flags.DEFINE_integer(
    'counted_in', 1024,
    'Height in pixels of the image that x, y and radius are counted in; 0: '
    'that of each image.', lower_bound=0, flag_values=values,
  )  # fmt: skip
  for name, default, meaning in (
    ('least', 64.0, 'Least half side of a patch, in the same pixels.'),
    ('margin', 1.25, 'Half side of a patch over the radius.'),
  ):
    flags.DEFINE_float(
      name, default, meaning, lower_bound=0.0, flag_values=values
    )
  flags.DEFINE_bool(
    'overwrite', False, 'Replace a table that is there.', flag_values=values
  )


def _row(patch, image) -> dict[str, str]:
  """A line of the table of patches."""
  place = patch.place
  return {
    'path': f'{patch.name}.png',
    'subject': image['subject'],
    'item': patch.name,
    'laterality': image['laterality'],
    'view': image['view'],
    'diagnosis': place.severity or image['diagnosis'],
    'split': '',
    'abnormality': place.abnormality,
  }
