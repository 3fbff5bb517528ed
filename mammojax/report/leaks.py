"""The page and the tables of `leaks`: pairs side by side, groups, a split.

found = Findings.of(frame, seen, pairs)
write(folder, 'manifest.csv', found, store)
"""

import dataclasses
import pathlib

import numpy as np
import pandas as pd

from mammojax.data import leaks, readers, survey
from mammojax.report import html, spreadsheets, style, thumbnails

# Pairs and groups that the page shows; the tables hold them all.
SHOWN_PAIRS = 60
SHOWN_GROUPS = 100
SHOWN_FILES = 200
_KINDS = {
  'exact': 'equal pixels',
  'near': 'one picture, changed',
  'embedding': 'close embeddings',
}


@dataclasses.dataclass(frozen=True)
class Findings:
  """What `leaks` found, in the shapes that page and tables need.

  Attributes:
    frame: the table.
    pairs: of `leaks.described`, those across splits first, then those of two
      subjects; places are `first` and `second`.
    groups: the table with `group` and `split_after`.
    crossing: names of groups in more than one split.
    corrected: of `leaks.resplit`, without broken images.
    broken: lines on images that cannot be read.
    constant: lines on images of one value.
    options: thresholds and the run, for the page.
  """

  frame: pd.DataFrame
  pairs: pd.DataFrame
  groups: pd.DataFrame
  crossing: list[str]
  corrected: pd.DataFrame
  broken: list[str]
  constant: list[str]
  options: dict[str, object]

  @classmethod
  def of(
    cls,
    frame: pd.DataFrame,
    seen: survey.Survey,
    pairs: list[leaks.Pair],
    **options: object,
  ) -> 'Findings':
    """Works everything out of the pairs.

    Args:
      frame: columns of `mammojax.data.table`.
      seen: of the same rows.
      pairs: of `leaks.find`.
      **options: said on the page.

    Returns:
      Findings.
    """
    names = leaks.together(frame, pairs)
    table = leaks.described(frame, pairs)
    table['first'] = [pair.first for pair in pairs]
    table['second'] = [pair.second for pair in pairs]
    order = ['across_splits', 'same_subject', 'score']
    table = table.sort_values(
      order, ascending=[False, True, False], kind='stable'
    )
    whole = (seen.facts['problem'] == '').to_numpy()
    corrected = leaks.resplit(frame[whole], names[whole])
    after = leaks.resplit(frame, names).set_index('path')['split']
    columns = ['row', 'path', 'item', 'subject', 'diagnosis', 'split']
    groups = frame[columns].assign(
      group=names, split_after=frame['path'].map(after)
    )
    facts, rows = seen.facts, frame['row'].astype(str)
    lines = 'row ' + rows + ': '
    constant = survey.is_constant(facts)
    return cls(
      frame=frame,
      pairs=table,
      groups=groups,
      crossing=leaks.crossing(frame, names),
      corrected=corrected,
      broken=(lines + facts['problem'])[~whole].tolist(),
      constant=(lines + frame['path'])[constant].tolist(),
      options=options,
    )

  def merged(self) -> pd.DataFrame:
    """Groups of more than one subject: subjects, images, splits."""
    found = self.groups.groupby('group').agg(
      subjects=('subject', 'unique'),
      images=('row', 'size'),
      splits=('split', 'unique'),
    )
    return found[found['subjects'].map(len) > 1].reset_index()

  def verdict(self) -> str:
    """One sentence."""
    if not self.crossing:
      return f'No picture lies in two splits ({len(self.pairs)} pairs found).'
    across = int(self.pairs['across_splits'].sum())
    many = len(self.crossing) > 1
    return (
      f'{len(self.crossing)} {"groups lie" if many else "group lies"} in more'
      f' than one split; {across} of the {len(self.pairs)} pairs found'
      f' {"are" if across != 1 else "is"} across splits.'
    )

  def counts(self) -> list[tuple[str, int, int, int, int]]:
    """(kind, pairs, of one subject, of two, across splits) by kind."""
    rows = []
    for kind, meaning in _KINDS.items():
      some = self.pairs[self.pairs['kind'] == kind]
      same = int(some['same_subject'].sum())
      across = int(some['across_splits'].sum())
      rows.append((meaning, len(some), same, len(some) - same, across))
    return rows


def write(
  folder: pathlib.Path,
  name: str,
  found: Findings,
  store: readers.Store,
  voi: str = 'none',
) -> None:
  """Writes leaks.html, pairs.csv, groups.csv and split.csv, 0600 each.

  Args:
    folder: where to; it exists.
    name: of the table, for the page.
    found: of `leaks`.
    store: the pictures of the pairs are read from it again.
    voi: see `thumbnails`.

  Raises:
    ResourceError: a file cannot be written.
  """
  shown = found.pairs.head(SHOWN_PAIRS)
  merged = found.merged()
  page = html.template('leaks.html').render(
    name=name,
    verdict=found.verdict(),
    leak=bool(found.crossing),
    images=len(found.frame),
    counts=found.counts(),
    shown=_shown(shown, found.frame, thumbnails.Thumbnails(store, voi=voi)),
    num_pairs=len(found.pairs),
    merged=merged.head(SHOWN_GROUPS).to_dict('records'),
    num_merged=len(merged),
    torn=found.crossing[:SHOWN_GROUPS],
    num_torn=len(found.crossing),
    lists=[
      ('Images that cannot be read', found.broken[:SHOWN_FILES],
       len(found.broken)),
      ('Images of one value, not compared', found.constant[:SHOWN_FILES],
       len(found.constant)),
    ],
    options=found.options,
  )  # fmt: skip
  pairs = found.pairs.drop(columns=['first', 'second'])
  style.write_atomic(folder / 'pairs.csv', spreadsheets.csv_bytes(pairs))
  style.write_atomic(
    folder / 'groups.csv', spreadsheets.csv_bytes(found.groups)
  )
  style.write_atomic(
    folder / 'split.csv', spreadsheets.table_bytes(found.corrected)
  )
  style.write_atomic(
    folder / 'leaks.html', page.encode('utf-8', 'backslashreplace')
  )


def _shown(pairs, frame, pictures) -> list[dict]:
  paths = frame['path'].to_numpy()
  cells = []
  for pair in pairs.to_dict('records'):
    pair['images'] = [
      {
        'uri': pictures.uri(paths[pair[side]]),
        **{
          key: pair[f'{side}_{key}']
          for key in ('item', 'subject', 'split', 'diagnosis', 'row')
        },
      }
      for side in ('first', 'second')
    ]
    pair['score'] = f'{np.floor(pair["score"] * 1000) / 1000:.3f}'
    cells.append(pair)
  return cells
