"""`inspect`: what a table of images holds, and what looks wrong in it."""

from collections.abc import Sequence
import pathlib

from absl import flags

from mammojax.commands import parsing, tables


def run(arguments: Sequence[str]) -> None:
  """Summarises a table: counts, sizes, pixels, suspect files, pictures."""
  values = flags.FlagValues()
  tables.define(values)
  parsing.define_voi(values)
  flags.DEFINE_string(
    'out', '', 'Folder for the page and the numbers.', flag_values=values
  )
  tables.parse(values, 'inspect', arguments, 'FOLDER')
  from mammojax.data import survey
  from mammojax.report import overview

  folder = tables.make_folder(values.out)
  frame, store, problems = tables.examine(values, values.out)
  seen = survey.look(frame, store, threads=values.threads, voi=values.voi)
  name = pathlib.Path(values.table).name
  found = overview.write(folder, name, frame, seen, problems, store, values.voi)
  print(f'{found["images"]} images of {found["subjects"]} subjects.')
  for kind, lines in found['problems'].items():
    print(f'{len(lines)} times: {kind}')
  for kind, entries in found['suspects'].items():
    print(f'{len(entries)} images {kind}')
  print(f'Page: {folder / "inspect.html"}')
