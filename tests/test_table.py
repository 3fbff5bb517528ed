"""Tables read as strings and checked whole, on real small files."""

import logging
import os
import pathlib
import zipfile

import cv2
import numpy as np
import pytest

from mammojax import errors
from mammojax.data import splits, table, torn


def _picture(path, seed=0, suffix='.png'):
  noise = np.random.default_rng(seed).integers(0, 255, (12, 10), np.uint8)
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(cv2.imencode(suffix, noise)[1].tobytes())


@pytest.fixture
def folder(tmp_path):
  """Six images, a.png to f.png."""
  for seed, name in enumerate('abcdef'):
    _picture(tmp_path / f'{name}.png', seed)
  return tmp_path


def _write(folder, text, name='table.csv'):
  path = folder / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return path


def _refused(path, kind=errors.DataError, **kwargs):
  with pytest.raises(kind) as caught:
    table.read(path, **kwargs)
  assert type(caught.value) is kind
  return str(caught.value)


def test_defaults_fill_what_the_file_lacks(folder):
  path = _write(folder, 'path,subject\na.png,s1\nb.png,s1\nc.png,s2\n')
  frame, store = table.read(path)
  assert frame['item'].tolist() == ['a.png', 'b.png', 'c.png']
  assert frame['row'].tolist() == [2, 3, 4]
  assert frame['visit_months'].isna().all()
  assert frame['visit_months'].dtype == np.float64
  for name in ('laterality', 'view', 'diagnosis'):
    assert frame[name].tolist() == ['', '', '']
  assert frame['split'].tolist() == splits.assign(['s1', 's1', 's2']).tolist()
  assert list(frame.index) == [0, 1, 2]
  assert store.exists('a.png')


def test_values_become_canonical(folder):
  path = _write(
    folder,
    'path,subject,visit_months,laterality,split,item,view,diagnosis\n'
    'a.png,s1,0,left,train,i1,MLO,benign\n'
    'b.png,s1,12.5,R,Train,i2,CC,\n'
    'c.png,s2,,l,val,i3,,\n'
    'd.png,s3, 24 ,Right,test,i4,,\n'
    'e.png,s4,-6,,validation,i5,,\n',
  )
  frame, _ = table.read(path)
  assert frame['laterality'].tolist() == ['L', 'R', 'L', 'R', '']
  assert frame['split'].tolist() == [
    'train',
    'train',
    'validation',
    'test',
    'validation',
  ]
  np.testing.assert_array_equal(
    frame['visit_months'], [0, 12.5, np.nan, 24, -6]
  )
  assert frame['item'].tolist() == ['i1', 'i2', 'i3', 'i4', 'i5']


def test_columns_are_mapped(folder):
  path = _write(folder, 'file,who,subject\na.png,x,1\nb.png,y,2\n')
  frame, _ = table.read(
    path, columns={'path': 'file', 'subject': 'who', 'view': ''}
  )
  assert frame['subject'].tolist() == ['x', 'y']
  text = _refused(path, columns={'path': 'fil', 'view': 'whoo'})
  assert "path: no column 'fil'; did you mean 'file'?" in text
  assert "view: no column 'whoo'; did you mean 'who'?" in text
  assert "'file', 'who', 'subject'" in text
  with pytest.raises(errors.UsageError, match="Did you mean 'laterality'"):
    table.read(path, columns={'lateralty': 'who'})


def test_every_problem_is_told_at_once(folder):
  (folder / 'c.png').write_text('<html>not found</html>')
  (folder / 'd.png').write_bytes((folder / 'd.png').read_bytes()[:60])
  path = _write(
    folder,
    'path,subject,visit_months,laterality,split\n'
    'a.png,s1,one,L,train\n'  # row 2
    'b.png,,0,both,train\n'  # row 3
    'c.png,s2,0,L,train\n'  # row 4
    'd.png,s2,nan,L,test\n'  # row 5
    'gone.png,s3,1_000,L,tset\n'  # row 6
    '../e.png,s4,inf,L,\n'  # row 7
    'f.png,s5,0,L,test\n'  # row 8
    'f.png,s5,0,L,test\n',  # row 9
  )
  text = _refused(path, errors.IntegrityError)
  for line in (
    "row 2: visit_months is 'one', not a number",
    'row 3: subject is empty',
    "row 3: laterality is 'both', not L, R",
    "row 4: 'c.png': an HTML or XML page",
    "row 4: subject 's2' is in train (row 4) and test (row 5)",
    "row 5: 'd.png': truncated PNG",
    "row 5: visit_months is 'nan'",
    "row 6: 'gone.png' is not in",
    "row 6: visit_months is '1_000'",
    "row 6: split is 'tset', not train",
    "row 7: '../e.png' is absolute or climbs",
    "row 7: split is ''",
    'row 9: the same as row 8',
  ):
    assert line in text


def test_twenty_missing_files_and_the_count(folder):
  lines = [f'x{i}.png,s{i}' for i in range(33)] + ['a.png,s']
  text = _refused(_write(folder, 'path,subject\n' + '\n'.join(lines)))
  assert 'missing files (33)' in text and 'and 13 more' in text
  assert text.count('is not in') == 20


def test_exact_duplicates_stop_or_merge(folder, caplog):
  path = _write(folder, 'path,subject\na.png,s1\nb.png,s2\na.png,s1\n')
  assert 'row 4: the same as row 2' in _refused(path)
  with caplog.at_level(logging.WARNING):
    frame, _ = table.read(path, on_bad='skip')
  assert frame['row'].tolist() == [2, 3]
  assert 'row 4: the same as row 2' in caplog.text


def test_a_misspelt_split_is_no_other_split(folder):
  path = _write(folder, 'path,subject,split\na.png,s1,train\nb.png,s1,tain\n')
  text = _refused(path, errors.DataError)
  assert "row 3: split is 'tain'" in text
  assert 'more than one' not in text


@pytest.mark.parametrize('on_bad', ['stop', 'skip'])
def test_one_image_of_two_subjects_or_labels(folder, on_bad):
  path = _write(
    folder,
    'path,subject,diagnosis\na.png,s1,x\nb.png,s2,x\n./a.png,s3,x\n'
    'b.png,s2,y\n',
  )
  text = _refused(path, errors.IntegrityError, on_bad=on_bad)
  assert "subject 's1' (row 2) and 's3' (row 4)" in text
  assert "diagnosis 'x' (row 3) and 'y' (row 5)" in text


def test_one_item_of_two_subjects(folder):
  path = _write(
    folder, 'path,subject,item\na.png,s1,i\nb.png,s2,i\nc.png,s3,j\nd.png,s3,j'
  )
  text = _refused(path, errors.IntegrityError)
  assert "item 'i' has subject 's1' (row 2) and 's2' (row 3)" in text
  assert "'j'" not in text


def test_a_subject_in_two_splits_ends_with_4(folder):
  path = _write(folder, 'path,subject,split\na.png,s,train\nb.png,s,test\n')
  text = _refused(path, errors.IntegrityError)
  assert "subject 's' is in train (row 2) and test (row 3)" in text
  assert errors.IntegrityError.exit_code == 4


def test_skip_sets_few_broken_images_aside(tmp_path, caplog):
  for i in range(200):
    _picture(tmp_path / f'{i}.png', i)
  path = _write(
    tmp_path, 'path,subject\n' + ''.join(f'{i}.png,s{i}\n' for i in range(200))
  )
  for i in (3, 50):
    (tmp_path / f'{i}.png').write_bytes(b'')
  assert "row 5: '3.png': an empty file" in _refused(path)
  with caplog.at_level(logging.WARNING):
    frame, _ = table.read(path, on_bad='skip')
  assert len(frame) == 198 and not {'3.png', '50.png'} & set(frame['path'])
  assert list(frame.index) == list(range(198))
  assert "row 5: '3.png': an empty file" in caplog.text
  (tmp_path / '7.png').write_bytes(b'')
  text = _refused(path, on_bad='skip')
  assert 'Of 200 images 3 are broken; at most 1% is set aside' in text
  (tmp_path / '7.png').unlink()
  assert "'7.png' is not in" in _refused(path, on_bad='skip')
  with pytest.raises(errors.UsageError, match="Did you mean 'skip'"):
    table.read(path, on_bad='skipp')


def test_constant_images_are_flagged(folder, caplog):
  black = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
  (folder / 'b.png').write_bytes(black)
  path = _write(folder, 'path,subject\na.png,s1\nb.png,s2\n')
  with caplog.at_level(logging.WARNING):
    frame, _ = table.read(path)
  assert len(frame) == 2
  assert "row 3: 'b.png'" in caplog.text and 'one grey value' in caplog.text


def test_roots(folder):
  _picture(folder / 'sub' / 'deep dir' / 'z.jpg', 9, '.jpg')
  path = _write(folder, 'path,subject\ndeep dir/z.jpg,s1\n')
  for root in ('sub', str(folder / 'sub')):
    _, store = table.read(path, root=root)
    assert store.exists('deep dir/z.jpg')
  assert "'none' does not exist" in _refused(path, root='none').replace(
    str(folder) + os.sep, ''
  )


def test_the_one_zip_beside_the_table_is_found(folder, caplog):
  data = (folder / 'a.png').read_bytes()
  for name, member in (('one.zip', 'in/a.png'), ('two.zip', 'in/b.png')):
    with zipfile.ZipFile(folder / name, 'w') as archive:
      archive.writestr(member, data)
  path = _write(folder, 'path,subject\nin/a.png,s1\n')
  with caplog.at_level(logging.INFO):
    frame, store = table.read(path)
  assert store.root.name == 'one.zip' and len(frame) == 1
  assert 'one.zip' in caplog.text
  _, store = table.read(path, root='one.zip')
  assert store.read('in/a.png') == data
  path = _write(folder, 'path,subject\nin/a.png,s1\nin/b.png,s2\n')
  text = _refused(path)
  assert "'one.zip', 'two.zip'" in text and 'data.root' in text
  text = _refused(path, root='one.zip')
  assert "row 3: 'in/b.png' is not in" in text


@pytest.mark.skipif('MAMMOJAX_DATA' not in os.environ, reason='no real data')
@pytest.mark.parametrize(
  'name, count, subjects',
  [('ham10000_multi', 4731, 2186), ('mini_mias', 322, 161)],
)
def test_real_tables_read_unchanged(name, count, subjects):
  path = pathlib.Path(os.environ['MAMMOJAX_DATA'], name, 'manifest.csv')
  frame, _ = table.read(
    path, columns={'subject': 'subject_id', 'diagnosis': 'label'}
  )
  assert len(frame) == count and frame['subject'].nunique() == subjects
  torn.check_disjoint(frame)
