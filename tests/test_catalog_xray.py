"""OAI and NIH ChestX-ray14 on small trees in their published layouts."""

import pytest

from mammojax import errors
from mammojax.data import catalog, splits, torn

_OAI = 'ID,Visit,SIDE,Path,Site,AGE,SEX,BMI,Group,KL'


def _oai(root, rows):
  name = root / 'PreprocessedData_Forensic.csv'
  name.write_text('\n'.join([_OAI, *rows]) + '\n')
  (root / 'ResizedImages').mkdir(exist_ok=True)
  for row in rows:
    (root / row.split(',')[3].lstrip('/')).write_bytes(b'x')
  return root


def _knee(person, visit, side, site, kl='2.0', end=''):
  path = f'{end}ResizedImages/{person}_{visit}_{side}.png'
  return f'{person},{visit},{side},{path},{site},61,1,27.5,3,{kl}'


def _knees():
  return [
    _knee(9000000 + person, visit, side, 'ABCDE'[person % 5])
    for person in range(40)
    for visit in (0, 36, 96)
    for side in 'LR'
  ]


def test_oai_tests_on_site_c_and_folds_the_rest_by_person(tmp_path):
  frame, notes, _ = catalog.read('oai', _oai(tmp_path, _knees()), fold='3')
  test = frame['site'] == 'C'
  assert (frame['split'] == 'test').tolist() == test.tolist()
  assert (frame['fold'] == '').tolist() == test.tolist()
  for person, split, fold in frame[['subject', 'split', 'fold']].to_numpy():
    want = splits.sha256_bucket(person, 5)
    if split != 'test':
      assert fold == str(want)
      assert split == ('validation' if want == 3 else 'train')
  assert frame['visit_months'].tolist()[:4] == ['0', '0', '36', '36']
  assert frame['laterality'].tolist()[:4] == ['L', 'R', 'L', 'R']
  assert frame['diagnosis'].unique().tolist() == ['KL2']
  assert any('40 persons; 0' in note for note in notes)


def test_oai_by_knee_keeps_a_person_within_one_split(tmp_path):
  root = _oai(tmp_path, _knees())
  knees = catalog.read('oai', root, identity='subject_side').frame
  assert knees['subject'].nunique() == 80
  assert knees['subject'].tolist()[:2] == ['9000000-L', '9000000-R']
  person = knees['subject'].str[:7]
  torn.check_disjoint(knees.assign(subject=person))
  paper = catalog.read('oai', root, visits='paper', test_site='A')
  assert set(paper.frame['visit_months']) == {'0', '96'}
  assert set(paper.frame.loc[paper.frame['split'] == 'test', 'site']) == {'A'}
  assert any('80 images of other visits' in note for note in paper.notes)


def test_oai_merges_readings_and_reads_what_pandas_writes(tmp_path):
  rows = [
    '9000099.0,0.0,R,/ResizedImages/a.png,B,61,1,27.5,3,1.0',
    '9000099.0,0.0,R,/ResizedImages/a.png,B,61,1,27.5,3,2.0',
    '9000099.0,00,L,/ResizedImages/b.png,B,61,1,27.5,3,',
  ]
  frame, notes, _ = catalog.read('oai', _oai(tmp_path, rows))
  assert frame['path'].tolist() == [
    'ResizedImages/a.png',
    'ResizedImages/b.png',
  ]
  assert frame['diagnosis'].tolist() == ['KL1;KL2', '']
  assert frame['subject'].tolist() == ['9000099', '9000099']
  assert frame['visit_months'].tolist() == ['0', '0']
  assert notes[0].startswith('1 rows repeat an image')
  assert '1 images have several KL' in notes[0]


@pytest.mark.parametrize(
  'row, error, what',
  [
    (_knee('1', '18', 'R', 'A'), errors.DataError, 'visit_months.*row 3'),
    (_knee('1', '12', 'X', 'A'), errors.DataError, 'laterality'),
    (_knee('1', '12', 'R', 'F'), errors.DataError, 'site'),
    (_knee('x', '12', 'R', 'A'), errors.DataError, 'subject'),
    (_knee('7', '12', 'R', 'A'), errors.IntegrityError, "'7'"),
    (
      _knee('7', '0', 'R', 'C').replace('7,0', '7,12', 1),
      errors.DataError,
      'two ways',
    ),
  ],
  ids=['visit', 'side', 'site', 'id', 'two_sites', 'two_ways'],
)
def test_oai_refuses_rows_that_cannot_be(tmp_path, row, error, what):
  root = _oai(tmp_path, [_knee('7', '0', 'R', 'C'), row])
  with pytest.raises(error, match=what):
    catalog.read('oai', root)


_NIH = (
  'Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,'
  'Patient Gender,View Position,OriginalImage[Width,Height],'
  'OriginalImagePixelSpacing[x,y],'
)
# Image, finding, follow-up, patient, age.
_XRAYS = (
  ('00000001_000.png', 'Cardiomegaly', '0', '1', '058Y'),
  ('00000001_001.png', 'Cardiomegaly|Emphysema', '1', '1', '058Y'),
  ('00000001_002.png', 'No Finding', '2', '1', '061Y'),
  ('00000002_000.png', 'No Finding', '0', '2', '077Y'),
  ('00000003_001.png', 'Hernia', '1', '3', '018M'),
  ('00000003_002.png', 'Hernia', '2', '3', '030M'),
  ('00000004_000.png', 'Mass', '0', '4', '40'),
  ('00000004_001.png', 'Mass', '1', '4', '412'),
  ('00000004_002.png', 'Mass', '2', '4', '39'),
)


def _nih(root, in_test=('1',), name='Data_Entry_2017.csv', xrays=_XRAYS):
  rows = [','.join(xray) + ',M,PA,2682,2749,0.143,0.143,' for xray in xrays]
  (root / name).write_text('\n'.join([_NIH, *rows]) + '\n')
  lists = {'train_val_list.txt': [], 'test_list.txt': []}
  for place, (image, _, _, patient, _) in enumerate(xrays):
    chosen = 'test_list' if patient in in_test else 'train_val_list'
    lists[f'{chosen}.txt'].append(image)
    folder = root / f'images_{1 + place % 12:03d}/images'
    folder.mkdir(parents=True, exist_ok=True)
    (folder / image).write_bytes(b'x')
  for file, images in lists.items():
    (root / file).write_text('\n'.join(images) + '\n')
  return root


def test_nih_time_is_the_age_since_the_first_follow_up(tmp_path):
  frame, notes, _ = catalog.read('nih_cxr14', _nih(tmp_path))
  assert frame['item'].tolist() == [x[0] for x in _XRAYS if x[4] != '412']
  # Twelve months for each year; 18 months of age to 30 are a year.
  assert frame['visit_months'].tolist() == [
    '0', '0', '36', '0', '0', '12', '0', '-12',
  ]  # fmt: skip
  assert frame['subject'].tolist() == list('11123344')
  assert frame['follow_up'].tolist() == list('01201202')
  assert frame['path'][2] == 'images_003/images/00000001_002.png'
  assert frame['diagnosis'][1] == 'Cardiomegaly|Emphysema'
  text = ' '.join(notes)
  assert '1 images have an age above 120 years: left out' in text
  assert '1 patients begin after follow-up 0; 1 images show' in text
  assert '4 patients; 1 of them have one image' in text


def test_nih_does_not_ask_for_rows_in_order_of_time(tmp_path):
  (tmp_path / 'there').mkdir()
  (tmp_path / 'back').mkdir()
  there = catalog.read('nih_cxr14', _nih(tmp_path / 'there')).frame
  root = _nih(tmp_path / 'back', xrays=_XRAYS[::-1])
  back = catalog.read('nih_cxr14', root).frame
  assert back['item'].tolist() == there['item'].tolist()[::-1]
  assert back['visit_months'].tolist() == there['visit_months'].tolist()[::-1]


def test_nih_keeps_images_of_unknown_age_when_asked(tmp_path):
  frame = catalog.read('nih_cxr14', _nih(tmp_path), ages='keep').frame
  assert len(frame) == len(_XRAYS)
  assert frame['visit_months'].tolist()[7:] == ['', '-12']


def test_nih_follows_the_lists_and_takes_validation_from_training(tmp_path):
  xrays = [
    (f'{i:08d}_000.png', 'No Finding', '0', str(i), '50') for i in range(300)
  ]
  in_test = {str(i) for i in range(200, 300)}
  root = _nih(tmp_path, in_test, 'Data_Entry_2017_v2020.csv', xrays)
  frame = catalog.read('nih_cxr14', root).frame
  assert (frame['split'] == 'test').tolist() == [
    subject in in_test for subject in frame['subject']
  ]
  assert set(frame['split']) == {'train', 'validation', 'test'}
  hashed = catalog.read('nih_cxr14', root, split='hash').frame
  assert (hashed['split'] == '').all()


def test_nih_refuses_lists_that_do_not_fit(tmp_path):
  root = _nih(tmp_path)
  listed = root / 'test_list.txt'
  whole = listed.read_text()
  listed.write_text(whole.replace('00000001_002.png', ''))
  with pytest.raises(errors.DataError, match='1 images are on none'):
    catalog.read('nih_cxr14', root)
  listed.write_text(whole + '00000002_000.png\n')
  with pytest.raises(errors.DataError, match='on both, such as 00000002_000'):
    catalog.read('nih_cxr14', root)
  (root / 'train_val_list.txt').write_text(
    '\n'.join(x[0] for x in _XRAYS if x[0] not in listed.read_text())
    + '\n00000001_002.png\n'
  )
  listed.write_text(listed.read_text().replace('00000001_002.png', ''))
  with pytest.raises(errors.IntegrityError, match="'1'"):
    catalog.read('nih_cxr14', root)


@pytest.mark.parametrize('age', ['', 'old', '5X', '1e2'])
def test_nih_refuses_ages_that_are_none(tmp_path, age):
  xrays = [(*_XRAYS[0][:4], age)]
  with pytest.raises(errors.DataError, match='row 2'):
    catalog.read('nih_cxr14', _nih(tmp_path, xrays=xrays))
