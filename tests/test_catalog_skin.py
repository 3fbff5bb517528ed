"""ISIC 2020 and HAM10000 on small trees in their published layouts."""

import itertools

import pytest

from mammojax import errors
from mammojax.data import catalog

_ISIC = (
  'image_name,patient_id,lesion_id,sex,age_approx,'
  'anatom_site_general_challenge,diagnosis,benign_malignant,target'
)
# Name, patient, lesion, target.
_IMAGES = (
  ('ISIC_01', 'IP_1', 'IL_1', '0'),
  ('ISIC_02', 'IP_1', 'IL_2', '1'),
  ('ISIC_03', 'IP_2', 'IL_3', '0'),
  ('ISIC_04', 'IP_3', 'IL_4', '0'),
  ('ISIC_05', 'IP_4', 'IL_5', '1'),
  ('ISIC_06', 'IP_5', 'IL_6', '0'),
)


def _place(root, *paths):
  for path in paths:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b'x')


def _isic(root, pairs=()):
  rows = [
    f'{name},{patient},{lesion},male,45,torso,nevus,'
    f'{("benign", "malignant")[int(target)]},{target}'
    for name, patient, lesion, target in _IMAGES
  ]
  name = root / 'ISIC_2020_Training_GroundTruth_v2.csv'
  name.write_text('\n'.join([_ISIC, *rows]) + '\n')
  text = 'image_name_1,image_name_2\n'
  text += ''.join(f'{one},{two}\n' for one, two in pairs)
  if pairs:
    (root / 'ISIC_2020_Training_Duplicates.csv').write_text(text)
  _place(root, *(f'train/{image[0]}.jpg' for image in _IMAGES))
  return root


# 1-3 and 4-3 make one group through 3; 5 and 6 are one image of two patients.
_PAIRS = (
  ('ISIC_01', 'ISIC_03'),
  ('ISIC_04', 'ISIC_03'),
  ('ISIC_06', 'ISIC_05'),
  ('ISIC_06', 'ISIC_99'),
)


def test_isic_keeps_one_image_of_each_group_of_duplicates(tmp_path):
  frame, notes, terms = catalog.read('isic2020', _isic(tmp_path, _PAIRS))
  assert frame['item'].tolist() == ['ISIC_01', 'ISIC_02', 'ISIC_05']
  assert frame['subject'].tolist() == ['IP_1', 'IP_1', 'IP_4']
  assert frame['path'][0] == 'train/ISIC_01.jpg'
  assert frame['diagnosis'].tolist() == ['benign', 'malignant', 'malignant']
  assert frame['lesion'].tolist() == ['IL_1', 'IL_2', 'IL_5']
  assert (frame['split'] == '').all()
  text = ' '.join(notes)
  assert '4 pairs of duplicates make 2 groups of 5 images' in text
  assert '2 groups are of several subjects, 1 of several diagnoses' in text
  assert '1 pairs name an image that the table does not have' in text
  assert '3 images were left out' in text
  assert 'NC' in terms


@pytest.mark.parametrize('pairs', list(itertools.permutations(_PAIRS[:3])))
def test_isic_merges_subjects_that_share_an_image(tmp_path, pairs):
  root = _isic(tmp_path, pairs)
  frame = catalog.read('isic2020', root, duplicates='merge').frame
  # IP_1 brings image 2 along, which is no duplicate.
  assert frame['subject'].tolist() == ['IP_1'] * 4 + ['IP_4'] * 2
  frame = catalog.read(
    'isic2020', root, duplicates='merge', identity='lesion'
  ).frame
  assert frame['subject'].tolist() == [
    'IL_1', 'IL_2', 'IL_1', 'IL_1', 'IL_5', 'IL_5',
  ]  # fmt: skip


def test_isic_reads_the_other_list_of_duplicates(tmp_path):
  root = _isic(tmp_path)
  (root / '2020_Challenge_duplicates.csv').write_text(
    'ISIC_id,ISIC_id_paired,partition\nISIC_01,ISIC_02,train\n'
  )
  frame = catalog.read('isic2020', root).frame
  assert frame['item'].tolist() == [
    name for name, *_ in _IMAGES if name != 'ISIC_02'
  ]


def test_isic_of_256_pixels_has_no_lesions_and_no_list(tmp_path):
  (tmp_path / 'train-metadata.csv').write_text(
    ',isic_id,patient_id,target\n0,ISIC_01,IP_1,0\n1,ISIC_02,IP_2,1\n'
  )
  _place(tmp_path, *(f'train-image/image/ISIC_0{i}.jpg' for i in (1, 2)))
  with pytest.raises(errors.DataError, match='--duplicates=keep'):
    catalog.read('isic2020', tmp_path)
  frame, notes, _ = catalog.read('isic2020', tmp_path, duplicates='keep')
  assert frame['path'].tolist() == [
    'train-image/image/ISIC_01.jpg',
    'train-image/image/ISIC_02.jpg',
  ]
  assert any('may be in two splits' in note for note in notes)
  with pytest.raises(errors.DataError, match="'lesion_id'"):
    catalog.read('isic2020', tmp_path, duplicates='keep', identity='lesion')


def test_isic_refuses_targets_and_missing_images(tmp_path):
  root = _isic(tmp_path, _PAIRS)
  (root / 'train/ISIC_02.jpg').unlink()
  with pytest.raises(errors.DataError, match=r"1 of 3.*\n.*ISIC_02'"):
    catalog.read('isic2020', root)
  table = root / 'ISIC_2020_Training_GroundTruth_v2.csv'
  table.write_text(table.read_text().replace('malignant,1', 'malignant,2'))
  with pytest.raises(errors.DataError, match=r'2 targets .* row 3'):
    catalog.read('isic2020', root)


_HAM = 'lesion_id,image_id,dx,dx_type,age,sex,localization,dataset\n'


@pytest.mark.parametrize(
  'name, folders',
  [
    ('HAM10000_metadata.csv', ('HAM10000_images_part_1',) * 2),
    (
      'HAM10000_metadata',
      ('ham10000_images_part_1', 'ham10000_images_part_2'),
    ),
    ('HAM10000_metadata.tab', ('images', '.')),
  ],
  ids=['one', 'two', 'flat'],
)
def test_ham_finds_its_images_in_every_layout(tmp_path, name, folders):
  text = (
    f'{_HAM}HAM_0000118,ISIC_0027419,mel,histo,80.0,male,scalp,vidir_modern\n'
    'HAM_0000118,ISIC_0025030,mel,histo,80.0,male,scalp,vidir_modern\n'
    'HAM_0002730,ISIC_0026769,nv,histo,,female,back,rosendahl\n'
  )
  if name.endswith('.tab'):
    text = text.replace(',', '\t')
  (tmp_path / name).write_text(text)
  ids = ('ISIC_0027419', 'ISIC_0025030', 'ISIC_0026769')
  places = [f'{folders[i // 2]}/{ids[i]}.jpg' for i in range(3)]
  _place(tmp_path, *places)
  frame, notes, _ = catalog.read('ham10000', tmp_path)
  assert frame['path'].tolist() == [p.removeprefix('./') for p in places]
  assert frame['subject'].tolist() == ['HAM_0000118'] * 2 + ['HAM_0002730']
  assert frame['diagnosis'].tolist() == ['mel', 'mel', 'nv']
  assert frame['malignant'].tolist() == ['1', '1', '0']
  assert frame['age'].tolist() == ['80.0', '80.0', '']
  assert notes[0].startswith('2 lesions; 1 of them have one image')


def test_ham_calls_three_of_its_classes_malignant(tmp_path):
  classes = ('akiec', 'bcc', 'bkl', 'df', 'mel', 'nv', 'vasc')
  rows = [f'L{i},I{i},{dx},histo,5,m,back,d\n' for i, dx in enumerate(classes)]
  path = tmp_path / 'HAM10000_metadata'
  path.write_text(_HAM + ''.join(rows))
  _place(tmp_path, *(f'I{i}.jpg' for i in range(7)))
  frame = catalog.read('ham10000', tmp_path).frame
  assert ''.join(frame['malignant']) == '1100100'
  path.write_text(path.read_text().replace('vasc', 'scc'))
  with pytest.raises(errors.DataError, match="row 8: 'scc'"):
    catalog.read('ham10000', tmp_path)
