"""Subjects that are in two splits: the test rewards what was learnt by heart.

torn.leaks(frame)             # subject -> split -> rows
torn.check_disjoint(frame)    # raises
"""

import pandas as pd

from mammojax import errors

# What data.on_leak may say.
ON_LEAK = ('stop', 'stamp')
_SHOWN = 20


def leaks(frame: pd.DataFrame) -> dict[str, dict[str, list[int]]]:
  """Subjects that occur in more than one split.

  Args:
    frame: columns `subject` and `split`; `row`, when there, names the rows,
      otherwise the index does.

  Returns:
    subject -> split -> rows, in order of first occurrence.
  """
  splits_of = frame.groupby('subject', sort=False)['split'].nunique()
  guilty = splits_of.index[splits_of > 1]
  rows = frame['row'] if 'row' in frame else frame.index.to_series()
  found: dict[str, dict[str, list[int]]] = {name: {} for name in guilty}
  chosen = frame['subject'].isin(guilty)
  for subject, split, row in zip(
    frame.loc[chosen, 'subject'],
    frame.loc[chosen, 'split'],
    rows[chosen],
    strict=True,
  ):
    found[subject].setdefault(split, []).append(int(row))
  return found


def describe_leak(subject: str, rows_by_split: dict[str, list[int]]) -> str:
  """One line on one subject: its splits and the first rows in each."""
  parts = [
    f'{split} (row {_rows(rows)})' for split, rows in rows_by_split.items()
  ]
  return f'subject {subject!r} is in {" and ".join(parts)}'


def check_disjoint(frame: pd.DataFrame) -> None:
  """Refuses a table in which a subject is in two splits.

  Args:
    frame: columns `subject` and `split`, optionally `row`.

  Raises:
    IntegrityError: with the first 20 such subjects, their rows, the count.
  """
  found = leaks(frame)
  if not found:
    return
  lines = [
    f'  {describe_leak(subject, where)}'
    for subject, where in list(found.items())[:_SHOWN]
  ]
  if len(found) > _SHOWN:
    lines.append(f'  and {len(found) - _SHOWN} more')
  raise errors.IntegrityError(
    f'{len(found)} subjects are in more than one split; what is learnt of a'
    ' subject in training would be rewarded in the test:\n' + '\n'.join(lines)
  )


def remarks(frame: pd.DataFrame) -> list[str]:
  """What a run on such a table says of it: one warning, or none.

  Args:
    frame: see `leaks`.

  Returns:
    [] or a sentence that begins with LEAK, by which reports stamp results.
  """
  found = leaks(frame)
  if not found:
    return []
  subject, where = next(iter(found.items()))
  return [
    f'LEAK: {len(found)} subjects are in more than one split; '
    f'{describe_leak(subject, where)}. data.on_leak=stamp.'
  ]


def _rows(rows: list[int]) -> str:
  shown = ', '.join(str(row) for row in rows[:5])
  return shown + (f' and {len(rows) - 5} more' if len(rows) > 5 else '')
