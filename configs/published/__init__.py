"""Numbers of the AdaTriplet papers, to stand beside one's own.

Percent, mean and standard error over 5 seeds, on OAI and on NIH ChestX-ray14:
`OAI['Triplet']['year_6']['map']` is `(89.6, 0.8)`.

Source: Nguyen et al. (2022), arXiv:2205.02849, supplement, tables 4 and 5 as
in github.com/Oulu-IMEDS/AdaTriplet; the short paper of the same name (MIDL
2022), table 1. They do not say whether AdaTriplet there is the one with
AutoMargin; it presumably is. The CMC of Contrastive at 2 years is printed as
'97+-0.1.0' there and is 97.0, 0.1 here.
Differs: their CMC counts all matches of a query, `cmc@1` the first alone.
"""

import csv
import pathlib

Table = dict[str, dict[str, dict[str, tuple[float, float | None]]]]


def _read(name: str) -> Table:
  """Of each loss and group the metrics, (value, standard error)."""
  table: Table = {}
  path = pathlib.Path(__file__).parent / name
  with path.open(encoding='utf-8', newline='') as file:
    for row in csv.DictReader(file):
      metric, loss = row.pop('metric'), row.pop('loss')
      for group, cell in row.items():
        value, error = map(float, cell.split())
        table.setdefault(loss, {}).setdefault(group, {})[metric] = value, error
  return table


OAI, NIH = _read('oai.csv'), _read('nih.csv')

# Table 1 gives no errors. Its first column is mAP at 6 years.
NEGATIVE_WEIGHT: Table = {
  f'lambda={weight}': {
    'year_6': {'map': (six, None)},
    'all': {'map': (together, None)},
  }
  for weight, six, together in (
    ('0', 95.6, 96.6),
    ('0.5', 96.1, 96.9),
    ('1', 96.3, 97.0),
    ('2', 94.5, 95.6),
  )
}
MARGINS: Table = {
  name: {'all': {'map': (value, None)}}
  for name, value in (
    ('Q1', 94.3),
    ('Q2', 88.9),
    ('Grid search', 97.0),
    ('AutoMargin', 97.1),
  )
}
