"""`leaks`: pictures that occur twice, and what of them is in two splits."""

from collections.abc import Sequence
import pathlib

from absl import flags
import numpy as np

from mammojax import errors
from mammojax.commands import parsing, tables

_FAIL = ('leak', 'never')


def run(arguments: Sequence[str]) -> None:
  """Finds copies and near copies, and writes a split that respects them."""
  values = flags.FlagValues()
  tables.define(values)
  parsing.define_voi(values)
  _define(values)
  tables.parse(values, 'leaks', arguments, 'FOLDER')
  from mammojax.data import leaks, records, survey
  from mammojax.report import leaks as page

  folder = tables.make_folder(values.out)
  frame, store = tables.usable(values, values.out)
  seen = survey.look(
    frame,
    store,
    threads=values.threads,
    voi=values.voi,
    counts_levels=False,
  )
  readable = np.flatnonzero(seen.facts['problem'] == '')
  lines = tables.broken(frame, seen.facts)
  if not len(readable):
    raise errors.DataError(
      f'None of the {len(frame)} images of {values.table!r} can be read:\n'
      f'{records.shorten(lines)}\nCheck --root and the column path.'
    )
  embeddings = None
  if values.workdir:
    from mammojax.apps import embedding

    embeddings = embedding.embed_table(values.workdir, frame, store, readable)
  pairs = leaks.find(
    frame,
    seen,
    embeddings=embeddings,
    least_score=values.least_score,
    least_cosine=values.least_cosine,
    threads=values.threads,
  )
  found = page.Findings.of(
    tables.with_other_columns(values, frame),
    seen,
    pairs,
    workdir=values.workdir,
    least_score=values.least_score,
    least_cosine=values.least_cosine,
  )
  name = pathlib.Path(values.table).name
  page.write(folder, name, found, store, values.voi)
  print(found.verdict())
  if lines:
    print(
      f'{len(lines)} images cannot be read: not compared, and not in'
      f' split.csv:\n{records.shorten(lines)}'
    )
  if found.constant:
    print(f'{len(found.constant)} images are of one value: not compared.')
  print(f'Page: {folder / "leaks.html"}')
  print(
    'Corrected: ' + tables.how_to_train(folder / 'split.csv', store, values.voi)
  )
  if found.crossing and values.fail == 'leak':
    raise errors.IntegrityError(
      f'{found.verdict()} See {folder / "leaks.html"}; {folder / "split.csv"}'
      ' holds a split that tears no group, and --fail=never ends with 0.'
    )


def _define(values: flags.FlagValues) -> None:
  from mammojax.data import leaks

  flags.DEFINE_string(
    'out', '', 'Folder for the page and the tables.', flag_values=values
  )
  flags.DEFINE_string(
    'workdir', '', 'A finished run; its network compares too.',
    flag_values=values,
  )  # fmt: skip
  flags.DEFINE_float(
    'least_score',
    leaks.LEAST_SCORE,
    'Mean local correlation from which two pictures are one.',
    flag_values=values,
  )
  flags.DEFINE_float(
    'least_cosine',
    leaks.LEAST_COSINE,
    'Cosine from which two embeddings are one, with --workdir.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'fail',
    'leak',
    _FAIL,
    'End with 4 when a group lies in two splits, or never.',
    flag_values=values,
  )
