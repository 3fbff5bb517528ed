"""A table of images in numbers: counts, sizes, and files to look at.

found = summarize(frame, survey.look(frame, store))
json.dumps(found)
"""

from typing import Any

import numpy as np
import pandas as pd

from mammojax.data import survey

COLUMNS = ('split', 'diagnosis', 'laterality', 'view', 'visit_months')
# A side below this is a thumbnail or a scrap.
TINY_PIXELS = 32
# A picture nearly all of which is 0.
BLACK_SHARE = 0.98
# The usual size is that of more than half of the images.
_USUAL_SHARE = 0.5
_FEW_LEVELS = 256


def summarize(frame: pd.DataFrame, seen: survey.Survey) -> dict[str, Any]:
  """Counts everything.

  Args:
    frame: columns of `mammojax.data.table`.
    seen: of the same rows.

  Returns:
    JSON values: 'images', 'subjects', 'images_per_subject' (number -> how many
    subjects), 'columns' (name -> value -> images), 'diagnosis_by_split'
    (split -> value -> images), 'sizes', 'bits', 'channels' (value -> images),
    'pixels' (least, largest, mean value) and 'suspects' (kind -> row and why).
  """
  facts = seen.facts
  whole = facts[facts['problem'] == '']
  sizes = whole['width'].astype(str) + ' x ' + whole['height'].astype(str)
  per_subject = frame['subject'].value_counts().value_counts().sort_index()
  return {
    'images': len(frame),
    'subjects': int(frame['subject'].nunique()),
    'images_per_subject': _as_counts(per_subject),
    'columns': {name: _counts(frame[name]) for name in COLUMNS},
    'diagnosis_by_split': {
      split: _counts(rows['diagnosis'])
      for split, rows in frame.groupby('split')
    },
    'sizes': _counts(sizes),
    'bits': _counts(whole['bits']),
    'channels': _counts(whole['channels']),
    'pixels': {
      'minimum': _number(whole['minimum'].min()),
      'maximum': _number(whole['maximum'].max()),
      'mean': _number(whole['mean'].mean()),
    },
    'suspects': suspects(frame, facts),
  }


def suspects(
  frame: pd.DataFrame, facts: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
  """Files that somebody should look at.

  Args:
    frame: columns `row` and `path`.
    facts: of `survey.look`.

  Returns:
    kind -> [{'row', 'path', 'why'}]; an image may be of several kinds.
  """
  found: dict[str, list[dict[str, Any]]] = {}
  whole = (facts['problem'] == '').to_numpy()

  def add(kind: str, where: np.ndarray, why: pd.Series) -> None:
    if where.any():
      found[kind] = [
        {'row': int(row), 'path': path, 'why': str(text)}
        for row, path, text in zip(
          frame.loc[where, 'row'],
          frame.loc[where, 'path'],
          why[where],
          strict=True,
        )
      ]

  width, height = facts['width'], facts['height']
  size = width.astype(str) + ' x ' + height.astype(str)
  add('cannot be read', ~whole, facts['problem'])
  constant = survey.is_constant(facts)
  value = facts['mean'].map('every pixel is {:.4f}'.format)
  add('of one value', constant, value)
  black = (facts['black'] >= BLACK_SHARE).to_numpy() & ~constant
  add('nearly black', black, facts['black'].map('{:.1%} of it is 0'.format))
  tiny = (np.minimum(width, height) < TINY_PIXELS).to_numpy() & whole
  add('tiny', tiny, size + ' pixels')
  for kind, values in (
    ('of another size', size),
    ('of another bit depth', facts['bits'].astype(str) + ' bits'),
    ('of other channels', facts['channels'].astype(str) + ' channels'),
  ):
    share = values[whole].value_counts(normalize=True)
    if len(share) and share.iloc[0] > _USUAL_SHARE:
      usual = share.index[0]
      add(kind, whole & (values != usual).to_numpy(), values)
  few = (facts['bits'] > 8) & (facts['levels'] <= _FEW_LEVELS)
  add(
    '8 bit stored as more',
    few.to_numpy() & whole & ~constant,
    facts['levels'].astype(str) + ' different values',
  )
  return found


def by_row(frame: pd.DataFrame, seen: survey.Survey) -> pd.DataFrame:
  """What was seen of each image, one row each, for a spreadsheet.

  Args:
    frame: columns of `mammojax.data.table`.
    seen: of the same rows.

  Returns:
    the table's columns and the facts, and `suspect`, its kinds.
  """
  kinds: dict[int, list[str]] = {}
  for kind, entries in suspects(frame, seen.facts).items():
    for entry in entries:
      kinds.setdefault(entry['row'], []).append(kind)
  told = frame['row'].map(lambda row: '; '.join(kinds.get(row, [])))
  return pd.concat([frame, seen.facts], axis=1).assign(suspect=told)


def _counts(values: pd.Series) -> dict[str, int]:
  """Value -> images, the most frequent first; NaN as ''."""
  text = values.astype(object).where(values.notna(), '').astype(str)
  return _as_counts(text.value_counts())


def _as_counts(counts: pd.Series) -> dict[str, int]:
  return {str(value): int(number) for value, number in counts.items()}


def _number(value: float) -> float | None:
  return float(value) if np.isfinite(value) else None
