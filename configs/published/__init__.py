"""Published numbers, to stand beside one's own.

Of AdaTriplet in percent, mean and standard error over 5 seeds, on OAI and on
NIH ChestX-ray14:
`OAI['Triplet']['year_6']['map']` is `(89.6, 0.8)`.

Source: Nguyen et al. (2022), arXiv:2205.02849, supplement, tables 4 and 5 as
in github.com/Oulu-IMEDS/AdaTriplet; the short paper of the same name (MIDL
2022), table 1. They do not say whether AdaTriplet there is the one with
AutoMargin; it presumably is. The CMC of Contrastive at 2 years is printed as
'97+-0.1.0' there and is 97.0, 0.1 here.
Their CMC counts every match of a query: `cmc_all_shots@1` here.

`CBIS[table][row]` is of patches of CBIS-DDSM, one run each, percent but for
the loss. Of SCRATCH_1 and SCRATCH_BM_V1 the text has numbers of the validation
where the table has dashes. A fifth number in the rows of SCRATCH_BM has no
heading and is left out.

Source: Acquavia and Mazzini (2021), Convolutional neural network for medical
imaging analysis, sections 4 to 6.
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


def _read_cbis() -> dict[str, Table]:
  """Of each table the rows, as `Table`."""
  tables: dict[str, Table] = {}
  path = pathlib.Path(__file__).parent / 'cbis.csv'
  with path.open(encoding='utf-8', newline='') as file:
    for row in csv.DictReader(file):
      table, name = row.pop('table'), row.pop('row')
      tables.setdefault(table, {})[name] = {
        'all': {
          metric: (float(text), None) for metric, text in row.items() if text
        }
      }
  return tables


CBIS = _read_cbis()
