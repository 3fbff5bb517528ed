"""`balance`: as many images of one class as of the others, none twice."""

from collections.abc import Sequence
import pathlib

from absl import flags
import pandas as pd

from mammojax import errors
from mammojax.commands import parsing, tables


def run(arguments: Sequence[str]) -> None:
  """Writes a balanced subset of a table without copies."""
  values = flags.FlagValues()
  tables.define(values)
  parsing.define_voi(values)
  _define(values)
  tables.parse(values, 'balance', arguments, 'FILE.csv')
  out = _out(values)
  from mammojax.data import balance, leaks, survey
  from mammojax.report import spreadsheets, style

  frame, store = tables.usable(values, None)
  positive = [value.strip() for value in values.positive if value.strip()]
  balance.check(frame, values.by, positive, values.one_of_each)
  seen = survey.look(
    frame,
    store,
    threads=values.threads,
    voi=values.voi,
    counts_levels=False,
  )
  pairs = leaks.find(frame, seen, threads=values.threads)
  usable = (seen.facts['problem'] == '') & ~survey.is_constant(seen.facts)
  reasons = balance.balanced(
    frame,
    usable.to_numpy(),
    pairs,
    by=values.by,
    positive=positive,
    one_of_each=values.one_of_each,
    seed=values.seed,
  )
  is_kept, groups = reasons == '', leaks.together(frame, pairs)
  frame = tables.with_other_columns(values, frame)
  kept = leaks.resplit(frame[is_kept], groups[is_kept])
  why = frame.assign(reason=reasons)[~is_kept]
  left_out = out.with_name(f'{out.stem}_left_out.csv')
  style.write_atomic(out, spreadsheets.table_bytes(kept))
  style.write_atomic(left_out, spreadsheets.csv_bytes(why))
  _tell(kept, why, values.by, positive)
  print(f'Left out: {left_out}')
  print('Subset: ' + tables.how_to_train(out, store, values.voi))


def _define(values: flags.FlagValues) -> None:
  from mammojax.data import balance

  flags.DEFINE_string('out', '', 'The subset, a .csv.', flag_values=values)
  flags.DEFINE_enum(
    'by',
    'diagnosis',
    balance.COLUMNS,
    'The column that names the class.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'positive', [], 'Its positive values, as mel,bcc.', flag_values=values
  )
  flags.DEFINE_enum(
    'one_of_each',
    'subject',
    balance.KEEP,
    'Keep one image of each subject, or of each picture.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'seed', 0, 'Of the choice among the larger class.', flag_values=values
  )
  flags.DEFINE_bool(
    'overwrite', False, 'Replace a table that is there.', flag_values=values
  )


def _out(values: flags.FlagValues) -> pathlib.Path:
  out = pathlib.Path(values.out)
  if out.suffix != '.csv' or out.is_dir():
    raise errors.UsageError(f'--out={out} must be a .csv file.')
  if out.exists() and not values.overwrite:
    raise errors.UsageError(
      f'{out} is there already; choose another name or give --overwrite.'
    )
  return out


def _tell(kept, why, by, positive) -> None:
  """What is left, and why the rest is not."""
  number = int(kept[by].isin(positive).sum())
  print(f'{number} positive and {len(kept) - number} negative images are kept.')
  print(f'{len(why)} left out:')
  side = why[by].isin(positive).map({True: 'positive', False: 'negative'})
  for (reason, which), count in (
    pd.Series(1, why.index).groupby([why['reason'], side]).sum().items()
  ):
    print(f'  {count} {which}: {reason}')
