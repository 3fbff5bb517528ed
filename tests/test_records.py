"""Delimited text and parquet, read as strings with their places."""

import pandas as pd
from pyarrow import parquet
import pytest

from mammojax import errors
from mammojax.data import records


def _write(folder, text):
  path = folder / 'table.csv'
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return path


def test_ids_stay_strings(tmp_path):
  path = _write(
    tmp_path,
    'path,subject\na.png,00012\nb.png,1e5\nc.png,9007199254740993\n'
    'd.png,NA\ne.png,12\n',
  )
  frame = records.read(path)
  assert frame['subject'].tolist() == [
    '00012',
    '1e5',
    '9007199254740993',
    'NA',
    '12',
  ]


@pytest.mark.parametrize('delimiter', [',', ';', '\t'])
@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_delimiters_bom_and_quoted_line_breaks(tmp_path, delimiter, end):
  rows = [
    ['path', 'subject', 'view'],
    ['a.png', 's1', f'"two{end}lines; and, more"'],
    ['b.png', 's1', '"a ""quote"""'],
  ]
  text = '\ufeff' + end.join(delimiter.join(row) for row in rows) + end
  frame = records.read(_write(tmp_path, text))
  assert frame.columns.tolist() == ['path', 'subject', 'view']
  assert frame['view'].tolist() == [f'two{end}lines; and, more', 'a "quote"']
  assert frame.index.tolist() == [2, 4]


def test_blank_lines_are_passed_over(tmp_path):
  path = _write(tmp_path, '\npath,subject\n\na.png,s1\n,\nb.png,s2\n\n')
  frame = records.read(path)
  assert frame.index.tolist() == [4, 6]


@pytest.mark.parametrize(
  'text, message',
  [
    (b'path,subject\na.png,s\0\n', 'line 2: a NUL byte'),
    (b'path,subject\na.png,\xff\n', 'line 2: not UTF-8'),
    (b'path,subject\na.png,s,more\nb.png\n', 'row 2: 3 cells'),
    (b'path,subject\na.png,"s\n', 'row 2: unexpected end'),
    (b'path,subject,path\na.png,s,b\n', r"columns \['path'\] occur twice"),
    (b'path,subject\n', 'no rows'),
    (b'', 'is empty'),
  ],
)
def test_unreadable_tables_are_refused(tmp_path, text, message):
  with pytest.raises(errors.DataError, match=message):
    records.read(_write(tmp_path, text))


def test_missing_table_is_refused(tmp_path):
  with pytest.raises(errors.DataError, match='does not exist'):
    records.read(tmp_path / 'none.csv')


def test_parquet_reads_as_csv_does(tmp_path):
  path = tmp_path / 'table.parquet'
  pd.DataFrame(
    {
      'path': ['a.png', 'b.png', 'c.png'],
      'subject': [2**60 + 1, 7, 7],
      'visit_months': [0.0, 6.5, None],
      'diagnosis': pd.Categorical(['x', None, 'y']),
      'view': pd.array([1, None, 3], dtype='Int64'),
      'boxes': [[1, 2], None, []],
    }
  ).to_parquet(path)
  frame = records.read(path)
  assert frame['subject'].tolist() == [str(2**60 + 1), '7', '7']
  assert frame['visit_months'].tolist() == ['0', '6.5', '']
  assert frame['diagnosis'].tolist() == ['x', '', 'y']
  assert frame['view'].tolist() == ['1', '', '3']
  assert frame.index.tolist() == [1, 2, 3]
  path.write_bytes(path.read_bytes()[:100])
  with pytest.raises(errors.DataError, match='cannot be read as parquet'):
    records.read(path)


def test_parquet_keeps_ids_beside_gaps_and_in_an_index(tmp_path):
  """Above 2^53 a float holds no odd number, so two subjects would be one."""
  path = tmp_path / 'table.parquet'
  frame = pd.DataFrame(
    {
      'path': ['a.png', 'b.png', 'c.png'],
      'subject': pd.array([2**60 + 1, 2**60 + 3, None], dtype='Int64'),
      'item': ['007', '8', '9'],
    }
  )
  frame.to_parquet(path)
  # As others write it: without pandas' own record of its types.
  parquet.write_table(parquet.read_table(path).replace_schema_metadata(), path)
  assert records.read(path)['subject'].tolist() == [
    str(2**60 + 1), str(2**60 + 3), '',
  ]  # fmt: skip
  frame.set_index('item').to_parquet(path)
  assert records.read(path)['item'].tolist() == ['007', '8', '9']
  frame.set_index('item').rename_axis(None).to_parquet(path)
  assert records.read(path).columns.tolist() == ['path', 'subject']
